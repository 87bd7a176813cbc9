"""Pools whose command line is put together from two objects: one that refers, and one that is referred to by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Environment
from servelint.facts import FactState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from servelint.deployment import Pool
    from servelint.engines.base import Engine
    from servelint.engines.command import Argument, Command

_PLACEMENT = ("accelerator", "gpus_per_node", "nodes", "replicas_min", "replicas_max", "version", "model")


def completed(pool: Pool, base: Pool, engines: Sequence[Engine], *, appended: bool) -> Pool:
    """``pool`` with what ``base``, the pool of the object it refers to, states besides.

    ``appended``: the arguments of the two stand one behind the other, ``base``'s first; otherwise ``pool``'s own replace
    them. Facts of ``pool`` win, and what neither states stays unknown.
    """
    facts: dict[str, Any] = {}
    ours, theirs = pool.containers[0], base.containers[0]
    engine = next((e for e in engines if e.name == ours.engine), None)
    if appended and ours.command is not None and theirs.command is not None and engine is not None:
        command = _behind(ours.command, theirs.command)
        variables = _both(ours.environment, theirs.environment)
        pool = pool._replace(containers=(ours._replace(command=command, environment=variables), *pool.containers[1:]))
        facts = dict(engine.facts(command, variables))
    for name in _PLACEMENT:
        if getattr(pool, name).state is FactState.UNKNOWN and getattr(base, name).state is not FactState.UNKNOWN:
            facts[name] = getattr(base, name)
        else:
            facts.pop(name, None)
    if not pool.gpu_resource and base.gpu_resource:
        pool = pool._replace(gpu_resource=base.gpu_resource)
    if not ours.image.is_known and theirs.image.is_known:
        pool = pool._replace(containers=(pool.containers[0]._replace(image=theirs.image), *pool.containers[1:]))
    return pool.with_facts(facts)


def _both(ours: Environment, theirs: Environment) -> Environment:
    """The variables of both; those of the object that refers win."""
    return Environment({**theirs.listed, **ours.listed}, ours.open_reason or theirs.open_reason)


def _behind(command: Command, base: Command) -> Command:
    """The arguments of ``command`` behind those of ``base``, each with its own document."""
    first = tuple(argument._replace(document=argument.document or base.document) for argument in base.arguments)
    own = (argument for argument in command.arguments if not (_is_supposed(argument) and base.last(argument.name)))
    return command.with_arguments((*first, *own), command.elsewhere or base.elsewhere)


def _is_supposed(argument: Argument) -> bool:
    """Nobody wrote it: it stands for how the other object starts the engine, which says so itself."""
    return bool(argument.name) and all(word.expanded and not word.whole and word.start < 0 for word in argument.words)
