"""HWQ512, HWQ513: models and GPUs that the pinned release of the engine does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import guards
from servelint_rules.engine_options import Release, is_fork_image, release_of
from servelint_rules.places import place_of, related
from servelint_rules.unaccounted import check_accelerator, check_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool
    from servelint.engines.versions import Version

# Registry names under which the engines run models through Transformers, by what the model is (dense text, mixture of experts,
# multimodal, both): whichever of them a release has.
_FALLBACKS = {
    (False, False): ("TransformersForCausalLM", "TransformersModel"),
    (True, False): ("TransformersMoEForCausalLM",),
    (False, True): ("TransformersMultiModalForCausalLM", "TransformersForMultimodalLM"),
    (True, True): ("TransformersMultiModalMoEForCausalLM",),
}


@rule(
    "HWQ512", "model-newer-than-engine", "The engine's release does not know this model",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang"), inputs=("model", "image tag"),
)  # fmt: skip
def model_newer_than_engine(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The model's class (`architectures` in its `config.json`) against the registry of the release that the image names.

    ## Why it matters

    The commonest failure on the first day of a model: "Model architectures ['…'] are not supported for now", after the image
    was pulled and the weights were downloaded.

    ## How to fix

    The first release that has the class, which the finding names, or a later one. Where the class has been removed: the last
    release that had it.

    ## Certainty

    Proven where the release has no way to run the model through Transformers either. Where it has one the finding is a
    warning: whether that works depends on the version of Transformers in the image; so it is where another project's image is
    only named and tagged like the engine's own. Releases between two that were read and disagree, and releases newer than
    those, are not judged.

    ## References

    - vLLM, `vllm/model_executor/models/registry.py`; SGLang, `python/sglang/srt/models/registry.py`
    """
    pool = case.pool
    if not pool.architecture.is_known:
        return
    running = _release(pool)
    version = running.version
    if version is None or _has_other_code(case):
        return
    check_model(case)
    engine, architecture = pool.engine.value, case.architecture
    classes = architecture.field("architectures")
    if not isinstance(classes, list) or not classes:
        return
    # lazy: only images that say their version are compared
    from servelint.engines.flag import Presence
    from servelint.engines.model_registry import introduced, last_with, presence

    names = [str(name) for name in classes]
    if any(presence(engine, name, version) is not Presence.ABSENT for name in names):
        return
    from servelint_rules.flag_history import NAMES

    first = introduced(engine, names[0], version)
    last = last_with(engine, names[0], version)
    if first is None and last is None:
        return  # a class of which no registry says anything is known under another name, or is none of a language model
    runs = _may_fall_back(engine, architecture, version)
    place = place_of(pool, pool.version, pool.containers[0].image) if running.likely is not None else place_of(pool, pool.version)
    label = f"{NAMES[engine]} {version} has no {names[0]}"
    label += f": it came with {first}" if last is None else f": {last} was the last release read that had it"
    help_ = f"{NAMES[engine]} {first} or newer" if first is not None else f"{NAMES[engine]} {last}"
    yield Verdict(
        place,
        label + ("; it may run through Transformers, if the image's version knows it" if runs else ""),
        related=related(place, (pool.model, names[0])),
        help=running.caveat,
        proposals=(Proposal(help_, False, None),),
        severity=Severity.WARNING if runs or running.likely is not None else Severity.ERROR,
        certainty=Certainty.HEURISTIC if runs or running.likely is not None else Certainty.PROVEN,
    )


def _release(pool: Pool) -> Release:
    """The release that runs, if need be the one that the image's name and tag suggest, where they suggest just one."""
    container = pool.containers[0] if pool.containers else None
    if container is None or pool.version.is_known:
        return Release(pool.version.get(None))
    found = release_of(pool, container)
    uncertain = found.likely is not None and (found.likely.at_least or is_fork_image(container.image.get("")))
    return Release(None) if uncertain else found


def _may_fall_back(engine: str, architecture: Architecture, version: Version) -> bool:
    """Whether the release may run a model of this kind through Transformers. Layers other than attention it never does."""
    from servelint.capacity import shape
    from servelint.engines.flag import Presence
    from servelint.engines.model_registry import presence
    from servelint.facts import UnknownFact

    try:
        mixers = {kind.mixer for kind in shape.layer_kinds(architecture)}
    except UnknownFact:
        mixers = set()
    if mixers & {shape.LINEAR, shape.MAMBA, shape.CONV}:
        return False
    names = _FALLBACKS[architecture.experts > 0, architecture.vision is not None]
    return any(presence(engine, name, version) is not Presence.ABSENT for name in names)


def _has_other_code(case: PoolCase) -> bool:
    """Code of its own may register further classes: a plugin, or a start script that installs another engine."""
    for container in case.pool.containers:
        if container.variable("VLLM_PLUGINS") is not None:
            return True
        command = container.command
        if command is not None and any(command.last(flag) is not None for flag in ("--model-impl", "--worker-extension-cls")):
            return True
    return False


# vLLM's images up to 0.8.5 are built for 7.0 to 9.0, 0.9.0 for 10.0 too (docker/Dockerfile, torch_cuda_arch_list).
_BLACKWELL, _BUILT_FOR_BLACKWELL = (10, 0), (0, 9, 0)


@rule(
    "HWQ513", "image-lacks-gpu-architecture", "The image has no kernels for this GPU",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.POOL, since="0.1.0",
    engines=("vllm",), inputs=("accelerator", "image tag"),
)  # fmt: skip
def image_lacks_gpu_architecture(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    vLLM images before 0.9 on GPUs of a compute capability of 10.0 or more: B200, GB200, RTX 50, RTX PRO 6000 Blackwell.

    ## Why it matters

    Kernels are compiled for the GPUs that the image was built for. On newer ones PyTorch finds none: "CUDA error: no kernel image
    is available for execution on the device".

    ## How to fix

    vLLM 0.9 or newer.

    ## Certainty

    Heuristic: an image of one's own may be built for more GPUs than its version says.

    ## References

    - vLLM, `docker/Dockerfile`: `torch_cuda_arch_list` (0.8.5: 7.0 to 9.0; 0.9.0: 10.0 too)
    """
    pool = case.pool
    version = pool.version.get(None)
    if version is None or version >= _BUILT_FOR_BLACKWELL or not guards.on_gpus(case):
        return
    check_accelerator(case)
    capability = case.accelerator.compute_capability
    if case.accelerator.vendor != "NVIDIA" or capability is None or capability < _BLACKWELL:
        return
    place = place_of(pool, pool.version)
    yield Verdict(
        place,
        f"vLLM {version} is built for compute capability 7.0 to 9.0; {case.accelerator.name} has {capability[0]}.{capability[1]}",
        related=related(place, (pool.accelerator, "the GPU")),
        proposals=(Proposal("vLLM 0.9 or newer", False, None),),
    )
