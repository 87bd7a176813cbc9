"""Slips: how far a word is from the one that was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def distance(one: str, other: str, most: int = 2) -> int:
    """Letters to insert, leave out, replace or swap, to make one word the other; ``most`` + 1 where it takes more."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        row = [i]
        for j, against in enumerate(other, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != against))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == against:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return min(last[-1], most + 1)


def nearest(word: str, known: Iterable[str]) -> str:
    """The one of ``known`` that ``word`` nearly is, whatever the case of its letters; "" where none is near."""
    from difflib import get_close_matches  # lazy: few words are unknown

    by_lower: dict[str, str] = {}
    for each in sorted(known):
        by_lower.setdefault(each.lower(), each)
    near = get_close_matches(word.lower(), sorted(by_lower), n=1, cutoff=0.85)
    return by_lower[near[0]] if near else ""
