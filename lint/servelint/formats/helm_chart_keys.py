"""Keys by which charts set the options of engines, in the spellings that occur: camel case, snake case, capitals."""

from __future__ import annotations

from functools import cache

from servelint.records import NamedTuple


class Flag(NamedTuple):
    """An option. ``switch``: it takes no value and is given where the key is true."""

    name: str
    switch: bool = False


@cache
def kebab(key: str) -> str:
    """``tensorParallelSize``, ``tensor_parallel_size`` and ``TENSOR_PARALLEL_SIZE`` are ``tensor-parallel-size``."""
    parts: list[str] = []
    previous = ""
    for character in key:
        if character in "_ .":
            parts.append("-")
        elif character.isupper() and (previous.islower() or previous.isdigit()):
            parts.append("-" + character)
        else:
            parts.append(character)
        previous = character
    return "".join(parts).lower()


_TENSOR = ("tensor-parallel-size", "tensor-parallelism", "tensor-parallel", "tensor-parallel-degree", "tp-size", "tp")
_PIPELINE = ("pipeline-parallel-size", "pipeline-parallelism", "pipeline-parallel", "pp-size", "pp")
_DATA = ("data-parallel-size", "data-parallelism", "data-parallel", "dp-size", "dp")
_LENGTH = ("max-model-len", "max-model-length", "max-seq-len", "context-length")

ARGUMENTS = frozenset((
    "args", "extra-args", "extra-cmd-args", "additional-args", "vllm-args", "vllm-extra-args", "engine-args", "container-args",
    "cmd-args", "command-args", "server-args", "arguments", "extra-arguments", "vllm-engine-args", "sglang-args",
    "extra-vllm-args", "runtime-args", "model-args", "sglang-server-args", "tgi-engine-args",
))  # fmt: skip
SECTIONS = frozenset((
    "model", "model-parameters", "model-config", "vllm", "vllm-config", "sglang", "sglang-config", "engine", "engine-config",
    "config", "parameters", "inference", "inference-config", "server", "serving", "runtime", "parallelism",
))  # fmt: skip
MODELS = frozenset((
    "model", "model-id", "llm-model-id", "hf-model-id", "model-name", "model-path", "model-uri", "model-url", "model-repo",
    "storage-uri", "huggingface-model", "hf-model", "model-name-or-path",
))  # fmt: skip
ENGINE_KEYS = frozenset(
    ("engine", "framework", "backend", "inference-engine", "engine-type", "server-type", "runtime", "inference-server")
)
GPU_COUNTS = frozenset((
    "gpus", "gpu", "gpu-count", "num-gpus", "num-gpu", "gpus-per-node", "gpus-per-replica", "gpu-limit", "request-gpu", "gpu-num",
))  # fmt: skip
GPU_TYPES = frozenset(("gpu-type", "gpu-product", "gpu-model", "accelerator-type", "accelerator", "gpu-name"))
REPLICAS = frozenset(("replica-count", "replicas", "num-replicas"))
WORKLOADS = frozenset(("deployment", "workload", "statefulset", "predictor", "inference"))
"""Words of keys under which charts say how many copies there are."""
NODES = frozenset(("nnodes", "num-nodes", "node-count", "nodes"))


@cache
def _flags(engine: str) -> dict[str, Flag]:
    spelled = {
        "vllm": (
            ("--tensor-parallel-size", _TENSOR), ("--pipeline-parallel-size", _PIPELINE), ("--data-parallel-size", _DATA),
            ("--max-model-len", _LENGTH), ("--max-num-seqs", ("max-num-seqs",)),
            ("--max-num-batched-tokens", ("max-num-batched-tokens",)),
            ("--gpu-memory-utilization", ("gpu-memory-utilization", "gpu-memory-util")), ("--dtype", ("dtype",)),
            ("--quantization", ("quantization",)), ("--kv-cache-dtype", ("kv-cache-dtype",)), ("--block-size", ("block-size",)),
        ),
        "sglang": (
            ("--tp-size", _TENSOR), ("--pp-size", _PIPELINE), ("--dp-size", _DATA), ("--ep-size", ("ep-size", "ep")),
            ("--context-length", _LENGTH), ("--mem-fraction-static", ("mem-fraction-static",)), ("--dtype", ("dtype",)),
            ("--quantization", ("quantization",)), ("--kv-cache-dtype", ("kv-cache-dtype",)),
            ("--max-running-requests", ("max-running-requests",)),
        ),
        "tgi": (
            ("--num-shard", ("num-shard", *_TENSOR)), ("--max-total-tokens", ("max-total-tokens",)),
            ("--max-input-tokens", ("max-input-tokens", "max-input-length")), ("--quantize", ("quantize", "quantization")),
            ("--max-batch-prefill-tokens", ("max-batch-prefill-tokens",)), ("--dtype", ("dtype",)),
            ("--max-batch-total-tokens", ("max-batch-total-tokens",)), ("--max-batch-size", ("max-batch-size",)),
            ("--max-concurrent-requests", ("max-concurrent-requests",)),
        ),
        "trtllm": (
            ("--tp_size", _TENSOR), ("--pp_size", _PIPELINE), ("--ep_size", ("ep-size", "ep")),
            ("--max_seq_len", _LENGTH), ("--max_batch_size", ("max-batch-size",)), ("--max_num_tokens", ("max-num-tokens",)),
        ),
    }  # fmt: skip
    found = {key: Flag(flag) for flag, keys in spelled.get(engine, ()) for key in keys}
    if engine == "vllm":
        for name in ("enable-expert-parallel", "enforce-eager", "enable-chunked-prefill"):
            found[name] = Flag(f"--{name}", True)
    return found


def flag_of(engine: str, key: str) -> Flag | None:
    """The option that ``key`` sets; None where it sets none that is known."""
    return _flags(engine).get(kebab(key))
