"""What the built-in rules say of a measured start-up: its configuration as a manifest, linted as anyone's would be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from tools.score.rows import ONLINE, image_tag, share_of

from servelint.config import Config
from servelint.finding import Severity
from servelint.run import Session, lint_texts, open_session
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.score.rows import Row


class _Told(NamedTuple):
    """How an engine is started: its image, what begins its command line, and the flag of each field."""

    image: str
    command: tuple[str, ...]
    flags: tuple[tuple[str, str], ...]


_VLLM = _Told(
    "vllm/vllm-openai:v{}", (),
    (
        ("tp", "--tensor-parallel-size"), ("pp", "--pipeline-parallel-size"), ("dp", "--data-parallel-size"),
        ("gpu_memory_utilization", "--gpu-memory-utilization"), ("max_model_len", "--max-model-len"),
        ("max_num_seqs", "--max-num-seqs"), ("max_num_batched_tokens", "--max-num-batched-tokens"),
        ("kv_cache_dtype", "--kv-cache-dtype"), ("block_size", "--block-size"), ("dtype", "--dtype"),
        ("ep", "--enable-expert-parallel"), ("enforce_eager", "--enforce-eager"),
    ),
)  # fmt: skip
_OTHERS = {
    "sglang": _Told(
        "lmsysorg/sglang:v{}", ("python3", "-m", "sglang.launch_server"),
        (
            ("tp", "--tp-size"), ("pp", "--pp-size"), ("dp", "--dp-size"), ("gpu_memory_utilization", "--mem-fraction-static"),
            ("max_model_len", "--context-length"), ("max_num_seqs", "--max-running-requests"),
            ("max_num_batched_tokens", "--chunked-prefill-size"), ("kv_cache_dtype", "--kv-cache-dtype"),
            ("block_size", "--page-size"), ("dtype", "--dtype"), ("enforce_eager", "--disable-cuda-graph"),
        ),
    ),
    "trtllm": _Told(
        "nvcr.io/nvidia/tensorrt-llm/release:{}", ("trtllm-serve",),
        (
            ("tp", "--tp_size"), ("pp", "--pp_size"), ("gpu_memory_utilization", "--kv_cache_free_gpu_memory_fraction"),
            ("max_model_len", "--max_seq_len"), ("max_num_seqs", "--max_batch_size"),
            ("max_num_batched_tokens", "--max_num_tokens"),
        ),
    ),
    "tgi": _Told(
        "ghcr.io/huggingface/text-generation-inference:{}", (),
        (
            ("tp", "--num-shard"), ("gpu_memory_utilization", "--cuda-memory-fraction"), ("max_model_len", "--max-total-tokens"),
            ("max_num_batched_tokens", "--max-batch-prefill-tokens"), ("dtype", "--dtype"),
            ("kv_cache_dtype", "--kv-cache-dtype"),
        ),
    ),
}  # fmt: skip
_MODEL = {"vllm": "--model={}", "sglang": "--model-path={}", "trtllm": "{}", "tgi": "--model-id={}"}
_DEGREES = frozenset({"pp", "dp"})
_SWITCHES = frozenset({"ep", "enforce_eager"})
_PLAIN = re.compile(r"[a-z][a-z0-9_-]*( [\w.-]+)?")  # a flag as it was written, with its value or without
_CODES = ("MEM", "PAR", "HWQ")


class Verdict(NamedTuple):
    """Codes of errors and of warnings, and what could not be checked."""

    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    unchecked: tuple[str, ...]

    @property
    def fault(self) -> bool:
        return bool(self.errors or self.warnings)


def manifest(row: Row) -> str:
    """A Deployment that starts the engine as the row says it was started."""
    said = row.said
    engine = str(said.get("engine"))
    told = _OTHERS.get(engine, _VLLM)
    repository, _, tag = told.image.partition(":")
    tag = tag.format(row.version) if row.version is not None else image_tag(said) or "nightly"
    model = row.pool.model.value if row.pool is not None and row.pool.model.is_known else row.model
    gpus = said.get("n_gpus") or int(said.get("tp") or 1) * int(said.get("pp") or 1) * int(said.get("dp") or 1)
    amd = row.accelerator is not None and row.accelerator.vendor == "AMD"
    lines = [
        "apiVersion: apps/v1",
        "kind: Deployment",
        "metadata: {name: measured}",
        "spec:",
        "  template:",
        "    spec:",
        "      containers:",
        "      - name: engine",
        f"        image: {repository}:{tag}",
        *(f"        command: [{', '.join(told.command)}]" for _ in told.command[:1]),
        "        args:",
        *(f"        - {argument}" for argument in (_MODEL.get(engine, _MODEL["vllm"]).format(model), *_arguments(row, told))),
        "        resources:",
        f"          limits: {{{'amd' if amd else 'nvidia'}.com/gpu: {gpus}}}",
    ]
    return "\n".join(lines) + "\n"


def _arguments(row: Row, told: _Told) -> Iterator[str]:
    said = {**row.said, "tp": row.said.get("tp") or 1, "gpu_memory_utilization": share_of(row.said)}
    for name, flag in told.flags:
        value = said.get(name)
        if name in _SWITCHES:
            if value:
                yield flag
        elif value is not None and not (name in _DEGREES and value <= 1):
            yield f"{flag}={_value(value)}"
    if said.get("quantization") in ONLINE and told is _VLLM:
        yield f"--quantization={said['quantization']}"
    if told is not _VLLM:
        for flag in said.get("other_flags") or ():
            if _PLAIN.fullmatch(str(flag).removeprefix("--")) and (words := str(flag).removeprefix("--").split()):
                yield "=".join((f"--{words[0]}", *words[1:]))


def _value(value: Any) -> str:
    return str(value).split(" ")[0]


class Judge:
    """Lints rows; sessions are opened once for each device."""

    def __init__(self) -> None:
        self._sessions: dict[str | None, Session] = {}

    def verdict(self, row: Row) -> Verdict:
        device = row.accelerator.name if row.accelerator is not None else None
        if device not in self._sessions:
            self._sessions[device] = open_session(Config(select=_CODES, default_accelerator=device))
        report = lint_texts([SourceText("measured.yaml", manifest(row))], self._sessions[device])
        errors = sorted({f.code for f in report.findings if f.severity is Severity.ERROR})
        warnings = sorted({f.code for f in report.findings if f.severity is Severity.WARNING})
        unchecked = sorted({f"{n.fact}: {n.reason}" for n in report.not_checked})
        return Verdict(tuple(errors), tuple(warnings), tuple(unchecked))
