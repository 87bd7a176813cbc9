"""What the built-in formats are known by before a file is parsed, so that only the formats it may be of are imported.

By format: sets of lower-case byte strings; a file may be of the format if, for one of the sets, all of it occurs in the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from servelint.engines.base import Engine

# In a needle set: any needle of any engine, those of plugins included.
ENGINE = b"\0engine"

# Keys that say that a file is an engine's configuration, with "-" between their words. It has one of them, or it is not read.
ENGINE_SETTINGS = frozenset((
    "tensor-parallel-size", "pipeline-parallel-size", "max-model-len", "gpu-memory-utilization", "max-num-seqs",
    "max-num-batched-tokens", "kv-cache-dtype", "enable-expert-parallel", "tp-size", "ep-size", "dp-size", "mem-fraction-static",
    "context-length", "chunked-prefill-size", "max-running-requests", "enable-dp-attention", "kv-cache-config",
    "cuda-graph-config", "moe-expert-parallel-size", "enable-attention-dp", "cache-transceiver-config", "max-num-tokens",
    "disable-overlap-scheduler", "context-servers",
))  # fmt: skip

NEEDLES: dict[str, tuple[tuple[bytes, ...], ...]] = {
    "plan": ((b"deploymentplan",), (b"servelint/v",)),
    # Every pod spec has the key "containers"; the kind is not looked for, since it has many spellings in YAML and JSON.
    "kubernetes": ((b"containers", ENGINE),),
    "leaderworkerset": ((b"leaderworkerset.x-k8s.io", ENGINE), (b"disaggregatedset.x-k8s.io", ENGINE)),
    "jobset": ((b"jobset.x-k8s.io", ENGINE),),
    "mpijob": ((b"mpireplicaspecs", ENGINE),),
    "compose": ((b"services", ENGINE),),
    "skypilot": ((b"run:", ENGINE),),
    "engine-config": tuple((word.encode(),) for key in sorted(ENGINE_SETTINGS) for word in (key, key.replace("-", "_"))),
    "dstack": ((b"type:", b"commands:", ENGINE), (b"type:", b"image:", b"gpu:", ENGINE)),
    "truss": ((b"docker_server", b"start_command", ENGINE),),
    "ray": (
        (b"ray.io/", b"serveconfigv2"),
        (b"ray.io/", b"headgroupspec", ENGINE),
        (b"ray.io/", b"rayjob", ENGINE),
        (b"applications", b"import_path"),
        (b"model_loading_config",),
    ),
    "dynamo": ((b"dynamographdeployment",), (b"dynamocomponentdeployment",)),
    "srt-slurm": tuple((b"backend", b"workers", key) for key in (b"sglang_config", b"vllm_config", b"trtllm_config")),
    "llm-d-benchmark": ((b"scenario:", b"modelservice:"), (b"scenario:", b"standalone:")),
    "kserve": ((b"serving.kserve.io/",),),
    "ome": ((b"ome.io/", b"servingruntime"), (b"ome.io/", b"inferenceservice")),
    "nim": ((b"apps.nvidia.com/",),),
    "kaito": ((b"kaito.sh/",),),
    "aibrix": ((b"orchestration.aibrix.ai/", ENGINE),),
    "rbg": ((b"workloads.x-k8s.io/", b"rolebasedgroup", ENGINE),),
    "kthena": ((b"workload.serving.volcano.sh/",),),
    "kubeai": ((b"kubeai.org/",),),
    "vllm-runtime": ((b"production-stack.vllm.ai/", b"vllmruntime"),),
    "llmaz": ((b"inference.llmaz.io/",),),
    "helm-values": ((b"servingenginespec",), (b"modelartifacts",), (b"image", ENGINE), (b"model", ENGINE)),
}


# In a file that may name others by their path: a Compose file.
NAMES_FILES = "services"


def names_an_engine(text: str, engines: Iterable[Engine]) -> bool:
    """Whether any engine's needle occurs in ``text``, in whatever case."""
    data = text.lower().encode("utf-8", "surrogatepass")
    return any(needle in data for engine in engines for needle in engine.needles)
