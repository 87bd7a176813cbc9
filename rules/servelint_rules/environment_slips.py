"""Environment slips: names of variables that are a slip of the keyboard away from one that is read."""

from __future__ import annotations

from functools import cache, lru_cache
from operator import ne
from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.source.nodes import MappingNode, ScalarNode
from servelint_rules.engine_options import is_fork
from servelint_rules.slips import distance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.deployment import Container
    from servelint.source.nodes import Node

# Kubernetes puts these into every pod for a Service of that name.
_LINKS = ("_SERVICE_HOST", "_SERVICE_PORT", "_PORT", "_TCP", "_UDP", "_ADDR", "_PROTO")
# Plugins of vLLM read variables of their own.
_PLUGINS = ("VLLM_ASCEND_", "VLLM_SPYRE_", "VLLM_NEURON_", "VLLM_HPU_", "VLLM_GAUDI_", "VLLM_TPU_", "VLLM_OMNI_", "VLLM_RBLN_")
# Variables of the libraries below the engines. huggingface_hub (docs, "Environment variables") and transformers
# (utils/hub.py, its older names); NCCL (user guide, "Environment Variables"); CUDA (programming guide, "CUDA Environment
# Variables"); PyTorch (docs, "Torch Environment Variables", "CUDA Environment Variables").
_NAMES = """
HF_HOME HF_HUB_CACHE HF_ENDPOINT HF_TOKEN HF_TOKEN_PATH HF_XET_CACHE HF_ASSETS_CACHE HF_HUB_OFFLINE HF_HUB_DISABLE_XET
HF_HUB_DISABLE_TELEMETRY HF_HUB_DISABLE_PROGRESS_BARS HF_HUB_DISABLE_SYMLINKS_WARNING HF_HUB_DISABLE_IMPLICIT_TOKEN
HF_HUB_ENABLE_HF_TRANSFER HF_HUB_DOWNLOAD_TIMEOUT HF_HUB_ETAG_TIMEOUT HF_HUB_VERBOSITY HF_XET_HIGH_PERFORMANCE
HF_XET_NUM_CONCURRENT_RANGE_GETS HF_DATASETS_CACHE HF_DATASETS_OFFLINE HF_MODULES_CACHE
HUGGING_FACE_HUB_TOKEN HUGGINGFACE_HUB_TOKEN HUGGINGFACE_HUB_CACHE TRANSFORMERS_CACHE TRANSFORMERS_OFFLINE
TRANSFORMERS_VERBOSITY
NCCL_SOCKET_IFNAME NCCL_SOCKET_FAMILY NCCL_SOCKET_NTHREADS NCCL_NSOCKS_PERTHREAD NCCL_IB_DISABLE NCCL_IB_TIMEOUT
NCCL_IB_RETRY_CNT NCCL_IB_GID_INDEX NCCL_IB_ADAPTIVE_ROUTING NCCL_IB_PCI_RELAXED_ORDERING NCCL_IB_QPS_PER_CONNECTION
NCCL_IB_SPLIT_DATA_ON_QPS NCCL_NET_GDR_LEVEL NCCL_NET_GDR_READ NCCL_P2P_DISABLE NCCL_P2P_LEVEL NCCL_SHM_DISABLE
NCCL_CROSS_NIC NCCL_DEBUG NCCL_DEBUG_FILE NCCL_DEBUG_SUBSYS NCCL_BUFFSIZE NCCL_CUMEM_ENABLE NCCL_NVLS_ENABLE
NCCL_MNNVL_ENABLE NCCL_TOPO_FILE NCCL_TOPO_DUMP_FILE NCCL_MIN_NCHANNELS NCCL_MAX_NCHANNELS NCCL_IGNORE_CPU_AFFINITY
NCCL_LAUNCH_MODE NCCL_TUNER_CONFIG_PATH NCCL_TUNER_PLUGIN NCCL_NET_PLUGIN NCCL_COLLNET_ENABLE NCCL_GRAPH_MIXING_SUPPORT
CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER CUDA_LAUNCH_BLOCKING CUDA_DEVICE_MAX_CONNECTIONS CUDA_MODULE_LOADING CUDA_CACHE_PATH
CUDA_CACHE_DISABLE CUDA_CACHE_MAXSIZE CUDA_HOME CUDA_FORCE_PTX_JIT CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
CUDA_MPS_ACTIVE_THREAD_PERCENTAGE NVIDIA_VISIBLE_DEVICES NVIDIA_DRIVER_CAPABILITIES
PYTORCH_CUDA_ALLOC_CONF PYTORCH_ALLOC_CONF PYTORCH_NO_CUDA_MEMORY_CACHING TORCH_CUDA_ARCH_LIST TORCHINDUCTOR_CACHE_DIR
TORCH_NCCL_ASYNC_ERROR_HANDLING TORCH_NCCL_BLOCKING_WAIT TORCH_DISTRIBUTED_DEBUG TORCH_SHOW_CPP_STACKTRACES
"""
_LIBRARIES = frozenset(_NAMES.split())
_OF_TWO_WORDS = tuple(name for name in _LIBRARIES if name.count("_") == 1)

# Words that begin variables of people's own, however near they are to an engine's.
_WORDS = frozenset(("LLM", "VLM", "VLLMS", "ILLM", "MLLM", "SLM", "TLLM", "HUB", "HOME", "MODEL", "HW", "TF", "DF", "FF"))


def misspelled(case: ContainerCase) -> Iterator[Verdict]:
    """A warning for each variable whose name is a slip away from one that is read."""
    if is_fork(case):
        return
    container = case.container
    for name in container.environment:
        near = _nearest(container.engine, name)
        if near and not _is_used(case, name):
            yield _slip(name, near, _place(container, name))
    if case.deployment.format == "helm-values" and isinstance(container.node, MappingNode):
        # Templates make variables of values that are named so (opea-project/GenAIInfra, common/vllm/templates/configmap.yaml).
        for key, _ in container.node.entries:
            if not isinstance(key, ScalarNode) or not key.text.isupper():
                continue
            near = _nearest(container.engine, key.text)
            if near and not _is_used(case, key.text):
                yield _slip(key.text, near, Place.of(container.document, key))


def _place(container: Container, name: str) -> Place:
    """Where the variable's name stands, else its value."""
    written: dict[str | None, Node | None] = {
        item.text_at("name"): item.get("name") for item in container.node.elements_at("env")
    }
    written |= {name: key for name, key, _ in container.node.entries_at("environment")}  # a Compose service's
    node = written.get(name)
    where = Place.of(container.document, node) if node is not None else container.environment[name].place
    return where or container.place


def _slip(name: str, near: str, place: Place) -> Verdict:
    reader = "vLLM release scanned" if near.startswith("VLLM_") else "library of the engine"
    return Verdict(
        place,
        f"no {reader} reads {name}; the nearest is {near}",
        proposals=(Proposal(f"{near}, if that was meant", False, None),),
        severity=Severity.WARNING,
        certainty=Certainty.HEURISTIC,
        key=name,
    )


def _is_used(case: ContainerCase, name: str) -> bool:
    """Something in the file expands it: a script, a template, or Kubernetes."""
    text = case.container.document.physical.source.text
    return any(f"{mark}{name}" in text for mark in ("$", "${", "$(", "Values.", 'environ["', "environ['", 'getenv("'))


@lru_cache(4096)
def _nearest(engine: str, name: str) -> str:
    """The one variable that ``name`` is but for a slip; "" where there is none, or where it is a variable itself."""
    words = name.split("_")
    first = words[0]
    if len(words) < 2 or first in _WORDS or name in _LIBRARIES:
        return ""
    # Four letters of which one is another are another library: HCCL for NCCL.
    near = _alike("", words) if len(words) > 2 else _OF_TWO_WORDS
    known = [other for other in near if len(first) > 4 or other.startswith(f"{first}_")]
    if engine == "vllm" and len(words) > 2 and _is_nearly_vllm(first):
        from servelint.engines.flags import environment_table  # lazy: only such names need the table

        if environment_table(engine).flag(name) is not None:
            return ""
        known += [other for other in _alike(engine, words) if other.startswith("VLLM_")]
    if not known or name.endswith(_LINKS) or name.startswith(_PLUGINS):
        return ""
    found = {other for other in known if _is_slip(words, other.split("_"))}
    return found.pop() if len(found) == 1 else ""


def _alike(engine: str, words: list[str]) -> set[str]:
    """The variables of the engine ("": of the libraries) of as many words, three or more, of which all but two may be the same:
    those that have one of them in its place."""
    index, count = _by_words(engine), len(words)
    places = range(1 if count > 3 else 0, count)  # where two or more are the same, one is behind the first
    return {other for place in places for other in index.get((count, place, words[place]), ())}


@cache
def _by_words(engine: str) -> dict[tuple[int, int, str], list[str]]:
    """Variables by how many words their names have, and by which stands where."""
    from servelint.engines.flags import environment_table

    index: dict[tuple[int, int, str], list[str]] = {}
    for name in environment_table(engine).names() if engine else _LIBRARIES:
        words = name.split("_")
        for place, word in enumerate(words):
            index.setdefault((len(words), place, word), []).append(name)
    return index


def _is_nearly_vllm(word: str) -> bool:
    if word == "VLLM":
        return True
    same = ("V" in word) + min(word.count("L"), 2) + ("M" in word)
    return same + 2 >= max(len(word), 4) and distance(word, "VLLM") <= 2


def _is_slip(words: list[str], others: list[str]) -> bool:
    """Whether the names, of as many words, differ by a slip of one word, and perhaps by an abbreviation of another one."""
    if not 0 < sum(map(ne, words, others)) <= 2:
        return False
    unlike = [(word, other) for word, other in zip(words, others, strict=True) if word != other]
    slips = [pair for pair in unlike if not _abbreviates(*pair)]
    if len(slips) > 1 or len(unlike) - len(slips) > 1:
        return False
    same = sum(min(len(word), len(other)) for word, other in zip(words, others, strict=True) if (word, other) not in slips)
    for word, other in slips:
        # Two letters of one word may be wrong where the rest of a long name leaves no doubt, else one.
        most = 2 if same >= 16 else 1
        if min(len(word), len(other)) < 3 or distance(word, other) > most:
            return False
    return all(_digits(word) == _digits(other) for word, other in unlike) and (bool(slips) or (len(words) > 3 and same >= 12))


def _digits(word: str) -> str:
    return "".join(filter(str.isdigit, word))


def _abbreviates(one: str, other: str) -> bool:
    """Whether the shorter word is the longer one with letters left out: ATTN for ATTENTION."""
    if one[:1] != other[:1]:
        return False
    short, long = sorted((one, other), key=len)
    if len(short) < 3 or len(long) - len(short) < 2:
        return False
    rest = iter(long)
    return all(letter in rest for letter in short)
