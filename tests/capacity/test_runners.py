"""Which model runner a release takes, and what that does to its profile of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from servelint.capacity.accounting import GIB
from servelint.capacity.encoder import encoder_memory
from servelint.capacity.graph_estimate import graph_estimate
from servelint.capacity.graphs import captured
from servelint.capacity.layout import Layout
from servelint.capacity.memory import memory_of
from servelint.capacity.runners import FIRST, SECOND, runners_of
from servelint.capacity.tensors import Shards
from servelint.catalogue import accelerators
from servelint.estimate import Estimate
from servelint.facts import Fact, Origin, OriginKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.catalogue.accelerators import Accelerator
    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
QWEN = "Qwen/Qwen3-8B"
HYBRID = "Qwen/Qwen3.6-27B"
EXPERTS = "Qwen/Qwen3-30B-A3B"
MIB = float(1 << 20)


@pytest.mark.parametrize(
    ("model", "version", "runners"),
    [
        (LLAMA, "0.19.1", (FIRST,)),
        (LLAMA, "0.21.0", (FIRST,)),
        (QWEN, "0.22.1", (SECOND,)),
        (LLAMA, "0.22.1", (FIRST,)),
        (LLAMA, "0.23.0", (SECOND,)),
        ("Qwen/Qwen3-8B-FP8", "0.23.0", (FIRST,)),
        ("Qwen/Qwen3-8B-FP8", "0.24.0", (SECOND,)),
        ("microsoft/phi-4", "0.24.0", (FIRST,)),
        ("microsoft/phi-4", "0.25.0", (FIRST, SECOND)),
        ("microsoft/phi-4", "0.25.1", (SECOND,)),
        (EXPERTS, "0.28.0", (FIRST,)),
        (HYBRID, "0.28.0", (FIRST,)),
        (EXPERTS, "0.29.0", (SECOND,)),
        (HYBRID, "0.33.0", (SECOND,)),
    ],
)
def test_the_runner_of_a_release(pool: Callable[..., Pool], model: str, version: str, runners: tuple[int, ...]) -> None:
    assert runners_of(pool(architecture=model, version=version)) == runners


@pytest.mark.parametrize(
    ("method", "version", "runners"),
    [("dspark", "0.26.0", (SECOND,)), ("ngram", "0.29.0", (FIRST,)), ("mtp", "0.28.0", (FIRST,)), ("mtp", "0.29.0", (SECOND,))],
)
def test_speculation_decides_too(pool: Callable[..., Pool], method: str, version: str, runners: tuple[int, ...]) -> None:
    assert runners_of(pool(architecture=HYBRID, version=version, speculative=method)) == runners


def test_context_parallel_prefill_is_the_second_runners(pool: Callable[..., Pool]) -> None:
    assert runners_of(pool(architecture=EXPERTS, version="0.28.0", prefill_context=2)) == (SECOND,)
    assert runners_of(pool(architecture=EXPERTS, version="0.28.0", prefill_context=1)) == (FIRST,)


def test_an_unknown_release_may_have_either(pool: Callable[..., Pool]) -> None:
    assert runners_of(pool(architecture=LLAMA)) == (SECOND, FIRST)


def test_the_second_runner_sets_nothing_aside_before_0_29(pool: Callable[..., Pool], h100: Accelerator) -> None:
    before = memory_of(pool(architecture=LLAMA, version="0.28.0"), h100, Layout("vllm"))
    since = memory_of(pool(architecture=LLAMA, version="0.29.0"), h100, Layout("vllm"))
    assert (before.graphs_inside, since.graphs_inside) == (False, True)
    assert before.kv_pool_bytes.mid > since.kv_pool_bytes.mid


@pytest.mark.parametrize(
    ("sequences", "drafted", "sizes"),
    [(1024, 0, (51, 51)), (256, 0, (51, 35)), (128, 0, (35, 19)), (20, 0, (8, 5)), (2, 0, (3, 2)), (2, 3, (5, 4))],
)
def test_the_sizes_that_a_log_counts(
    pool: Callable[..., Pool], h100: Accelerator, sequences: int, drafted: int, sizes: tuple[int, int]
) -> None:
    """As start-up logs of 0.19 to 0.27 count them: ``PIECEWISE=51 (largest=512), FULL=35 (largest=256)``."""
    more: dict[str, Any] = {"speculative": f'{{"method": "mtp", "num_speculative_tokens": {drafted}}}'} if drafted else {}
    made = pool(architecture=HYBRID if drafted else LLAMA, version="0.24.0", **more)
    assert captured(made, h100, 8192, sequences)[:2] == sizes


@pytest.mark.parametrize(
    ("model", "ranks", "layers", "said"),
    [
        (LLAMA, 1, 32, 0.84), (LLAMA, 4, 32, 0.57), ("codellama/CodeLlama-7b-hf", 1, 32, 0.84), ("microsoft/phi-4", 1, 40, 0.81),
        ("Qwen/Qwen2.5-72B-Instruct", 2, 80, 1.63), ("Qwen/Qwen3-30B-A3B", 1, 48, 1.24), (LLAMA, 2, 32, 1.69),
    ],
)  # fmt: skip
def test_the_estimate_is_that_of_the_logs(
    pool: Callable[..., Pool], h100: Accelerator, model: str, ranks: int, layers: int, said: float
) -> None:
    """``Estimated CUDA graph memory`` of vLLM 0.19.0 on H100 (llm-d-planner pull request 205); the one at TP 2 met a new segment."""
    made = pool(architecture=model, version="0.24.0", tensor=ranks)
    low, middle, high = graph_estimate(made, h100, Shards.of(Layout("vllm", tensor=ranks)), layers, (8192, 1024))
    assert low <= said * GIB <= high
    if said != 1.69:
        assert middle == pytest.approx(said * GIB, rel=0.3)


def test_partial_sums_are_hoppers(pool: Callable[..., Pool], h100: Accelerator) -> None:
    other = accelerators.find("L40S")
    assert other is not None
    shards, made = Shards.of(Layout("vllm")), pool(architecture=LLAMA, version="0.24.0")
    sizes = [graph_estimate(made, device, shards, 32, (8192, 1024)).mid for device in (h100, other)]
    assert sizes[0] - sizes[1] == pytest.approx(136 * MIB)  # 32 splits × 4 bytes × 512 rows × 4096, less what is usual


class TestEncoders:
    def test_an_image_of_the_largest_size(self, pool: Callable[..., Pool]) -> None:
        found = encoder_memory(pool(architecture=HYBRID, version="0.27.1"), 2, 2.0, 8192)
        assert found is not None
        assert found[0].mid == pytest.approx(1.46 * GIB, rel=0.01)
        assert found[1] == Estimate.exact(16384 * 5120 * 2)

    def test_videos_by_the_tokens_of_a_step(self, pool: Callable[..., Pool]) -> None:
        made = pool(architecture="google/gemma-4-31B-it", version="0.23.0")
        few, many = (encoder_memory(made, 1, 2.0, tokens) for tokens in (8192, 16384))
        assert few is not None
        assert many is not None
        assert many[0].mid == 2 * few[0].mid

    def test_other_towers_are_not_described(self, pool: Callable[..., Pool]) -> None:
        assert encoder_memory(pool(architecture="google/gemma-3-4b-it", version="0.23.0"), 1, 2.0, 8192) is None


def test_the_middle_of_what_is_set_aside_is_that_of_the_likeliest_step(pool: Callable[..., Pool], h100: Accelerator) -> None:
    """Where a step may be of several sizes, the others widen the estimate."""
    several = pool(architecture=LLAMA, version="0.21.0", max_num_batched_tokens=8192)._replace(
        max_num_seqs=Fact.either("limits.max_num_seqs", (64, 1024), Origin(OriginKind.FILE, "test"))
    )
    few, many = (
        memory_of(
            pool(architecture=LLAMA, version="0.21.0", max_num_batched_tokens=8192, max_num_seqs=rows), h100, Layout("vllm")
        )
        for rows in (64, 1024)
    )
    found = memory_of(several, h100, Layout("vllm")).graphs_bytes
    assert found == Estimate(few.graphs_bytes.low, few.graphs_bytes.mid, many.graphs_bytes.high)


JAMBA = {"model_type": "jamba", "attn_layer_period": 4, "attn_layer_offset": 2, "mamba_d_state": 16}
FALCON = {"model_type": "falcon_h1", "mamba_n_heads": 16, "mamba_d_head": 64, "mamba_d_state": 64}


@pytest.mark.parametrize("states", [JAMBA, FALCON], ids=["jamba", "falcon_h1"])
def test_a_model_is_hybrid_whatever_keeps_its_states(
    pool: Callable[..., Pool], architecture: Callable[..., Architecture], h100: Accelerator, states: dict[str, Any]
) -> None:
    plain, hybrid = (
        pool(architecture=architecture(), version="0.28.0"),
        pool(architecture=architecture(**states), version="0.28.0"),
    )
    assert (runners_of(plain), runners_of(hybrid)) == ((SECOND,), (FIRST,))
    less, more = (graph_estimate(each, h100, Shards.of(Layout("vllm")), 8, (8192, 1024)).mid for each in (plain, hybrid))
    assert more > less, "states are inputs of a graph, too"
