from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from servelint.capacity import shape
from servelint.capacity.kv_cache import Group, KvCache, kv_cache_of, kv_dtype_bytes
from servelint.capacity.layout import Layout
from servelint.facts import UnknownFact

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool

GIB = 2**30


def cache_of(made: Pool, layout: Layout | None = None, in_flight: int = 8192) -> KvCache:
    return kv_cache_of(made, layout or Layout(made.engine.value), shape.layer_kinds(made.architecture.value), in_flight)


@pytest.mark.parametrize(
    ("model", "tensor", "per_token"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", 1, 2 * 8 * 128 * 2 * 32),
        ("meta-llama/Llama-3.1-70B-Instruct", 4, 2 * 2 * 128 * 2 * 80),
        ("meta-llama/Llama-3.1-70B-Instruct", 16, 2 * 1 * 128 * 2 * 80),  # eight KV heads on sixteen ranks: one each
        ("Qwen/Qwen3-30B-A3B", 1, 2 * 4 * 128 * 2 * 48),
        ("deepseek-ai/DeepSeek-R1", 8, (512 + 64) * 2 * 61),  # a latent, which tensor parallelism does not divide
        ("deepseek-ai/DeepSeek-R1", 1, (512 + 64) * 2 * 61),
        ("deepseek-ai/DeepSeek-V3.2", 8, ((512 + 64) * 2 + 132) * 61),  # and the indexer's keys
    ],
)
def test_bytes_per_token(pool: Callable[..., Pool], model: str, tensor: int, per_token: int) -> None:
    assert cache_of(pool(architecture=model), Layout("vllm", tensor=tensor)).bytes_per_token == per_token


@pytest.mark.parametrize(
    ("version", "per_token"),
    [
        ("0.5.0", 2 * 16 * 256 * 2 * 60),  # keys and values of every head, padded
        ("0.6.0", 2 * 16 * 256 * 2 * 60),
        ("0.7.0", 2 * 16 * (128 + 64) * 2 * 60),
        ("0.7.1", (512 + 64) * 2 * 60),
        ("0.19.0", (512 + 64) * 2 * 60),
    ],
)
def test_latent_attention_without_a_backend_kept_every_head(pool: Callable[..., Pool], version: str, per_token: int) -> None:
    made = pool(architecture="deepseek-ai/DeepSeek-Coder-V2-Instruct", version=version)
    assert cache_of(made, Layout("vllm", tensor=8)).bytes_per_token == per_token


def test_dtype_of_the_cache(pool: Callable[..., Pool]) -> None:
    model = "meta-llama/Llama-3.1-8B-Instruct"
    assert cache_of(pool(architecture=model, kv_cache_dtype="fp8")).bytes_per_token == 65536
    assert cache_of(pool(architecture=model, kv_cache_dtype="auto")).bytes_per_token == 131072
    assert kv_dtype_bytes(pool(dtype="float32")) == 4.0
    with pytest.raises(UnknownFact, match="quux"):
        kv_dtype_bytes(pool(kv_cache_dtype="quux"))


@pytest.mark.parametrize(
    ("model", "facts", "pool_gib", "logged"),
    [
        ("google/gemma-3-12b-it", {}, 47.72, 130_304),
        ("google/gemma-2-27b-it", {}, 20.59, 58_672),
        ("openai/gpt-oss-20b", {}, 58.47, 1_277_184),
        ("meta-llama/Llama-3.1-8B-Instruct", {"kv_cache_dtype": "fp8"}, 58.11, 952_032),
        ("Qwen/Qwen3-30B-A3B", {}, 15.41, 168_288),
    ],
)
def test_tokens_of_a_logged_pool(
    pool: Callable[..., Pool], model: str, facts: dict[str, Any], pool_gib: float, logged: int
) -> None:
    """vLLM 0.19: blocks / groups × block size (https://github.com/llm-d-incubation/llm-d-planner/pull/205)."""
    cache = cache_of(pool(architecture=model, version="0.19.0", **facts))
    tokens = cache.blocks(pool_gib * GIB) // len(cache.groups) * cache.block_size
    assert tokens == pytest.approx(logged, rel=3e-4)


def test_sliding_layers_keep_their_window(pool: Callable[..., Pool]) -> None:
    cache = cache_of(pool(architecture="google/gemma-3-12b-it", version="0.19.0"))
    assert [group.mixer for group in cache.groups].count(shape.SLIDING) == 5
    assert cache.request_blocks(131072) == 131072 // 16 + 5 * ((1024 - 1 + 8192 + 15) // 16 + 1)
    early = cache_of(pool(architecture="google/gemma-3-12b-it", version="0.8.5"))
    assert early.request_blocks(131072) == 131072 // 16  # one group of all layers, all of them whole


def test_attention_blocks_grow_to_hold_a_state(pool: Callable[..., Pool]) -> None:
    cache = cache_of(pool(architecture="Qwen/Qwen3.5-35B-A3B"))
    # Gated delta net: 3 × 8192 bf16 and 32 × 128 × 128 fp32 = 2 146 304 B; one token is 2048 B, so 1056 tokens.
    assert cache.block_size == 1056
    assert cache.request_blocks(1056) == 1 + 3
    assert cache.request_blocks(1057) == 2 + 3


def test_context_parallelism_spreads_a_request(pool: Callable[..., Pool]) -> None:
    made = pool(architecture="deepseek-ai/DeepSeek-R1")
    whole = cache_of(made, Layout("vllm", tensor=8))
    spread = cache_of(made, Layout("vllm", tensor=8, decode_context=8))
    assert spread.request_bytes(65536) == whole.request_bytes(65536) / 8
    assert spread.bytes_per_token == whole.bytes_per_token


def test_other_engines_count_to_the_byte(pool: Callable[..., Pool], architecture: Callable[..., Architecture]) -> None:
    made = pool(engine="generic", architecture=architecture(), dtype="bfloat16")
    assert cache_of(made).request_bytes(1001) == 1001 * 2 * 8 * 64 * 2 * 8


def test_a_window_that_is_not_stated_is_unknown(pool: Callable[..., Pool], architecture: Callable[..., Architecture]) -> None:
    made = pool(architecture=architecture(layer_types=["sliding_attention", "full_attention"] * 4))
    with pytest.raises(UnknownFact, match="sliding_window"):
        cache_of(made)


def test_layers_of_a_kind_nobody_described_are_unknown(
    pool: Callable[..., Pool], architecture: Callable[..., Architecture]
) -> None:
    with pytest.raises(UnknownFact, match="quux"):
        cache_of(pool(architecture=architecture(layer_types=["quux"] * 8)))
    with pytest.raises(UnknownFact, match="not described"):
        cache_of(pool(architecture=architecture(model_type="zamba2")))


@given(
    tokens=st.integers(1, 10**6),
    more=st.integers(0, 10**5),
    window=st.sampled_from([0, 128, 4096]),
    block=st.sampled_from([1, 16, 1056]),
    paged=st.booleans(),
)
def test_longer_requests_never_hold_less(tokens: int, more: int, window: int, block: int, paged: bool) -> None:
    groups = (
        Group(shape.FULL, 4, block, 1024.0),
        Group(shape.SLIDING, 4, block, 1024.0, window),
        Group(shape.LINEAR, 4, 1, 1024.0, 0, True),
    )
    cache = KvCache(groups, 1.0, 1, 2048, paged, "")
    assert cache.request_bytes(tokens) <= cache.request_bytes(tokens + more)
    assert cache.requests(1e9, tokens) >= cache.requests(1e9, tokens + more)
    assert cache.requests(-1.0, tokens) == 0
