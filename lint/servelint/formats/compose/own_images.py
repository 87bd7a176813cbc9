"""Services on an image that is named for an engine and starts it by a program of its own.

The image says which engine, and a variable may name the model; what the program makes of the rest is not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Container, Pool
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import launches, own_programs
from servelint.formats.unstated_facts import without_defaults

if TYPE_CHECKING:
    from collections.abc import Sequence

    from servelint.engines.base import Engine
    from servelint.formats.launches import Launch


def pool(launch: Launch, engines: Sequence[Engine]) -> Pool | None:
    """The pool of a service in which no engine's own command was found; None where the image says no engine, or where nothing
    else says that it serves: neither a model's variable nor accelerators."""
    engine = own_programs.engine_of(launch.reference, engines)
    # An env_file that is not at hand may name it, too.
    first = own_programs.MODELS[0]
    named = own_programs.model_variable(launch.variables) or (first if first in launch.variables else "")
    if engine is None or not (named or launch.resource) or own_programs.is_no_server(_text(launch)):
        return None
    place = launch.image.place or Place.of(launch.document, launch.label)
    container = Container(
        launch.name, launch.document, launch.node, engine.name, launch.image, None, None, launch.variables
    )  # fmt: skip
    one = Fact.known(launches.NODES, 1, Origin(OriginKind.DERIVED, "the engine runs in one container"))
    made = Pool(
        name=launch.name,
        place=Place.of(launch.document, launch.label),
        containers=(container,),
        gpu_resource=launch.resource,
        engine=Fact.known("engine.name", engine.name, Origin(OriginKind.FILE, "image", place)),
        version=engine.version(launch.image),
        gpus_per_node=launch.gpus,
        nodes=one,
    )
    facts: dict[str, Fact[Any]] = {**launch.facts, "model": own_programs.model(launch.variables, named)}
    return without_defaults(made.with_facts(facts), own_programs.REASON)


def _text(launch: Launch) -> str:
    return " ".join(word.text for program in launch.programs for word in program.words)
