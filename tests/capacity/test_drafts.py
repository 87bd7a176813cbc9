"""What speculative decoding adds to weights and cache."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from servelint.capacity.drafts import draft_of
from servelint.capacity.layout import Layout
from servelint.capacity.memory import memory_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.capacity.memory import MemoryBudget
    from servelint.catalogue.accelerators import Accelerator
    from servelint.deployment import Pool

LLAMA = "meta-llama/Llama-3.3-70B-Instruct"
V3 = "deepseek-ai/DeepSeek-V3"


@pytest.fixture
def budget(pool: Callable[..., Pool], h100: Accelerator) -> Callable[..., MemoryBudget]:
    def make(model: str, config: dict[str, Any] | None, tensor: int = 4) -> MemoryBudget:
        facts = {} if config is None else {"speculative": json.dumps(config)}
        made = pool(architecture=model, version="0.19.0", tensor=tensor, dtype="bfloat16", **facts)
        return memory_of(made, h100, Layout("vllm", tensor=tensor))

    return make


def test_a_draft_model_has_weights_and_a_cache(budget: Callable[..., MemoryBudget]) -> None:
    alone, drafted = (
        budget(LLAMA, None),
        budget(LLAMA, {"model": "meta-llama/Llama-3.2-1B-Instruct", "num_speculative_tokens": 4}),
    )
    more = drafted.weights_bytes.mid - alone.weights_bytes.mid
    assert more == pytest.approx(1.2359e9 * 2 / 4, rel=0.05), "1.24 billion parameters over four ranks"
    assert drafted.kv_bytes_per_token - alone.kv_bytes_per_token == 16 * 2 * 2 * 64 * 2, "16 layers, 2 of 8 KV heads"
    assert not drafted.calibrated


def test_modules_of_the_model_itself(budget: Callable[..., MemoryBudget]) -> None:
    alone, drafted = budget(V3, None, 8), budget(V3, {"method": "deepseek_mtp", "num_speculative_tokens": 1}, 8)
    assert drafted.kv_bytes_per_token - alone.kv_bytes_per_token == 576 * 2
    assert 1.0 < (drafted.weights_bytes.mid - alone.weights_bytes.mid) / 2**30 < 2.0, "11.5 billion parameters over eight ranks"


def test_heads_of_unknown_size_are_an_interval(budget: Callable[..., MemoryBudget]) -> None:
    alone, drafted = budget(LLAMA, None), budget(LLAMA, {"method": "eagle3", "model": "someone/EAGLE3-of-70B"})
    assert drafted.weights_bytes.low <= alone.weights_bytes.mid < drafted.weights_bytes.mid < drafted.weights_bytes.high


@pytest.mark.parametrize("config", [{"method": "ngram", "num_speculative_tokens": 3}, {"method": "suffix"}])
def test_guessing_from_the_prompt_takes_nothing(budget: Callable[..., MemoryBudget], config: dict[str, Any]) -> None:
    assert budget(LLAMA, config).weights_bytes == budget(LLAMA, None).weights_bytes


def test_no_speculation(pool: Callable[..., Pool]) -> None:
    assert draft_of(pool(architecture=LLAMA)) is None
    assert draft_of(pool(architecture=LLAMA, speculative="none")) is None
    assert draft_of(pool(architecture=LLAMA, speculative="{not json")) is not None, "something is on"
