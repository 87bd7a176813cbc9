"""Looking before parsing: is there anything in a file that a format or an engine would recognise?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def matches(data_lower: bytes, needle_sets: Iterable[Sequence[bytes]], known: dict[bytes, bool] | None = None) -> bool:
    """Whether, for one of the sets, all its needles occur in ``data_lower`` (see ``reader.haystack``).

    An empty set matches every file. Needles shared by several sets are sought once, by several calls too if ``known``,
    which collects what was found, is the same.
    """
    known = {} if known is None else known
    for needles in needle_sets:
        for needle in needles:
            found = known.get(needle)
            if found is None:
                found = known[needle] = needle in data_lower
            if not found:
                break
        else:
            return True
    return False
