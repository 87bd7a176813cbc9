"""One service of a Compose file: what it says itself and what it takes over from others, and its environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.deployment import Environment
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats.compose.interpolation import interpolate
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_MOST_EXTENDED = 20
_FROM_OUTSIDE = "Compose takes it from the shell or the .env file"


class Service:
    """``partial``: it is completed by a file that is not at hand (``extends`` with a file; no image and nothing to build).

    ``bases``: the names of the services that it extends, nearest first.
    """

    def __init__(self, document: Document, name: str, key: Node, node: MappingNode, services: MappingNode) -> None:
        self.document = document
        self.name = name
        self.key = key
        self.node = node
        self._chain: list[MappingNode] = [node]
        self.partial = False
        self.bases: list[str] = []
        self._extend(services)
        self.partial = self.partial or (self.get("image") is None and self.get("build") is None)

    def _extend(self, services: MappingNode) -> None:
        """Adds the services that this one extends, nearest first; one that extends itself ends the chain."""
        while len(self._chain) < _MOST_EXTENDED:
            extends = self._chain[-1].get("extends")
            if extends is None:
                return
            name = extends.text if isinstance(extends, ScalarNode) else extends.text_at("service")
            base = services.get(name) if name else None
            if extends.get("file") is not None or not isinstance(base, MappingNode) or base in self._chain:
                self.partial = True
                return
            self._chain.append(base)
            self.bases.append(name or "")

    def get(self, *path: str | int) -> Node | None:
        """What stands at ``path`` of the service or, where it has nothing there, of those it extends."""
        return next((found for node in self._chain if (found := node.get(*path)) is not None), None)

    def items(self, key: str) -> list[Node]:
        """The items of the list ``key``, those of the services that it extends first, as Compose puts them together."""
        return [item for node in reversed(self._chain) for item in node.elements_at(key)]

    def text_at(self, *path: str | int) -> str | None:
        """The scalar at ``path`` with its variables expanded; None if there is none."""
        node = self.get(*path)
        return interpolate(node.text).text.text if isinstance(node, ScalarNode) else None

    def environment(self, unset: list[str], surroundings: Surroundings) -> Environment:
        """The container's variables, and those of ``unset`` that Compose itself must be given."""
        listed: dict[str, Fact[str]] = {}
        reason = ""
        if self.get("env_file") is not None:
            from servelint.formats.compose import env_files  # lazy: few services have any

            listed, reason = env_files.variables(self._env_files(), surroundings)
            unset = [name for name in unset if not env_files.is_for_compose(listed.get(name), self.document)]
        for name in unset:
            listed[name] = _outside(name)
        for node in reversed(self._chain):
            variables = node.get("environment")
            if isinstance(variables, SequenceNode):
                for item in node.elements_at("environment"):
                    if isinstance(item, ScalarNode):
                        name, equals, text = item.text.partition("=")
                        listed[name] = self._variable(name, text if equals else None, item)
            elif isinstance(variables, MappingNode):
                for name, key, item in variables.pairs():
                    value = item.text if isinstance(item, ScalarNode) and not item.is_null else None
                    listed[name] = self._variable(name, value, item if value is not None else key)
        return Environment(listed, reason)

    def _env_files(self) -> list[Node]:
        """What the service and those that it extends say below ``env_file``; the last ones win."""
        every = [node.get("env_file") for node in reversed(self._chain)]
        return [item for node in every if node is not None for item in (node.items if isinstance(node, SequenceNode) else [node])]

    def _variable(self, name: str, value: str | None, node: Node) -> Fact[str]:
        """The variable ``name``; without a value it is passed through from the shell."""
        label = f"env.{name}"
        origin = Origin(OriginKind.FILE, label, Place.of(self.document, node))
        if value is None:
            return Fact.unknown(label, _FROM_OUTSIDE, f"write {name}: VALUE", origin)
        expanded = interpolate(value)
        if expanded.unset:
            outside = expanded.unset[0]
            what = _FROM_OUTSIDE if outside == name else f"{_FROM_OUTSIDE} (${outside})"
            return Fact.unknown(label, what, _remedy(outside), origin)
        return Fact.known(label, expanded.text.text, origin)

    def image(self, name: str) -> tuple[Fact[str], str]:
        """The image as a fact called ``name``, and its text as far as it is settled."""
        node = self.get("image")
        if not isinstance(node, ScalarNode) or not node.text:
            reason = "the image is built from a Dockerfile" if self.get("build") is not None else "the service names no image"
            return Fact.unknown(name, reason), ""
        value = interpolate(node.text)
        text = value.text.text
        defaults = f" (default of ${', $'.join(value.defaults)})" if value.defaults else ""
        origin = Origin(OriginKind.FILE, f"image{defaults}", Place.of(self.document, node))
        if value.unset:
            reason = f"the image is filled in from ${value.unset[0]} ({text})"
            return Fact.unknown(name, reason, _remedy(value.unset[0]), origin), text
        return Fact.known(name, text, origin), text


def _outside(name: str) -> Fact[str]:
    return Fact.unknown(f"env.{name}", _FROM_OUTSIDE, _remedy(name))


def _remedy(name: str) -> str:
    return f"give it a default: ${{{name}:-VALUE}}"
