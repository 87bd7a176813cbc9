from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, strategies as st

from servelint.source.needles import Needles, Words

if TYPE_CHECKING:
    import pytest

SHORT = st.text("ab-_1/: \nä", min_size=1, max_size=5)


@given(st.lists(st.text("ab-_1/: \nä", max_size=40), max_size=4), st.sets(SHORT, max_size=6), st.sets(SHORT, max_size=6))
def test_needles_are_found_wherever_a_text_has_them(texts: list[str], some: set[str], others: set[str]) -> None:
    """Whichever texts came before, and whatever else was looked for in the same text."""
    files = [Words(text) for text in texts]
    for needles in (some, others):
        together = Needles(needles)
        for words in files:
            assert together.found_in(words) == {needle for needle in needles if needle in words.text}


def test_runs_are_forgotten_before_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("servelint.source.needles._MOST_SEEN", 2)
    needles = Needles(["vllm", "sglang"])
    for text, found in (("a-vllm b c", {"vllm"}), ("d sglang", {"sglang"}), ("a-vllm e", {"vllm"}), ("d e", set())):
        assert needles.found_in(Words(text)) == found


def test_a_large_text_is_not_taken_apart() -> None:
    text = "vllm serve 1\n" * (1 << 19)
    words = Words(text)
    assert words.runs == {text}
    assert Needles(["vllm", "serve 1", "sglang"]).found_in(words) == {"vllm", "serve 1"}


def test_a_text_is_searched_once_for_the_same_needles() -> None:
    words, needles = Words("kind: deployment"), Needles(["deployment", "service"])
    assert needles.found_in(words) is needles.found_in(words)
