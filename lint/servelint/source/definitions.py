"""Custom resource definitions: schemas of a megabyte each, which name every kind and deploy nothing. They are not read."""

from __future__ import annotations

import re
from itertools import pairwise

from servelint.source.recovery import MARKER

_SPEC = re.compile(r"^spec:[ \t]*\r?\n", re.MULTILINE)
_KIND = re.compile(r"^kind: CustomResourceDefinition[ \t]*\r?$", re.MULTILINE)
_GROUP = re.compile(r"^apiVersion: apiextensions\.k8s\.io/", re.MULTILINE)


def without_schemas(text: str) -> str:
    """The text with blanks for what stands below the ``spec`` of a definition; every other character keeps its offset."""
    begins = [0, *(match.start() for match in MARKER.finditer(text)), len(text)]
    parts = []
    for begin, end in pairwise(begins):
        spec = _SPEC.search(text, begin, end)
        if spec and _KIND.search(text, begin, spec.start()) and _GROUP.search(text, begin, spec.start()):
            schema = text[spec.end() : end]
            parts += [text[begin : spec.end()], " " * (len(schema) - 1), "\n" if schema.endswith("\n") else " " * bool(schema)]
        else:
            parts.append(text[begin:end])
    return "".join(parts)
