"""Placeholders: texts that are filled in before a file is used."""

from __future__ import annotations

import re

# {{ x }} anywhere; alone: <x>, and the upper-case names that Zarf (###X###), sed (__X__) and others (@X@, @@X@@, %X%) fill in.
_WHOLE = r"<[^<>]+>|(###|__|@@?|%%?)[A-Z][A-Z0-9_]*\1"


def placeholder(text: str) -> str:
    """What stands for a value, as ``<name>``; "" if nothing does."""
    start = text.find("{{")
    if start >= 0:
        return f"<{text[start:].strip()}>"
    if text[:1] in ("<", "#", "_", "@", "%") and re.fullmatch(_WHOLE, text):
        return f"<{text.strip('<>')}>"
    return ""
