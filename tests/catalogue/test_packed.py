from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from servelint.catalogue import packed

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def packing() -> Any:
    import importlib.util

    spec = importlib.util.spec_from_file_location("catalogue_packing", TOOLS / "catalogue_builder" / "packing.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_patterns() -> None:
    assert list(packed.names_of("lm_head")) == ["lm_head"]
    assert list(packed.names_of("a.<0-2>.b.<5,7-8>")) == [f"a.{i}.b.{j}" for i in range(3) for j in (5, 7, 8)]


def test_forms() -> None:
    assert packed.expand({"ignore": {"$names": ["l.<0-1>", "head"]}, "n": 1}) == {"ignore": ["l.0", "l.1", "head"], "n": 1}
    assert packed.expand({"$layers": [[{"bits": 4}, ["l.<3,9>"]]]}) == {"l.3": {"bits": 4}, "l.9": {"bits": 4}}
    assert packed.expand([{"$cycle": ["a", "b"], "$length": 5}]) == [["a", "b", "a", "b", "a"]]


def test_experts_of_many_layers_are_few_patterns(packing: Any) -> None:
    names = [f"model.layers.{i}.mlp.experts.{j}.{part}" for i in range(3, 61) for j in range(64) for part in ("up", "down")]
    assert packing.patterns_of([*names, "lm_head"]) == [
        "lm_head",
        "model.layers.<3-60>.mlp.experts.<0-63>.down",
        "model.layers.<3-60>.mlp.experts.<0-63>.up",
    ]


names = st.lists(
    st.lists(st.sampled_from(["l", "e", ".", "-", "0", "7", "12", "007", "3*", "re:.*x"]), min_size=1, max_size=6).map("".join),
    unique=True,
    max_size=40,
)


@given(names)
def test_packing_loses_nothing_but_the_order(packing: Any, names: list[str]) -> None:
    patterns = packing.patterns_of(names)
    assert sorted(name for pattern in patterns for name in packed.names_of(pattern)) == sorted(names)


values = st.recursive(
    st.none()
    | st.integers()
    | st.lists(st.sampled_from(["full", "sliding"]), max_size=30)
    | st.lists(st.integers(0, 1), max_size=30),
    lambda inner: (
        st.dictionaries(st.sampled_from(["a", "b", "quantization_config"]), inner, max_size=3) | st.lists(inner, max_size=3)
    ),
    max_leaves=8,
)


@given(values)
def test_values_survive(packing: Any, value: Any) -> None:
    assert packed.expand(packing.packed(value)) == value


@given(names, st.sampled_from([{"bits": 4}, {"bits": 8}]))
def test_layers_survive(packing: Any, names: list[str], item: dict[str, int]) -> None:
    layers = {name: item if index % 2 else {"algo": "FP8"} for index, name in enumerate(names)}
    assert packed.expand(packing.packed({"quantized_layers": layers})) == {"quantized_layers": layers}
