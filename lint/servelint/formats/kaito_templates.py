"""Pod templates that run KAITO's own server with a model that is no preset of it: ``inference_api.py``, started by accelerate.

Source: kaito-project/kaito ``docs/custom-model-integration``, ``presets/workspace/inference/text-generation/inference_api.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.deployment import Container, Pod, Pool
from servelint.engines.model_names import hub_id
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import containers
from servelint.formats.environment import environment
from servelint.formats.unstated_facts import without_defaults
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from servelint.source.nodes import Document, Node

_SERVER = "inference_api.py"
_MODEL = "--pretrained_model_name_or_path"
_REASON = "KAITO's server of Transformers decides it"


def pools(document: Document, template: Node, owner: str) -> list[Pool]:
    """A pool for each container that runs the server."""
    pod = Pod(document, template, owner, False)
    found = [_pool(pod, container) for container in template.elements_at("spec", "containers")]
    return [pool for pool in found if pool is not None]


def _pool(pod: Pod, node: Node) -> Pool | None:
    document = pod.document
    items = [item for item in (*node.elements_at("command"), *node.elements_at("args")) if isinstance(item, ScalarNode)]
    words = [word for item in items for word in item.text.split()]
    server = next((item for item in items if _SERVER in item.text), None)
    if server is None or "accelerate" not in words:
        return None
    image = containers.image(document, node)
    name = node.text_at("name") or _SERVER
    started = Origin(OriginKind.FILE, f"accelerate launch {_SERVER}", Place.of(document, server))
    pool = Pool(
        name=name,
        place=Place.of(document, node.get("name") or node),
        containers=(Container(name, document, node, "transformers", image, pod, None, environment(document, node)),),
        engine=Fact.known("engine.name", "transformers", started),
        version=Fact.unknown("engine.version", _REASON),
        model=_model(document, items),
    )
    return without_defaults(pool, _REASON)


def _model(document: Document, items: list[ScalarNode]) -> Fact[str]:
    for item, following in zip(items, [*items[1:], None], strict=True):
        flag, equals, value = item.text.partition("=")
        if flag != _MODEL:
            continue
        holder = item if equals else following
        text = value if equals else following.text if following is not None else ""
        origin = Origin(OriginKind.FILE, _MODEL, Place.of(document, holder or item))
        try:
            return Fact.known("model.id", hub_id(text), origin)
        except ValueError as error:
            return Fact.unknown("model.id", str(error), origin=origin)
    return Fact.unknown("model.id", f"the server is told no model by {_MODEL}")
