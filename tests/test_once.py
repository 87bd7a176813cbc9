"""What several rules ask of one case is worked out once."""

from __future__ import annotations

import pytest

from servelint.case import Case, once
from servelint.facts import UnknownFact


def test_the_answer_is_kept_with_the_case() -> None:
    asked: list[Case] = []

    @once
    def question(case: Case) -> list[int]:
        """What it asks."""
        asked.append(case)
        return []

    one, other = Case(), Case()
    assert question(one) is question(one)
    assert question(other) is not question(one)
    assert asked == [one, other]
    assert question.__doc__ == "What it asks."


def test_none_is_an_answer() -> None:
    asked: list[Case] = []
    case = Case()

    @once
    def question(case: Case) -> None:
        asked.append(case)

    question(case)
    question(case)
    assert len(asked) == 1


def test_an_unknown_fact_stops_everyone_who_asks() -> None:
    asked: list[Case] = []
    case = Case()

    @once
    def question(case: Case) -> int:
        asked.append(case)
        raise UnknownFact("model.id", "not stated")

    for _ in range(2):
        with pytest.raises(UnknownFact, match=r"model\.id: not stated"):
            question(case)
    assert len(asked) == 1
