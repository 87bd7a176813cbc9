"""Files of a service's container whose content is at hand: those of the run that it mounts, the content of its configs, and
here-documents of its script.

Source: Compose specification, ``volumes`` and ``configs`` of a service, ``configs`` at the top; compose-go, ``paths/resolve.go``,
for what is relative to the folder of the Compose file.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from servelint.formats import mounted_files
from servelint.formats.compose.interpolation import interpolate
from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, Node, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from servelint.facts import Fact
    from servelint.formats.base import Surroundings
    from servelint.formats.compose.service import Service
    from servelint.source.nodes import Document


class Mount(NamedTuple):
    """``target``: a path of the container. ``source``: the file or folder there, relative to the Compose file; "" where it
    cannot be told (a volume, a folder of the host, a variable). ``content``: what a config says itself."""

    target: str
    source: str = ""
    content: ScalarNode | None = None


def reader(service: Service, variables: Mapping[str, Fact[str]], surroundings: Surroundings) -> Callable[[str], Document | None]:
    """A way to ask for the YAML file at a path of the container; None for one whose content is not at hand."""

    def file(path: str) -> Document | None:
        scripts = [item for key in ("entrypoint", "command") for item in _elements(service.get(key))]
        text = mounted_files.written(service.document, scripts, variables, posixpath.normpath(path))
        where = posixpath.normpath(posixpath.join(service.text_at("working_dir") or "", path))
        if text is not None:
            _, node, start, end = text
            plain = "$" not in node.text[start:end]  # Compose, too, would expand it
            return mounted_files.content(service.document, node, start, end) if plain else None
        best = max((mount for mount in _mounts(service) if mounted_files.holds(mount.target, where)), key=_length, default=None)
        if best is None:
            return None
        if best.content is not None:
            return mounted_files.content(service.document, best.content) if "$" not in best.content.text else None
        below = where[len(best.target) :].lstrip("/")
        return _document(posixpath.join(best.source, below), surroundings) if best.source else None

    return file


def _length(mount: Mount) -> int:
    return len(mount.target)


def _elements(node: Node | None) -> list[Node]:
    return [item.resolved for item in getattr(node, "items", ())]


def _document(path: str, surroundings: Surroundings) -> Document | None:
    """The one document of a file of the run."""
    source = surroundings.file(path.rstrip("/"))
    if source is None:
        return None
    from servelint.source.reader import read_text  # lazy: few services mount a file of the run

    found = read_text(source)
    return found.documents[0] if len(found.documents) == 1 and not found.errors else None


def _mounts(service: Service) -> Iterator[Mount]:
    """What is mounted, the last of the file first: of two at one path it is the one that is meant."""
    for item in reversed(service.items("volumes")):
        mount = _volume(item)
        if mount is not None:
            yield mount
    for item in reversed(service.items("configs")):
        mount = _config(service, item)
        if mount is not None:
            yield mount


def _volume(item: Node) -> Mount | None:
    if isinstance(item, MappingNode):
        source, target = _settled(item.get("source")), _settled(item.get("target"))
        if not target:
            return None
        return Mount(posixpath.normpath(target), _relative(source) if item.text_at("type") == "bind" else "")
    if not isinstance(item, ScalarNode):
        return None
    settled = _settled(item)
    source, *others = (settled or item.text).split(":")  # of what is not settled, the target alone counts
    target = next((part for part in others if part.startswith("/")), "")
    is_relative = bool(settled) and source.startswith(".")  # any other name is that of a volume
    return Mount(posixpath.normpath(target), source if is_relative else "") if target else None


def _config(service: Service, item: Node) -> Mount | None:
    name = item.text if isinstance(item, ScalarNode) else item.text_at("source")
    if not name:
        return None
    target = _settled(item.get("target")) if isinstance(item, MappingNode) else ""
    target = posixpath.normpath(posixpath.join("/", target or name))
    declared = service.document.get("configs", name)
    if not isinstance(declared, MappingNode):
        return Mount(target)
    content = declared.get("content")
    if isinstance(content, ScalarNode):
        return Mount(target, content=content)
    return Mount(target, _relative(_settled(declared.get("file"))))


def _settled(node: Node | None) -> str:
    """The text of ``node`` with its variables expanded; "" where one of them has no value."""
    if not isinstance(node, ScalarNode):
        return ""
    value = interpolate(node.text)
    return "" if value.unset else value.text.text


def _relative(path: str) -> str:
    """``path`` if it is relative to the Compose file; "" for one of the host, which may be any file."""
    return "" if path.startswith(("/", "~", "\\")) or path[1:2] == ":" else path
