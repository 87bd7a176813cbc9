from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from servelint.capacity.layout import DEGREES, GROUP_LAWS, Layout, layout_of
from servelint.facts import Fact, UnknownFact

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.deployment import Pool

degree = st.integers(1, 16)


@pytest.mark.parametrize("engine", GROUP_LAWS)
def test_every_degree_multiplies_or_overlays_or_is_not_there(engine: str) -> None:
    law = GROUP_LAWS[engine]
    assert set(DEGREES) == {*law.multiplies, *law.overlays, *law.unsupported}
    assert not set(law.multiplies) & set(law.overlays)
    assert law.source
    for group in law.overlays.values():
        assert set(group.split("·")) <= set(law.multiplies), "an overlay reuses what multiplies"


@given(engine=st.sampled_from(sorted(GROUP_LAWS)), degrees=st.fixed_dictionaries(dict.fromkeys(DEGREES, degree)))
def test_world_is_the_product_of_what_multiplies_and_of_nothing_else(engine: str, degrees: dict[str, int]) -> None:
    layout = Layout(engine, **degrees)
    assert layout.world_size == prod(degrees[name] for name in GROUP_LAWS[engine].multiplies)
    assert layout.world_size == layout.rank_group * layout.data
    assert layout.naive_product == prod(degrees.values())
    assert layout.naive_product % layout.world_size == 0
    for name in GROUP_LAWS[engine].overlays:
        assert layout.with_(**{name: 1}).world_size == layout.world_size


@pytest.mark.parametrize(
    ("engine", "degrees", "world"),
    [
        ("generic", {"tensor": 2, "pipeline": 2, "data": 2, "sequence": 2}, 8),
        ("generic", {"tensor": 2, "pipeline": 1, "data": 2, "sequence": 2}, 4),
        ("generic", {"tensor": 4, "prefill_context": 2, "data": 2, "expert": 8}, 16),
        ("vllm", {"tensor": 8, "pipeline": 2}, 16),
        ("vllm", {"tensor": 1, "data": 8, "expert": 8}, 8),
        ("vllm", {"tensor": 8, "decode_context": 8}, 8),
        ("sglang", {"tensor": 8, "attention_data": 8, "expert": 8}, 8),
        ("sglang", {"tensor": 8, "data": 8}, 64),
        ("trtllm", {"tensor": 4, "pipeline": 2, "expert": 4}, 8),
        ("tgi", {"tensor": 4}, 4),
    ],
)
def test_gpus_by_the_engines_law(engine: str, degrees: dict[str, int], world: int) -> None:
    assert Layout(engine, **degrees).world_size == world


def test_experts_of_vllm_reuse_tensor_and_data() -> None:
    layout = Layout("vllm", tensor=4, data=4, expert=16)
    assert layout.group("expert") == layout.expert_shards == 16
    assert layout.attention_ranks == 4
    assert Layout("sglang", tensor=8, attention_data=4).attention_ranks == 4
    assert Layout("sglang", tensor=8, attention_data=4).attention_tensor == 2


def test_the_formula_names_what_multiplies() -> None:
    assert Layout("generic", tensor=2, pipeline=2, data=2, sequence=2).formula() == "TP 2 × PP 2 × DP 2 = 8"
    assert Layout("vllm").formula() == "TP 1"


def test_a_degree_nobody_states_is_off(pool: Callable[..., Pool]) -> None:
    assert layout_of(pool(tensor=4)) == Layout("vllm", tensor=4)


@pytest.mark.parametrize(
    ("facts", "fact"),
    [
        ({"tensor": Fact.unknown("parallelism.tensor", "from a variable")}, "parallelism.tensor"),
        ({"expert": Fact.unknown("parallelism.expert", "from a variable")}, "parallelism.expert"),
        ({"pipeline": 0}, "pipeline"),
        ({"data": -3}, "data"),
        ({"engine": "other"}, "engine.name"),
    ],
)
def test_what_is_not_a_degree_is_unknown(pool: Callable[..., Pool], facts: dict[str, Any], fact: str) -> None:
    with pytest.raises(UnknownFact) as raised:
        layout_of(pool(**facts))
    assert raised.value.fact == fact
