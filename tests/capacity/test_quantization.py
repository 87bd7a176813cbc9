from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from servelint.capacity.ignored import Ignored
from servelint.capacity.quantization import dtype_bytes, quantization_of
from servelint.capacity.tensors import Part
from servelint.catalogue import accelerators, models
from servelint.facts import Fact, UnknownFact

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool

QKV = Part("self_attn.qkv_proj", 4096, 4096)
MLP = Part("mlp.gate_up_proj", 8192, 4096)
EXPERTS = Part("mlp.experts.gate_up_proj", 4096, 4096, 64, "expert")
SHARED = Part("mlp.shared_experts.down_proj", 4096, 2048)
ROUTER = Part("mlp.gate", 64, 4096, role="plain")
HEAD = Part("lm_head", 32000, 4096, role="head")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 1.0),
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}, 0.5 + 2.5 / 128),
        ({"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": True}, 0.5 + 2 / 32),
        ({"quant_method": "gptq", "bits": 8, "group_size": 128, "sym": True}, 1 + 2 / 128),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16}, 0.5625),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, 1.0),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, 1.0),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float", "strategy": "channel"}}},
            },
            1 + 4 / 4096,
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"g": {"weights": {"num_bits": 4, "type": "int", "group_size": 32, "symmetric": True}}},
            },
            0.5 + 2 / 32,
        ),
    ],
)
def test_bytes_of_a_linear(
    pool: Callable[..., Pool], architecture: Callable[..., Architecture], config: dict[str, Any], expected: float
) -> None:
    made = architecture(quantization_config=config)
    found = quantization_of(pool(), made)
    assert found is not None
    assert found.bytes_of(MLP, 3, 2.0).mid == pytest.approx(expected)
    assert found.bytes_of(ROUTER, 3, 2.0).mid == 2.0
    assert found.bytes_of(HEAD, -1, 2.0).mid == 2.0


def test_mxfp4_is_for_experts_alone(pool: Callable[..., Pool]) -> None:
    made = models.find("openai/gpt-oss-20b")
    found = quantization_of(pool(), made)
    assert found is not None
    assert found.bytes_of(EXPERTS, 0, 2.0).mid == pytest.approx(0.53125)
    assert found.bytes_of(QKV, 0, 2.0).mid == 2.0


def test_what_a_checkpoint_leaves_alone(pool: Callable[..., Pool], architecture: Callable[..., Architecture]) -> None:
    config = {
        "quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16,
        "exclude_modules": ["lm_head", "model.layers.0*", "model.layers.2.self_attn*", "*.mlp.shared_expert.*", "re:.*kv_b_proj"],
    }  # fmt: skip
    found = quantization_of(pool(), architecture(quantization_config=config))
    assert found is not None
    assert len({found.told_apart_by(layer) for layer in (0, 1, 2)}) == 3
    assert found.told_apart_by(1) == found.told_apart_by(5)
    assert found.bytes_of(MLP, 0, 2.0).mid == 2.0
    assert found.bytes_of(MLP, 1, 2.0).mid == 0.5625
    assert found.bytes_of(QKV, 2, 2.0).mid == 2.0
    assert found.bytes_of(QKV, 1, 2.0).mid == 0.5625
    assert found.bytes_of(SHARED, 5, 2.0).mid == 2.0
    assert found.bytes_of(Part("self_attn.kv_b_proj", 4096, 512), 5, 2.0).mid == 2.0
    assert found.bytes_of(HEAD, -1, 2.0).mid == 2.0


@pytest.mark.parametrize(
    ("entry", "name", "ignored"),
    [
        ("gate", "mlp.gate_proj", False),
        ("lm_head", "lm_head", True),
        ("language_model.lm_head", "lm_head", True),
        ("model.layers.*.self_attn", "self_attn.q_proj", True),
        ("model.language_model.layers.7.linear_attn*", "linear_attn.out_proj", True),
        ("model.layers.17.mlp.gate_proj", "mlp.gate_proj", False),
        ("model.layers.7.block_sparse_moe.experts*", "mlp.experts", True),
        ("re:.*mlp\\.(gate|up)_proj.*", "mlp.gate_proj", True),
        ("re:([", "mlp.gate_proj", False),
    ],
)
def test_an_ignored_module(entry: str, name: str, ignored: bool) -> None:
    assert Ignored([entry]).has_any(-1 if name == "lm_head" else 7, (name,)) is ignored


def test_several_precisions(pool: Callable[..., Pool], architecture: Callable[..., Architecture]) -> None:
    config = {
        "quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "exclude_modules": ["lm_head"],
        "quantized_layers": {
            "model.layers.0.mlp.gate_proj": {"quant_algo": "W4A16_NVFP4"}, "model.layers.1.mlp.gate_proj": {"quant_algo": "FP8"},
        },
    }  # fmt: skip
    found = quantization_of(pool(), architecture(quantization_config=config))
    assert found is not None
    assert found.bytes_of(MLP, 0, 2.0).mid == 0.5625
    assert found.bytes_of(MLP, 1, 2.0).mid == 1.0
    assert not found.bytes_of(MLP, 2, 2.0).is_exact


def test_the_flag_counts_for_checkpoints_without_a_method_of_their_own(
    pool: Callable[..., Pool], architecture: Callable[..., Architecture]
) -> None:
    online = quantization_of(pool(quantization="fp8"), architecture())
    assert online is not None
    assert online.bytes_of(MLP, 0, 2.0).mid == 1.0
    own = quantization_of(pool(quantization="fp8"), architecture(quantization_config={"quant_method": "awq", "bits": 4}))
    assert own is not None
    assert own.bytes_of(MLP, 0, 2.0).mid < 0.6
    assert quantization_of(pool(quantization="none"), architecture()) is None
    assert quantization_of(pool(), architecture()) is None


def test_a_method_nobody_described_is_an_interval(pool: Callable[..., Pool], architecture: Callable[..., Architecture]) -> None:
    found = quantization_of(pool(), architecture(quantization_config={"quant_method": "quux"}))
    assert found is not None
    per = found.bytes_of(MLP, 0, 2.0)
    assert (per.low, per.high) == (0.5, 2.0)


def test_an_unreadable_flag_is_unknown(pool: Callable[..., Pool], architecture: Callable[..., Architecture]) -> None:
    with pytest.raises(UnknownFact, match="variable"):
        quantization_of(pool(quantization=Fact.unknown("limits.quantization", "from a variable")), architecture())


def test_dtypes(pool: Callable[..., Pool], architecture: Callable[..., Architecture]) -> None:
    assert dtype_bytes(pool(dtype="float32")) == 4.0
    assert dtype_bytes(pool(dtype="auto")) == 2.0
    assert dtype_bytes(pool(engine="generic", architecture=architecture(torch_dtype="float32"))) == 4.0
    with pytest.raises(UnknownFact, match="dtype"):
        dtype_bytes(pool(engine="generic", architecture=architecture()))
    with pytest.raises(UnknownFact, match="quux"):
        dtype_bytes(pool(dtype="quux"))


@pytest.mark.parametrize(
    ("engine", "version", "device", "mid", "high"),
    [
        ("sglang", "0.5.12", "H200-SXM5-141GB", 0.65625, 0.65625),
        ("sglang", "0.5.12", "B200", 0.53125, 0.65625),
        ("sglang", None, "H200-SXM5-141GB", 0.53125, 0.65625),
        ("sglang", "0.5.16", "H200-SXM5-141GB", 0.53125, 0.53125),
        ("vllm", "0.22.1", "H200-SXM5-141GB", 0.53125, 0.53125),
    ],
)
def test_scales_that_sglang_keeps_twice(
    pool: Callable[..., Pool], engine: str, version: str | None, device: str, mid: float, high: float
) -> None:
    accelerator = accelerators.find(device)
    assert accelerator is not None
    stated = {"engine": engine, "architecture": "deepseek-ai/DeepSeek-V4-Pro", "accelerator": accelerator}
    made = pool(**stated, **({"version": version} if version else {}))
    found = quantization_of(made, made.architecture.value)
    assert found is not None
    assert found.experts is not None
    assert (found.experts.bytes.mid, found.experts.bytes.high) == (mid, high)
