"""How far measured start-ups are off the middle of the estimate, in GiB, by regime. Written by ``python -m tools.score memory
FILE… --write-margins``, from the same rows that the score is made of; not edited by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Margins(NamedTuple):
    """``groups``: independent configurations; the rest: the least and the most that a measured term was off its estimate, a
    quarter wider."""

    groups: int
    activation: tuple[float, float]
    overhead: tuple[float, float]
    pool: tuple[float, float]


MARGINS: Mapping[str, Margins] = {
    "0.17-0.19": Margins(45, (-0.09, 0.12), (-0.07, 0.28), (-0.28, 0.08)),
    "V1 before 0.17": Margins(10, (-0.05, 0.04), (-0.03, 0.03), (-0.08, 0.04)),
}
