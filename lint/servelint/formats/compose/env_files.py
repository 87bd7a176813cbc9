"""Variables of a service from its ``env_file``, where that is among the files of the run.

Source: Compose specification, ``env_file``: later files win over earlier ones, ``environment`` over all of them; compose-go,
``dotenv/parser.go``, for the lines.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats.compose.interpolation import interpolate
from servelint.source.nodes import Document, MappingNode, ScalarNode
from servelint.source.text import Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Node
    from servelint.source.text import SourceText

_MISSING = "it may come from an env_file, which is not at hand"
_LINE = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.-]*)[ \t]*(?:[=:][ \t]*(.*))?$")
_QUOTED = re.compile(r"(['\"])(.*?)\1[ \t]*(?:#.*)?$")


def variables(files: Sequence[Node], surroundings: Surroundings) -> tuple[dict[str, Fact[str]], str]:
    """The variables of ``files``, the last of which win, and why there may be more ("" if every file is at hand)."""
    listed: dict[str, Fact[str]] = {}
    reason = ""
    for item in files:
        source = _source(item, surroundings)
        if source is None:
            reason = _MISSING
            for name, fact in listed.items():  # which this file may set anew
                listed[name] = Fact.unknown(fact.name, _MISSING, origin=fact.origin) if fact.is_known else fact
            continue
        listed |= _lines(source)
    return listed, reason


def is_for_compose(fact: Fact[str] | None, document: Document) -> bool:
    """Whether Compose itself expands the variable: it reads the ``.env`` beside its file for that, and no other ``env_file``."""
    place = fact.place if fact is not None else None
    folder = document.source.path.rpartition("/")[0]
    return place is not None and place.document.source.path in {f"{folder}/.env", *([] if folder else [".env"])}


def _source(item: Node, surroundings: Surroundings) -> SourceText | None:
    """The file that an entry of ``env_file`` names; None where it is not at hand, or not in the usual form."""
    path = item.get("path") if isinstance(item, MappingNode) else item.resolved
    if not isinstance(path, ScalarNode) or item.get("format") is not None:
        return None
    value = interpolate(path.text)
    source = surroundings.file(value.text.text) if not value.unset else None
    return source if source is not None and '"""' not in source.text and not _runs_on(source.text) else None


def _runs_on(text: str) -> bool:
    """A quoted value that goes on in the next line."""
    values = (match.group(2) or "" for line in text.splitlines() if (match := _LINE.match(line)))
    return any(value[:1] in {"'", '"'} and _QUOTED.match(value) is None for value in values)


def _lines(source: SourceText) -> Iterator[tuple[str, Fact[str]]]:
    document = Document(source, 0, None, Span(0, len(source.text)))
    for number in range(1, len(source.line_starts) + 1):
        match = _LINE.match(source.line(number))
        if match is None:
            continue
        name = match.group(1)
        label = f"env.{name}"
        begin = source.line_starts[number - 1]
        origin = Origin(OriginKind.FILE, label, Place(document, Span(begin + match.start(1), begin + match.end())))
        value = match.group(2)
        if value is None:
            yield name, Fact.unknown(label, "Compose takes it from the shell", f"write {name}=VALUE", origin)
            continue
        quoted = _QUOTED.match(value)
        mark, text = quoted.groups() if quoted is not None else ("", re.split(r"[ \t]#", value)[0].rstrip(" \t"))
        if mark != "'" and ("$" in text or "\\" in text or text.startswith("#")):
            yield name, Fact.unknown(label, f"{name} is put together when Compose reads its env_file", "", origin)
        else:
            yield name, Fact.known(label, text, origin)
