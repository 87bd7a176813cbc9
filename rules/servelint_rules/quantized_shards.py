"""PAR205, PAR206: whether what tensor parallelism leaves of each quantized tensor still holds whole blocks or groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.records import NamedTuple
from servelint.rulebook import Scope, rule
from servelint_rules import guards
from servelint_rules.changes import Hosts, hosts_for, hosts_now, resized
from servelint_rules.places import place_of, related
from servelint_rules.unaccounted import check_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from servelint.capacity.layout import Layout
    from servelint.capacity.tensors import Part
    from servelint.case import PoolCase
    from servelint.engines.versions import Version

# Tensors whose columns are cut (row-parallel linears); the rows of all others are.
_ROW_PARALLEL = ("o_proj", "down_proj", "out_proj")
_SMALLEST_BLOCK = 32  # refine_fp8_moe_block_shape in fused_moe/oracle/fp8.py


class Misfit(NamedTuple):
    """A tensor that cannot be cut: its width, over how many ranks, and what a rank's part is no multiple of."""

    name: str
    width: int
    ranks: int
    expert: bool

    @property
    def part(self) -> str:
        return f"{self.width / self.ranks:g}"


def _misfits(case: PoolCase, layout: Layout, block: int, *, experts: bool) -> list[Misfit]:
    """The quantized tensors of which a rank would hold no whole number of blocks of ``block`` columns."""
    from servelint.capacity import quantization, shape, tensors  # lazy: only quantized models on several GPUs need them

    architecture = case.architecture
    scheme = quantization.quantization_of(case.pool, architecture)
    if scheme is None:
        return []
    shards = tensors.Shards.of(layout)
    found: dict[str, Misfit] = {}
    kinds: dict[shape.LayerKind, list[int]] = {}
    for index, kind in enumerate(shape.layer_kinds(architecture)):
        kinds.setdefault(kind, []).append(index)
    for kind, layers in kinds.items():
        whole = {part.name: part for part in tensors.layer_parts(architecture, kind)}
        for part in tensors.layer_parts(architecture, kind, shards):
            misfit = _misfit(part, whole[part.name], block, layout)
            if misfit is None or misfit.name in found or (misfit.expert and not experts):
                continue
            if any(scheme.bytes_of(part, layer, 2.0).high < 2.0 for layer in layers):
                found[misfit.name] = misfit
    return list(found.values())


def _misfit(part: Part, whole: Part, block: int, layout: Layout) -> Misfit | None:
    if part.role not in {"linear", "expert"} or not part.split or not part.name.endswith(_ROW_PARALLEL):
        return None
    if "shared_experts" in part.name and layout.expert > 1:
        return None  # with expert parallelism the shared experts may stay whole on every rank
    ranks = round(whole.columns / part.columns)
    width = int(whole.columns)
    if ranks <= 1 or width % ranks or width // ranks % block == 0:
        return None  # a width that is not divisible at all is another rule's
    return Misfit(part.name, width, ranks, part.role == "expert")


def _fitting(case: PoolCase, block: int, *, experts: bool) -> int:
    """The largest smaller tensor-parallel size that cuts everything; 1 always does."""
    size = case.layout.tensor - 1
    while size > 1:
        if case.layout.tensor % size == 0 and not _misfits(case, case.layout.with_(tensor=size), block, experts=experts):
            return size
        size -= 1
    return 1


def _proposals(case: PoolCase, block: int, misfits: list[Misfit], *, experts: bool) -> tuple[Proposal, ...]:
    layout = case.layout
    best = _fitting(case, block, experts=experts)
    after = layout.with_(tensor=best)
    now = hosts_now(case)
    new: Hosts | None = hosts_for(now, after.world_size) if now else None
    gpus = f" on {new}" if now and new and new != now else ""
    smaller = Proposal(
        f"tensor-parallel size {best}{gpus}; fewer GPUs hold each copy of the model",
        False,
        lambda: resized(case, after, {"tensor": best}),
    )
    if not all(misfit.expert for misfit in misfits):
        return (smaller,)
    flag = "--enable-expert-parallel" if layout.engine == "vllm" else f"--ep-size={layout.tensor}"
    return (Proposal(f"{flag}: whole experts are dealt out instead of slices of each", False, None), smaller)


def _arithmetic(misfits: list[Misfit], block: int, what: str) -> tuple[str, ...]:
    return tuple(
        f"{m.name}: {m.width} / {m.ranks} ranks = {m.part}, {what} {block} × {int(m.width / m.ranks) / block:.3g}"
        for m in misfits[:3]
    )


@rule(
    "PAR205", "fp8-block-shard-misaligned", "Block-quantized weights cannot be cut over the tensor-parallel group",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang"), fixable=True, inputs=("model", "image tag"),
)  # fmt: skip
def fp8_block_shard_misaligned(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Checkpoints with one FP8 scale per block of weights (`weight_block_size`, usually 128 × 128): that each rank's part of the
    attention's output projection, of the feed-forward layers and of the experts is a whole number of blocks. Tensors that the
    checkpoint leaves unquantized are left out. With expert parallelism experts stay whole, and with SGLang's
    `--moe-dense-tp-size 1` the dense layers do.

    ## Why it matters

    A block with one scale cannot lie on two ranks. The engine stops while it builds the model: "The output_size of gate's and
    up's weight = 192 is not divisible by weight quantization block_n = 128", or "Weight input_size_per_partition = …".

    ## How to fix

    A smaller tensor-parallel size; the finding names the largest that cuts everything. Where only the experts do not fit,
    expert parallelism keeps them whole.

    ## Certainty

    Proven from the model's configuration and the engine's own check. vLLM refines the scales of experts since 0.29 (by Triton
    kernels, at some speed) where blocks of at least 32 fit; so experts are an error only before that release, and a warning
    where the image does not say its version. Where the quantization follows from the model's name only, it is a warning too.
    Nothing is said of TPUs, Neuron and Ascend, whose plugins multiply quantized weights in their own way.

    ## References

    - vLLM, `quantization/utils/fp8_utils.py`: `validate_fp8_block_shape`; `fused_moe/oracle/fp8.py`: `refine_fp8_moe_block_shape`
    - SGLang, `python/sglang/srt/layers/quantization/fp8.py`
    - [sglang#3345](https://github.com/sgl-project/sglang/issues/3345), [vllm#52997](https://github.com/vllm-project/vllm/issues/52997),
      [vllm#39046](https://github.com/vllm-project/vllm/pull/39046)
    """
    pool = case.pool
    size = pool.tensor.value
    if size <= 1 or not guards.on_gpus(case) or guards.has_own_kernels(pool):
        return
    architecture = case.architecture
    config = architecture.quantization
    block = _block(config) if config is not None else 0
    if config is None or not block:
        return
    check_model(case)
    layout = case.layout
    padded = layout.engine == "sglang" and case.pool.accelerator.is_known and case.accelerator.vendor == "AMD"
    misfits = _misfits(case, layout, block, experts=not padded)
    if not misfits:
        return
    method = str(config.get("quant_method") or "")
    version: Version | None = pool.version.get(None)
    surely = [m for m in misfits if not m.expert or not _refined(layout.engine, method, version, m, block)]
    maybe = any(m.expert and version is None and _refined(layout.engine, method, None, m, block) for m in misfits)
    if not surely and not maybe:
        return
    certain = bool(surely) and not architecture.quantization_inferred
    place = place_of(pool, pool.tensor)
    said = (surely or misfits)[0]
    label = f"{said.part} of {said.name}'s {said.width} on each rank is no multiple of {block}"
    if not surely:
        label += "; vLLM refuses that before 0.29 and takes slower kernels since"
    yield Verdict(
        place,
        label,
        arithmetic=_arithmetic(surely or misfits, block, "blocks of"),
        related=related(place, (pool.model, f"blocks of {block} with one scale each")),
        proposals=_proposals(case, block, surely or misfits, experts=not padded),
        severity=Severity.ERROR if certain else Severity.WARNING,
        certainty=Certainty.PROVEN if certain else Certainty.HEURISTIC,
    )


def _block(config: Mapping[str, object]) -> int:
    """Columns of one block; 0 where weights are not quantized by blocks."""
    size = config.get("weight_block_size")
    groups = config.get("config_groups")
    if size is None and isinstance(groups, dict):
        weights = [g["weights"] for g in groups.values() if isinstance(g, dict) and isinstance(g.get("weights"), dict)]
        size = next((w.get("block_structure") for w in weights if w.get("strategy") == "block"), None)
    if isinstance(size, list | tuple) and len(size) == 2 and all(isinstance(n, int) and n > 1 for n in size):
        return int(size[1])
    return 0


def _refined(engine: str, method: str, version: Version | None, misfit: Misfit, block: int) -> bool:
    """vLLM's loader of FP8 experts makes finer blocks of them (absent in 0.28.0, present in 0.29.0). True in between."""
    if engine != "vllm" or method != "fp8":
        return False
    from math import gcd

    finer = gcd(block, misfit.width // misfit.ranks) >= _SMALLEST_BLOCK
    return finer and (version is None or version > (0, 28, 0))


@rule(
    "PAR206", "awq-gptq-group-misaligned", "Groups of quantized weights cannot be cut over the tensor-parallel group",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang"), fixable=True, inputs=("model",),
)  # fmt: skip
def awq_gptq_group_misaligned(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    AWQ, GPTQ and other checkpoints of 4- and 8-bit integers with one scale per group of weights along the input (usually 128):
    that each rank's part of the inputs of the output and down projections is a whole number of groups. Experts are left out:
    their kernels take smaller groups.

    ## Why it matters

    The engine stops while it builds the model: "The input size is not aligned with the quantized weight shape. This can be
    caused by too large tensor parallel size."

    ## How to fix

    A smaller tensor-parallel size; the finding names the largest that cuts everything. 29568 = 128 × 231 (Qwen2-72B) has no
    even one: such checkpoints exist with padded layers, under another name.

    ## Certainty

    Proven from the checkpoint's configuration and the engine's own check; a warning where the quantization follows from the
    model's name only.

    ## References

    - vLLM, `quantization/auto_awq.py`, `gptq.py`, `compressed_tensors_wNa16.py`, `utils/marlin_utils.py`
    - [vllm#5675](https://github.com/vllm-project/vllm/issues/5675), [vllm#11671](https://github.com/vllm-project/vllm/issues/11671),
      [Qwen3#698](https://github.com/QwenLM/Qwen3/issues/698)
    """
    pool = case.pool
    size = pool.tensor.value
    if size <= 1 or not guards.on_gpus(case) or guards.has_own_kernels(pool):
        return
    architecture = case.architecture
    config = architecture.quantization
    group = _group(config) if config is not None else 0
    if not group:
        return
    check_model(case)
    misfits = _misfits(case, case.layout, group, experts=False)
    if not misfits:
        return
    certain = not architecture.quantization_inferred
    place = place_of(pool, pool.tensor)
    said = misfits[0]
    yield Verdict(
        place,
        f"{said.part} of {said.name}'s {said.width} on each rank is no multiple of the group size {group}",
        arithmetic=_arithmetic(misfits, group, "groups of"),
        related=related(place, (pool.model, f"groups of {group} with one scale each")),
        proposals=_proposals(case, group, misfits, experts=False),
        severity=Severity.ERROR if certain else Severity.WARNING,
        certainty=Certainty.PROVEN if certain else Certainty.HEURISTIC,
    )


def _group(config: Mapping[str, object]) -> int:
    """Weights of one group; 0 where there are none, or one per channel."""
    method = str(config.get("quant_method") or "").lower()
    size: object = 0
    if method in {"awq", "gptq"}:
        size = config.get("group_size") or config.get("q_group_size")
    groups = config.get("config_groups")
    if method == "compressed-tensors" and isinstance(groups, dict):
        weights = [g["weights"] for g in groups.values() if isinstance(g, dict) and isinstance(g.get("weights"), dict)]
        sizes = {w.get("group_size") for w in weights if w.get("type") == "int" and w.get("strategy") == "group"}
        size = sizes.pop() if len(sizes) == 1 and len(weights) == 1 else 0
    return size if isinstance(size, int) and not isinstance(size, bool) and size > 1 else 0
