"""Configuration files of engines: vLLM's and SGLang's ``--config``, TensorRT-LLM's, alone or in the data of a ConfigMap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.formats.needles import ENGINE_SETTINGS, NEEDLES
from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document


class EngineConfig:
    """Recognised by its keys: nearly all of them are one engine's options, and one at least is peculiar to engines."""

    name = "engine-config"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterable[Deployment]:
        root = document.root
        if not isinstance(root, MappingNode):
            return ()
        if root.text_at("kind") == "ConfigMap":
            texts = [node.text for _, _, node in root.entries_at("data") if isinstance(node, ScalarNode)]
            if not any(word in text for text in texts for word in _TELLING_TEXTS):
                return ()
            from servelint.formats.engine_config.files import in_config_map  # lazy: only for configurations

            return in_config_map(document, root, surroundings)
        if (
            not ENGINE_SETTINGS.intersection(name.replace("_", "-") for name, _, _ in root.pairs())
            or root.entry("apiVersion") is not None
        ):
            return ()
        from servelint.formats.engine_config.files import in_file

        return in_file(document, root, surroundings)


_TELLING_TEXTS = tuple(f"{needles[0].decode()}:" for needles in NEEDLES["engine-config"])
