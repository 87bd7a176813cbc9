"""Files of a container whose content stands in manifests: keys of mounted ConfigMaps, and here-documents of its own script."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from servelint.facts import UnknownFact
from servelint.formats import objects
from servelint.formats.environment import expand
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from servelint.facts import Fact
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_HEREDOC = r"<<-?[ \t]*(\\?[\"']?)([A-Za-z_]\w*)[\"']?"
_TARGET = r"(?:>{1,2}|\btee(?:[ \t]+-a)?)[ \t]*[\"']?([^\s\"'<>|;&]+)"
_SHELL_VARIABLE = r"\$(?:\{(\w+)\}|(\w+))"


def reader(
    document: Document, template: Node, container: Node, variables: Mapping[str, Fact[str]], surroundings: Surroundings
) -> Callable[[str], Document | None]:
    """A way to ask for the YAML file at a path of ``container``; None for one whose content is not at hand."""

    def file(path: str) -> Document | None:
        items = (*container.elements_at("command"), *container.elements_at("args"))
        text = written(document, items, variables, posixpath.normpath(path))
        where = posixpath.normpath(posixpath.join(container.text_at("workingDir") or "", path))
        text = text or _mounted(template, container, surroundings, where)
        return content(*text) if text is not None else None

    return file


def content(document: Document, node: ScalarNode, start: int = 0, end: int | None = None) -> Document | None:
    """The YAML in ``node.text[start:end]`` as a document; None where it is none."""
    from servelint.source.embedded import EmbeddedDocument, read  # lazy: few commands name a file

    found = read(document, node, start, end)
    return EmbeddedDocument(document, node, found, start, end) if found.root is not None else None


def script(template: Node, container: Node, surroundings: Surroundings, path: str) -> tuple[Document, ScalarNode] | None:
    """The text that is mounted at ``path`` of ``container``, with its document; None where it is not at hand."""
    found = _mounted(template, container, surroundings, posixpath.normpath(path))
    return None if found is None else found[:2]


def holds(directory: str, path: str) -> bool:
    """Whether ``path`` is the directory, or stands below it."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _mounted(
    template: Node, container: Node, surroundings: Surroundings, path: str
) -> tuple[Document, ScalarNode, int, int] | None:
    """The value of the ConfigMap's key that is mounted at ``path``; the longest mount path that holds it decides."""
    best: tuple[int, Node] | None = None
    for mount in container.elements_at("volumeMounts"):
        at = posixpath.normpath(mount.text_at("mountPath") or mount.text_at("mountPoint") or "/")
        if holds(at, path) and (best is None or len(at) > best[0]):
            best = len(at), mount
    if best is None:
        return None
    mount = best[1]
    at = posixpath.normpath(mount.text_at("mountPath") or mount.text_at("mountPoint") or "/")
    relative = posixpath.normpath(posixpath.join(mount.text_at("subPath") or "", path[len(at) :].lstrip("/")))
    for volume in template.elements_at("spec", "volumes"):
        if volume.text_at("name") != mount.text_at("name"):
            continue
        sources = [volume.get("configMap"), *(s.get("configMap") for s in volume.elements_at("projected", "sources"))]
        for source in sources:
            found = _key(source, relative, surroundings) if source is not None else None
            if found is not None:
                return found
    return None


def _key(source: Node, relative: str, surroundings: Surroundings) -> tuple[Document, ScalarNode, int, int] | None:
    key = relative
    if source.get("items") is not None:
        keys = [i.text_at("key") for i in source.elements_at("items") if posixpath.normpath(i.text_at("path") or "") == relative]
        if not keys or keys[0] is None:
            return None
        key = keys[0]
    found = objects.named(surroundings, "ConfigMap", source.text_at("name") or "")
    value = found[1].get("data", key) if found is not None else None
    if found is None or not isinstance(value, ScalarNode):
        return None
    return found[0], value, 0, len(value.text)


def written(
    document: Document, items: Iterable[Node], variables: Mapping[str, Fact[str]], path: str
) -> tuple[Document, ScalarNode, int, int] | None:
    """The body of the here-document that a script among ``items`` writes to ``path``. One with variables in it is not taken."""
    for item in items:
        if not isinstance(item, ScalarNode) or "<<" not in item.text:
            continue
        for match in re.finditer(_HEREDOC, item.text):
            begin = item.text.rfind("\n", 0, match.start()) + 1
            stop = item.text.find("\n", match.end())
            if stop < 0:
                continue
            target = re.search(_TARGET, item.text[begin:stop])
            end = re.search(rf"^{match.group(2)}$", item.text[stop + 1 :], re.MULTILINE)
            if target is None or end is None or _expanded(target.group(1), variables) != path:
                continue
            body = item.text[stop + 1 : stop + 1 + end.start()]
            if not match.group(1) and ("$" in body or "`" in body):
                return None
            return document, item, stop + 1, stop + 1 + end.start()
    return None


def _expanded(text: str, variables: Mapping[str, Fact[str]]) -> str:
    """``text`` with the variables of the container's environment, "" where one is not known."""
    try:
        return posixpath.normpath(re.sub(_SHELL_VARIABLE, lambda m: expand(f"$({m.group(1) or m.group(2)})", variables), text))
    except UnknownFact:
        return ""
