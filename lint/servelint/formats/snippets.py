"""Snippets: edits that add what a pod spec lacks. Each returns None where the place cannot be proven."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Edit
from servelint.source import edits
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from servelint.source.nodes import Document, Node


def prepend_item(document: Document, sequence: SequenceNode, first: str, *rest: str) -> tuple[Edit, ...] | None:
    """Adds a mapping item, given as lines at indentation 0, before the items (and their comment) of a block sequence.

    The place is sure wherever the first item stands alone behind its dash.
    """
    if sequence.flow or not sequence.items:
        return None
    text = document.source.text
    start = sequence.items[0].span.start
    line = max(text.rfind("\n", 0, start), text.rfind("\r", 0, start)) + 1
    before = text[line:start]
    indent = len(before) - len(before.lstrip(" "))
    if before[indent:].rstrip(" ") != "-":
        return None
    while line and (above := text.rfind("\n", 0, line - 1) + 1) < line and text[above:line].lstrip().startswith("#"):
        line = above
    margin = " " * indent
    lines = [f"{margin}- {first}", *(f"{margin}  {each}" for each in rest)]
    end = "\r\n" if "\r\n" in text else "\n"
    return (Edit(document.source.path, line, line, end.join(lines) + end),)


def add_to_list(document: Document, owner: Node, key: str, after: str, first: str, *rest: str) -> tuple[Edit, ...] | None:
    """Adds an item to the list ``owner[key]``, which is made (after the entry ``after``) where it does not exist."""
    if not isinstance(owner, MappingNode):
        return None
    entry = owner.entry(key)
    if entry is not None:
        value = entry[1]  # an alias would change its anchor, and whoever else uses it
        return prepend_item(document, value, first, *rest) if isinstance(value, SequenceNode) else None
    lines = [f"- {first}", *(f"  {each}" for each in rest)]
    return edits.insert_entry(document, owner, key, "\n".join(lines), after if owner.entry(after) else None)


def mount_shared_memory(document: Document, template: Node, container: Node, gib: int) -> tuple[Edit, ...] | None:
    """A memory-backed volume of ``gib`` GiB at ``/dev/shm``; a volume that is there for it is mounted, not doubled."""
    spec = template.get("spec")
    if spec is None:
        return None
    volumes = {volume.text_at("name") or "": volume for volume in spec.elements_at("volumes")}
    ready = [n for n, v in volumes.items() if n in ("dshm", "shm") and v.text_at("emptyDir", "medium") == "Memory"]
    name = ready[0] if ready else next(n for n in ("dshm", "shm", "dev-shm", "dev-shm-2", "dev-shm-3") if n not in volumes)
    mount = add_to_list(document, container, "volumeMounts", "resources", f"name: {name}", "mountPath: /dev/shm")
    if mount is None or ready:
        return mount
    volume = add_to_list(
        document, spec, "volumes", "containers", f"name: {name}", "emptyDir:", "  medium: Memory", f"  sizeLimit: {gib}Gi"
    )
    return None if volume is None else (*mount, *volume)


def add_startup_probe(document: Document, container: Node, period: int, failures: int) -> tuple[Edit, ...] | None:
    """A startup probe with the handler of the liveness probe; None for a handler that holds more than a place to ask."""
    if not isinstance(container, MappingNode):
        return None
    for handler in ("httpGet", "tcpSocket"):
        asked = container.entries_at("livenessProbe", handler)
        if not asked:
            continue
        if not all(isinstance(value, ScalarNode) and key in ("path", "port", "scheme") for key, _, value in asked):
            return None
        text = document.source.text
        written = [f"  {key}: {text[value.span.start : value.span.end]}" for key, _, value in asked]
        lines = [f"{handler}:", *written, f"periodSeconds: {period}", f"failureThreshold: {failures}"]
        return edits.insert_entry(document, container, "startupProbe", "\n".join(lines), "livenessProbe")
    return None


def add_limit(document: Document, container: Node, resource: str, value: str) -> tuple[Edit, ...] | None:
    """``resources.limits[resource]``, with the mappings above it where they are missing."""
    if not isinstance(container, MappingNode):
        return None
    quoted = f'"{value}"'
    limits = container.get("resources", "limits")
    if isinstance(limits, MappingNode):
        return edits.insert_entry(document, limits, resource, quoted, None)
    resources = container.get("resources")
    if isinstance(resources, MappingNode):
        return edits.insert_entry(document, resources, "limits", f"{resource}: {quoted}", None)
    if container.entry("resources") is not None:
        return None
    return edits.insert_entry(document, container, "resources", f"limits:\n  {resource}: {quoted}", None)
