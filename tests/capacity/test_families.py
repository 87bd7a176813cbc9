"""Families with tensors or caches of their own: counts against published totals, caches against what engines logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from servelint.capacity import shape, tensors
from servelint.capacity.kv_cache import KvCache, kv_cache_of
from servelint.capacity.layout import Layout
from servelint.capacity.weights import text_parameters, weights_of
from servelint.catalogue import models
from servelint.facts import UnknownFact

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.deployment import Pool

GIB = float(1 << 30)


@pytest.mark.parametrize(
    ("model", "total", "within"),
    [
        # Of the class on torch's meta device, or the hub's total of stored elements.
        ("deepseek-ai/DeepSeek-V4-Flash", 284_332_230_231, 1e-6),
        ("deepseek-ai/DeepSeek-V4-Pro", 1_572_997_179_491, 1e-6),
        ("nvidia/Llama-3_3-Nemotron-Super-49B-v1", 49_867_145_216, 0.0),
        ("nvidia/NVIDIA-Nemotron-Nano-9B-v2", 8_888_227_328, 0.0),
        ("ibm-granite/granite-4.0-h-tiny", 6_939_037_248, 0.0),
        ("moonshotai/Kimi-Linear-48B-A3B-Instruct", 49_122_681_728, 1e-5),
        ("moonshotai/Moonlight-16B-A3B", 15_960_111_936, 1e-6),
        ("baidu/ERNIE-4.5-21B-A3B-Thinking", 21_825_437_888, 1e-6),
        ("MiniMaxAI/MiniMax-M1-40k", 456e9, 1e-3),
        ("CohereLabs/c4ai-command-a-03-2025", 111_057_580_032, 0.0),
        ("tiiuae/Falcon-H1-34B-Instruct", 33_642_516_224, 0.0),
        ("bigscience/bloom", 176_247_271_424, 0.0),
        ("bigcode/starcoder2-15b", 15_957_889_024, 0.0),
        ("allenai/OLMo-7B-0724-hf", 6_888_095_744, 0.0),
        ("inclusionAI/Ling-1T", 999_705_328_640, 0.0),
        ("rednote-hilab/dots.llm1.inst", 142_774_381_696, 0.0),
        ("arcee-ai/Trinity-Mini", 26_123_974_400, 0.0),
        ("swiss-ai/Apertus-8B-Instruct-2509", 8_053_338_176, 0.0),
        ("nvidia/NVIDIA-Nemotron-Nano-12B-v2-Base", 12_310_001_152, 0.0),
        ("ai21labs/Jamba-v0.1", 51_570_323_328, 0.0),
        ("ai21labs/AI21-Jamba-1.5-Large", 398e9, 0.002),
        ("tiiuae/falcon-mamba-7b", 7_272_665_088, 0.0),
        ("databricks/dbrx-base", 132e9, 0.004),
        ("EleutherAI/gpt-j-6b", 6e9, 0.01),
        ("mosaicml/mpt-7b", 6_649_286_656, 0.0),
    ],
)
def test_the_tensors_sum_to_the_published_total(model: str, total: float, within: float) -> None:
    architecture = models.find(model)
    assert architecture is not None
    assert text_parameters(architecture) == pytest.approx(total, rel=within or 1e-12)


def _counts() -> dict[str, float]:
    """Of every entry with an independent count: how far the tensors' sum is off the nearer of it and it without MTP modules."""
    found: dict[str, float] = {}
    for name in models.names():
        entry = models.entry(name)
        if entry is None or entry.id in found or entry.architecture is None:
            continue
        published = entry.figures.get("meta") or entry.figures.get("hub")
        try:
            a = entry.architecture
            total = text_parameters(a)
            if published and (a.vision or "Conditional" in str(a.config.get("architectures"))):
                total = max(total, published if total <= published <= 1.15 * total else total)
            draft = tensors.draft_layer_parameters(a)
        except UnknownFact:
            continue
        if published:
            found[entry.id] = min(abs(total / published - 1), abs((total + draft) / published - 1))
    return found


def test_most_models_count_within_one_percent() -> None:
    off = _counts()
    assert len(off) > 700
    assert sum(gap < 0.01 for gap in off.values()) > 0.9 * len(off)


def cache(pool: Callable[..., Pool], model: str, tensor: int = 1, **facts: Any) -> KvCache:
    step = facts.pop("step", 8192)
    made = pool(architecture=model, tensor=tensor, dtype="bfloat16", **facts)
    layout = Layout("vllm", tensor=tensor)
    return kv_cache_of(made, layout, shape.layer_kinds(made.architecture.value), step, last=True)


class TestLogged:
    """Caches of one request as engines logged them (fixtures/ground_truth)."""

    def test_deepseek_v4(self, pool: Callable[..., Pool]) -> None:
        """vllm-project/vllm issue 44376: 6.66 GiB for 30000 tokens, 13528 tokens in 5.44 GiB."""
        v4 = cache(pool, "deepseek-ai/DeepSeek-V4-Flash", 2, version="0.22.1", kv_cache_dtype="fp8", step=16384)
        assert v4.request_bytes(30_000) / GIB == pytest.approx(6.66, abs=0.005)
        assert v4.request_bytes(13_528) / GIB == pytest.approx(5.44, abs=0.005)
        assert v4.request_bytes(13_528 + 8) > v4.request_bytes(13_528)

    def test_minimax_m3_with_a_draft_layer(self, pool: Callable[..., Pool]) -> None:
        """InferenceX pull request 2511: 37.62 GiB a rank for 1048576 tokens at TP 2 with an fp8 cache."""
        m3 = cache(pool, "nvidia/MiniMax-M3-NVFP4", 2, version="0.30.0", kv_cache_dtype="fp8", speculative='{"method": "mtp"}')
        assert m3.request_bytes(1_048_576) / GIB == pytest.approx(37.62, abs=0.01)

    def test_kimi_k3(self, pool: Callable[..., Pool]) -> None:
        """InferenceX pull request 2371: 42.23 GiB are 3249215 tokens with an fp8 cache, the states of its delta layers included."""
        k3 = cache(pool, "moonshotai/Kimi-K3", 8, version="0.30.0", kv_cache_dtype="fp8")
        assert k3.requests(42.23 * GIB, 1_048_576) * 1_048_576 == pytest.approx(3_249_215, rel=0.03)

    @pytest.mark.parametrize(
        ("model", "tokens", "gib"),
        [("zai-org/GLM-4.7-FP8", 202_752, 71.16), ("Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8", 262_144, 62.0)],
    )
    def test_grouped_queries(self, pool: Callable[..., Pool], model: str, tokens: int, gib: float) -> None:
        assert cache(pool, model).request_bytes(tokens) / GIB == pytest.approx(gib, abs=0.005)


def test_layers_beside_each_other_keep_both(pool: Callable[..., Pool], architecture: Callable[..., Any]) -> None:
    """Falcon-H1: attention and a state space in every layer."""
    a = architecture(model_type="falcon_h1", mamba_n_heads=48, mamba_d_head=64, mamba_d_state=256, mamba_d_conv=4)
    kept = kv_cache_of(pool(architecture=a, dtype="bfloat16"), Layout("vllm"), shape.layer_kinds(a), 2048)
    assert {group.mixer for group in kept.groups} == {shape.FULL, shape.MAMBA}
    assert kept.bytes_per_token == 8 * 2 * 8 * 64 * 2
    assert next(g for g in kept.groups if g.mixer == shape.MAMBA).constant


def test_kinds_of_which_only_the_numbers_are_known(architecture: Callable[..., Any]) -> None:
    a = architecture(num_hidden_layers=8, layer_types_counts={"mamba": 6, "attention": 2})
    mixers = [kind.mixer for kind in shape.layer_kinds(a)]
    assert mixers.count(shape.FULL) == 2
    assert abs(mixers.index(shape.FULL) - (7 - mixers[::-1].index(shape.FULL))) > 2, "dealt out, not at one end"
    with pytest.raises(UnknownFact, match="attn_type_list"):
        shape.layer_kinds(architecture(model_type="minimax_m1"))


def test_experts_of_deepseek_v4_are_in_four_bits(pool: Callable[..., Pool]) -> None:
    """Its weight files are 805.34 GiB, the module for multi-token prediction with them (kaito's model catalogue)."""
    made = pool(architecture="deepseek-ai/DeepSeek-V4-Pro", dtype="bfloat16", version="0.22.1", speculative='{"method": "mtp"}')
    assert weights_of(made, Layout("vllm")).largest.mid / GIB == pytest.approx(805.34, rel=0.003)


def test_vllm_imports_a_workspace_for_latent_attention(pool: Callable[..., Pool]) -> None:
    """Logged for Kimi-VL in 0.19.0: 30.74 GiB and 15.53 GiB at TP 1 and 2 (llm-d-planner pull request 205)."""
    for tensor, gib in ((1, 30.74), (2, 15.53)):
        made = pool(architecture="moonshotai/Kimi-VL-A3B-Instruct", version="0.19.0", tensor=tensor, dtype="bfloat16")
        assert weights_of(made, Layout("vllm", tensor=tensor)).largest.mid / GIB == pytest.approx(gib, rel=0.003)
    later = pool(architecture="moonshotai/Moonlight-16B-A3B", version="0.28.0", dtype="bfloat16")
    before = pool(architecture="moonshotai/Moonlight-16B-A3B", version="0.19.0", dtype="bfloat16")
    assert weights_of(later, Layout("vllm")).largest.low < weights_of(before, Layout("vllm")).largest.low


@pytest.mark.parametrize("ranks", [1, 4])
def test_jamba_keeps_states_beside_few_caches(pool: Callable[..., Pool], ranks: int) -> None:
    kept = cache(pool, "ai21labs/Jamba-v0.1", ranks)
    assert {group.mixer for group in kept.groups} == {"full", "selective"}
    state = (3 * 8192 + 8192 * 16) * 2 / ranks  # convolution and recurrent state of one layer
    token = 2 * 8 * 128 * 2 / ranks
    least = 28 * state + 4 * token * (1 << 18)
    assert least <= kept.request_bytes(1 << 18) <= 1.1 * least


def test_an_encoder_of_sound_is_counted(pool: Callable[..., Pool]) -> None:
    audio, plain = (models.find(name) for name in ("Qwen/Qwen2-Audio-7B-Instruct", "Qwen/Qwen2-7B-Instruct"))
    assert audio is not None
    assert plain is not None
    both = weights_of(pool(architecture=audio, dtype="bfloat16"), Layout("vllm"))
    assert both.counted == pytest.approx(text_parameters(audio) + 642e6, rel=2e-3)  # 8397094912 less the language model
    assert weights_of(pool(architecture=plain, dtype="bfloat16"), Layout("vllm")).counted == text_parameters(plain)
