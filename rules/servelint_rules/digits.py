"""Digits that are a number: Python refuses to read thousands of them, and takes “²” for a digit."""

from __future__ import annotations

_MOST = 18  # of a number of 64 bits


def is_number(text: str) -> bool:
    """Whether ``int(text)`` is a number that a port, a count or a time can be."""
    return text.isascii() and text.isdigit() and len(text) <= _MOST
