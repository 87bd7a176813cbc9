"""How far a word is from the one that was meant."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from servelint_rules.slips import distance, nearest

WORDS = st.text("abcx_", max_size=8)


@pytest.mark.parametrize(
    ("one", "other", "steps"),
    [
        ("mlx5_", "mlx5_", 0), ("mxl5_", "mlx5_", 1), ("mlx_", "mlx5_", 1), ("mlx55_", "mlx5_", 1), ("mlx6_", "mlx5_", 1),
        ("vllm", "vlm", 1), ("HOME", "EMOH", 3), ("a", "abcd", 3), ("", "", 0),
    ],
)  # fmt: skip
def test_steps_from_one_word_to_another(one: str, other: str, steps: int) -> None:
    assert distance(one, other) == steps


@given(WORDS, WORDS, st.integers(0, 9))
def test_the_way_back_is_as_long_and_never_longer_than_asked_for(one: str, other: str, most: int) -> None:
    steps = distance(one, other, most)
    assert steps == distance(other, one, most)
    assert steps == min(distance(one, other, 20), most + 1)
    assert (steps == 0) == (one == other)


@pytest.mark.parametrize(
    ("word", "meant"),
    [("volumeMount", "volumeMounts"), ("VOLUMEMOUNTS", "volumeMounts"), ("imagePullPolicies", ""), ("sidecar", "")],
)
def test_the_nearest_of_the_known_words(word: str, meant: str) -> None:
    assert nearest(word, ["volumes", "volumeMounts", "image"]) == meant
