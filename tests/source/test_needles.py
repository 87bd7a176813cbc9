from __future__ import annotations

from hypothesis import given, strategies as st

from servelint.source.needles import Needles, Words

SHORT = st.text("ab-_1/: \nä", min_size=1, max_size=5)


@given(st.text("ab-_1/: \nä", max_size=40), st.sets(SHORT, max_size=6), st.sets(SHORT, max_size=6))
def test_needles_are_found_wherever_the_text_has_them(text: str, some: set[str], others: set[str]) -> None:
    words = Words(text)
    for needles in (some, others):
        assert Needles(needles).found_in(words) == {needle for needle in needles if needle in text}


def test_a_large_text_is_not_taken_apart() -> None:
    text = "vllm serve 1\n" * (1 << 17)
    words = Words(text)
    assert words.runs is text
    assert Needles(["vllm", "serve 1", "sglang"]).found_in(words) == {"vllm", "serve 1"}


def test_a_text_is_searched_once_for_the_same_needles() -> None:
    words, needles = Words("kind: deployment"), Needles(["deployment", "service"])
    assert needles.found_in(words) is needles.found_in(words)
