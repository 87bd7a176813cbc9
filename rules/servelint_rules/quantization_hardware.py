"""HWQ502, HWQ503, HWQ505, HWQ511: quantized checkpoints, and what the GPU and the engine's release can do with them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.changes import edits_of
from servelint_rules.figures import dotted
from servelint_rules.places import place_of, related
from servelint_rules.unaccounted import nvidia_capability

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from servelint.case import PoolCase

_FP8_FROM, _FP4_FROM = (8, 9), (10, 0)
# Families of methods: a flag of the checkpoint's own family is taken (override_quantization_method of each configuration class).
_FAMILIES = {
    "awq": "awq", "awq_marlin": "awq", "auto_awq": "awq", "gptq": "gptq", "gptq_marlin": "gptq", "auto_gptq": "gptq",
    "fp8": "fp8", "compressed-tensors": "compressed-tensors", "bitsandbytes": "bitsandbytes", "modelopt": "modelopt",
    "modelopt_fp4": "modelopt", "mxfp4": "mxfp4", "gpt_oss_mxfp4": "mxfp4",
}  # fmt: skip
_REQUANTIZED = frozenset(("modelopt", "mxfp4"))
# Methods that only a plugin for other devices registers (vllm-ascend, vllm_ascend/quantization).
_OTHER_MAKERS = {"ascend": "Huawei's Ascend"}
_DESC_ACT_GONE, _DESC_ACT_LAST = (0, 30, 0), (0, 29, 0)


def _method(case: PoolCase) -> str:
    """The quantization method the engine takes: the checkpoint's, else the flag's; "" for none, or where it cannot be told."""
    config = case.architecture.quantization if case.pool.architecture.is_known else None
    if config is None:
        stated = str(case.pool.quantization.get("") or "").lower()
        return "" if stated in {"none", "auto", "null"} else stated
    method = str(config.get("quant_method") or "").lower()
    algorithm = str(config.get("quant_algo") or "").upper()
    if method in {"modelopt", ""} and algorithm:
        return {"FP8": "modelopt", "NVFP4": "modelopt_fp4", "W4A16_NVFP4": "modelopt_fp4"}.get(algorithm, "")
    if method == "compressed-tensors":
        return _scheme(config) or method
    return method


def _is_read(case: PoolCase) -> bool:
    """The method was stated, or read from the configuration of this very checkpoint: not from that of one with a like name."""
    if not case.pool.architecture.is_known:
        return True
    architecture = case.architecture
    return architecture.quantization is None or not (architecture.quantization_inferred or architecture.by_name)


def _is_of_unknown_tool(case: PoolCase) -> bool:
    """How the weights are stored is inferred, but not which method reads them: zai-org/GLM-4.7-FP8, whose entry in the catalogue
    says FP8 and no more, ran on A100 in vLLM 0.15 (vllm-project/vllm issue 32105)."""
    config = case.architecture.quantization if case.pool.architecture.is_known else None
    return config is not None and not config.get("quant_method") and case.architecture.quantization_inferred


def _scheme(config: Mapping[str, object]) -> str:
    """The scheme of a compressed-tensors checkpoint that decides on which GPUs it runs at all: the weight-only one is taken
    where the other is not supported."""
    groups = config.get("config_groups")
    weights = [g.get("weights") for g in groups.values() if isinstance(g, dict)] if isinstance(groups, dict) else []
    if not weights or not all(isinstance(w, dict) for w in weights):
        return ""
    kinds = {(w.get("type"), w.get("num_bits")) for w in weights if isinstance(w, dict)}
    if kinds == {("float", 8)}:
        return "compressed-tensors/w8a16_fp8"
    if kinds == {("int", 4)}:
        return "compressed-tensors/wNa16"
    return ""


@rule(
    "HWQ502", "quant-min-capability", "The engine does not run this quantization on this GPU",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm",), inputs=("model", "accelerator", "image tag"),
)  # fmt: skip
def quant_min_capability(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The quantization method (of the checkpoint, or of `--quantization`) against the least compute capability that vLLM demands
    for it, in the release that the image names: FP8 8.9 in 0.4, 8.0 since 0.5.5 and 7.5 since 0.14; AWQ 7.5; NVFP4 8.0 since
    0.9; MXFP4 8.0; bitsandbytes 7.0. Methods that only a plugin for other devices has (`ascend`) run on no GPU.

    ## Why it matters

    vLLM stops at start-up: "The quantization method fp8 is not supported for the current GPU. Minimum capability: 89. Current
    capability: 86."

    ## How to fix

    A checkpoint quantized in another way, a newer release where it demands less, or another GPU.

    ## Certainty

    Proven, from the configuration classes of the releases and the GPU's compute capability. Where the image does not say its
    version the least demand of all releases counts.

    ## References

    - vLLM, `get_min_capability` in `vllm/model_executor/layers/quantization`; `vllm/config`, `_get_quantization_config`
    - [vllm#4327](https://github.com/vllm-project/vllm/issues/4327)
    """
    pool = case.pool
    method = _method(case)
    if not method or _is_of_unknown_tool(case):
        return
    if method in _OTHER_MAKERS and pool.gpu_resource.startswith(("nvidia.com/", "amd.com/")):
        place = place_of(pool, pool.quantization)
        asked = related(place, (pool.gpus_per_node, pool.gpu_resource))
        yield Verdict(place, f"{method} is a method of {_OTHER_MAKERS[method]} devices only", related=asked, key="other maker")
        return
    from servelint.engines.model_registry import least_capability  # lazy: most models are not quantized

    version = pool.version.get(None)
    least = least_capability(method, version)
    capability = nvidia_capability(case) if least is not None else None
    if least is None or capability is None or capability >= least:
        return
    place = place_of(pool, pool.quantization, pool.model)
    release = f"vLLM {version}" if version is not None else "every release of vLLM"
    newest = least_capability(method, None)
    help_ = (
        f"newer releases take {dotted(newest)}" if newest is not None and newest <= capability else "another checkpoint or GPU"
    )
    certain = _is_read(case)
    yield Verdict(
        place,
        f"{method} needs compute capability {dotted(least)} in {release}; {case.accelerator.name} has {dotted(capability)}",
        related=related(place, (pool.accelerator, f"compute capability {dotted(capability)}")),
        proposals=(Proposal(help_, False, None),),
        severity=Severity.ERROR if certain else Severity.WARNING,
        certainty=Certainty.PROVEN if certain else Certainty.HEURISTIC,
    )


@rule(
    "HWQ503", "quant-emulated", "The GPU has no arithmetic for this quantization: it saves memory, not time",
    severity=Severity.INFO, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm",), inputs=("model", "accelerator"), advice=True,
)  # fmt: skip
def quant_emulated(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    FP8 weights on GPUs of a compute capability below 8.9, and NVFP4 or MXFP4 weights below 10.0.

    ## Why it matters

    These GPUs cannot multiply such numbers. The engine widens the weights again while it computes (Marlin kernels): they take
    less memory and less bandwidth, but prefill is no faster than with 16 bits.

    ## How to fix

    Nothing, if memory is the reason. For speed: 8-bit integers (`w8a8`) on Ampere, or a GPU that has the format.

    ## Certainty

    Proven from the GPU's compute capability; a heuristic where the checkpoint's format is taken from its name, or from another
    checkpoint of the same name. Advice: it may be meant.

    ## References

    - vLLM documentation, Supported Hardware for quantization kernels
    """
    method = _method(case)
    four = method in {"modelopt_fp4", "mxfp4", "gpt_oss_mxfp4"}
    eight = method in {"fp8", "fbgemm_fp8", "ptpc_fp8", "modelopt", "compressed-tensors/w8a16_fp8"}
    needed = _FP4_FROM if four else _FP8_FROM if eight else None
    capability = nvidia_capability(case) if needed is not None else None
    if needed is None or capability is None or capability >= needed:
        return
    pool = case.pool
    borrowed = not _is_read(case)
    what = ("FP4" if four else "FP8") if borrowed else method
    place = place_of(pool, pool.quantization, pool.model)
    yield Verdict(
        place,
        f"{case.accelerator.name} has compute capability {dotted(capability)}; {what} is widened below {dotted(needed)}",
        related=related(place, (pool.accelerator, f"compute capability {dotted(capability)}")),
        certainty=Certainty.HEURISTIC if borrowed else Certainty.PROVEN,
    )


def _is_named_alike(stated: str, own: str, config: Mapping[str, object] | None) -> bool:
    """A name says the numbers (NVFP4, AWQ, FP8), not the tool that wrote them: llm-compressor writes all of them as
    compressed-tensors, ModelOpt writes FP8 too."""
    if "compressed-tensors" in (stated, own):
        return True
    four = config is not None and "FP4" in str(config.get("quant_algo")).upper()
    return {stated, own} == {"fp8", "modelopt"} and not four


@rule(
    "HWQ505", "quant-flag-vs-checkpoint", "The quantization flag contradicts the checkpoint",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang"), fixable=True, inputs=("model",),
)  # fmt: skip
def quant_flag_vs_checkpoint(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `--quantization` against the method in the checkpoint's own `quantization_config`.

    ## Why it matters

    A quantized checkpoint can only be read as what it is. The engine stops at start-up: "Quantization method specified in the
    model config (awq) does not match the quantization method specified in the `quantization` argument (gptq)".

    ## How to fix

    Leave the flag out: the engine reads the method from the checkpoint.

    ## Certainty

    Proven from the checkpoint's configuration; a warning where that follows from the model's name only. Only methods of plainly
    different families are judged.

    ## References

    - vLLM, `vllm/config/model.py`, `_verify_quantization`; SGLang, `python/sglang/srt/configs/model_config.py`
    """
    pool = case.pool
    if not pool.quantization.is_stated:
        return
    stated = str(pool.quantization.value).lower()
    config = case.architecture.quantization
    own = str(config.get("quant_method") or "").lower() if config is not None else ""
    if stated not in _FAMILIES or own not in _FAMILIES or _FAMILIES[stated] == _FAMILIES[own]:
        return
    if pool.engine.value == "sglang" and _FAMILIES[stated] in _REQUANTIZED:
        return  # SGLang quantizes other checkpoints anew into these (configs/model_config.py)
    certain = _is_read(case)
    if not certain and _is_named_alike(stated, own, config):
        return
    place = place_of(pool, pool.quantization)
    yield Verdict(
        place,
        f"the checkpoint is quantized by {own}, not by {stated}",
        related=related(place, (pool.model, own)),
        proposals=(Proposal("leave the flag out", True, partial(edits_of, pool.quantization, None)),),
        severity=Severity.ERROR if certain else Severity.WARNING,
        certainty=Certainty.PROVEN if certain else Certainty.HEURISTIC,
    )


@rule(
    "HWQ511", "gptq-act-order", "This release no longer reads GPTQ checkpoints in activation order",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm",), inputs=("model", "image tag"),
)  # fmt: skip
def gptq_act_order(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    GPTQ checkpoints with `desc_act: true` and groups, with a vLLM release of 0.30 or newer.

    ## Why it matters

    vLLM stops at start-up: "GPTQ group activation ordering (desc_act=True) is no longer supported."

    ## How to fix

    A checkpoint with static activation ordering or without it, or an older release.

    ## Certainty

    Proven from the checkpoint's configuration and the release (0.29.0 takes it, 0.30.0 does not).

    ## References

    - vLLM 0.30, `vllm/model_executor/layers/quantization/utils/gptq_utils.py`
    """
    pool = case.pool
    version = pool.version.get(None)
    if version is None or version <= _DESC_ACT_LAST or not pool.architecture.is_known:
        return
    config = case.architecture.quantization
    if (
        config is None
        or config.get("quant_method") != "gptq"
        or config.get("desc_act") is not True
        or config.get("group_size") == -1
    ):
        return
    place = place_of(pool, pool.model)
    certain = version >= _DESC_ACT_GONE and _is_read(case)
    yield Verdict(
        place,
        f"the checkpoint has desc_act: true with groups of {config.get('group_size')}; vLLM {version} refuses it",
        proposals=(Proposal("a checkpoint without activation order, or vLLM 0.29", False, None),),
        severity=Severity.ERROR if certain else Severity.WARNING,
        certainty=Certainty.PROVEN if certain else Certainty.HEURISTIC,
    )
