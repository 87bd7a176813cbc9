"""The catalogue's shipped data: one record is found by a search over the bytes and parsed alone.

A ``*.records`` file is sorted lines ``key<TAB>JSON``, the keys in lower case; the JSON begins with the name as its owner spells
it. A line ``key<TAB>=other<TAB>name`` says that ``name`` is another name of ``other``. The JSON is ASCII, so no line break or
tab can stand inside it.
"""

from __future__ import annotations

import json
import os
from functools import cache
from typing import Any

_DIRECTORY = os.path.join(os.path.dirname(__file__), "data")


@cache
def contents(name: str) -> bytes:
    """The bytes of a data file, read once."""
    with open(os.path.join(_DIRECTORY, name), "rb") as file:
        return file.read()


@cache
def document(name: str) -> Any:
    """A small JSON data file, parsed once."""
    return json.loads(contents(name))


@cache
def line_of(name: str, key: str) -> bytes | None:
    """What stands beside ``key`` (in any case) in a ``*.records`` file; other names are followed."""
    data = contents(name)
    wanted = key.lower().encode()
    if not wanted or any(byte < 0x20 for byte in wanted):  # control characters separate keys and lines
        return None
    for _ in range(2):
        start = data.find(b"\n" + wanted + b"\t")
        if start < 0:
            return None
        start += len(wanted) + 2
        line = data[start : data.find(b"\n", start)]
        if not line.startswith(b"="):
            return line
        wanted = line[1:].partition(b"\t")[0]
    return None


@cache
def names_in(name: str) -> list[str]:
    """Every name in a ``*.records`` file as its owner spells it, other names too, sorted without regard to case."""
    lines = contents(name).split(b"\n")[1:-1]
    # {"id":"the name",…}, or =other<TAB>the name
    spelled = (line.rpartition(b"\t")[2] if b"\t=" in line else line.split(b'"', 4)[3] for line in lines)
    return [found.decode() for found in spelled]


def nearest(text: str, names: list[str], count: int = 3) -> list[str]:
    """The names most like ``text``, best first; the part after an owner (``owner/name``) counts as well."""
    import difflib  # lazy: only a name that was not found needs it

    wanted = text.lower()
    by_lower: dict[str, str] = {}
    for name in names:
        by_lower.setdefault(name.lower(), name)
    found = difflib.get_close_matches(wanted, list(by_lower), n=count)
    if len(found) < count and "/" in next(iter(by_lower), ""):
        by_tail: dict[str, str] = {}
        for key in by_lower:
            by_tail.setdefault(key.partition("/")[2], key)
        tails = difflib.get_close_matches(wanted.rpartition("/")[2], list(by_tail), n=count, cutoff=0.7)
        found += [by_tail[tail] for tail in tails if by_tail[tail] not in found]
    return [by_lower[key] for key in found[:count]]
