"""What was worked out of an architecture is kept for it, and for no other one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.capacity import shape
from servelint.capacity.layout import Layout
from servelint.capacity.weights import weights_of
from servelint.catalogue import accelerators, models

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool


def test_by_the_architecture_itself_and_what_else_was_asked(architecture: Callable[..., Architecture]) -> None:
    asked: list[tuple[Any, ...]] = []

    @shape.kept
    def question(a: Architecture, ranks: int, *, wide: bool = False) -> int:
        asked.append((a.hidden_size, ranks, wide))
        return a.hidden_size // ranks

    one, equal = architecture(), architecture()
    assert one == equal
    assert [question(one, 2), question(one, 2), question(one, 4), question(one, 2, wide=True)] == [512, 512, 256, 512]
    assert question(equal, 2) == 512
    assert asked == [(1024, 2, False), (1024, 4, False), (1024, 2, True), (1024, 2, False)]


def test_many_architectures_do_not_mix(architecture: Callable[..., Architecture]) -> None:
    @shape.kept
    def width(a: Architecture) -> int:
        return a.hidden_size

    made = [architecture(hidden_size=64 * number) for number in range(1, 30)]
    for _ in range(2):
        assert [width(each) for each in made] == [each.hidden_size for each in made]


def test_pools_of_one_model_keep_their_own_dtype_and_draft(
    pool: Callable[..., Pool], architecture: Callable[..., Architecture]
) -> None:
    model = architecture()
    layout = Layout("vllm")
    plain = weights_of(pool(architecture=model), layout).largest
    wide = weights_of(pool(architecture=model, dtype="float32"), layout).largest
    fp8 = weights_of(pool(architecture=model, quantization="fp8"), layout).largest
    assert wide.mid > 1.9 * plain.mid > 1.9 * fp8.mid
    assert weights_of(pool(architecture=model), layout).largest == plain


def test_pools_of_one_model_keep_their_own_release_engine_device_and_draft(pool: Callable[..., Pool]) -> None:
    """One architecture, asked in turn by pools that differ in all that its bytes depend on, gives each what a fresh one does."""

    def asked(model: str, *pools: dict[str, Any]) -> list[float]:
        one = models.find(model)
        kept, fresh = [], []
        for facts in pools:
            layout = Layout(facts["engine"], tensor=facts.get("tensor", 1), pipeline=facts.get("pipeline", 1))
            kept.append(weights_of(pool(architecture=one, **facts), layout).largest)
            fresh.append(weights_of(pool(architecture=one._replace() if one else None, **facts), layout).largest)
        assert kept == fresh
        return [each.mid for each in kept]

    oss: list[dict[str, Any]] = [
        {"engine": "vllm", "version": "0.10.1"}, {"engine": "vllm", "version": "0.19.0"}, {"engine": "trtllm"},
        {"engine": "vllm", "version": "0.19.0", "tensor": 2}, {"engine": "vllm", "version": "0.19.0", "pipeline": 2},
    ]  # fmt: skip
    assert len(set(asked("openai/gpt-oss-20b", *oss))) == len(oss)
    devices = [{"accelerator": accelerators.find(name)} for name in ("H200-SXM-141GB", "B200")]
    flash = [
        {"engine": "sglang", "version": "0.5.12", "tensor": 4, **facts}
        for facts in (*devices, {**devices[0], "version": "0.5.16"})
    ]
    hopper, blackwell, later = asked("deepseek-ai/DeepSeek-V4-Flash", *flash)
    assert hopper > blackwell == later, "the scales of experts stayed in 32 bits on Hopper up to 0.5.15"
    plain, drafting = asked(
        "Qwen/Qwen3.6-27B", *({"engine": "vllm", "version": "0.24.0", **more} for more in ({}, {"speculative": "mtp"}))
    )
    assert drafting > plain
