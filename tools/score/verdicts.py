"""What the built-in rules say of a measured start-up: its configuration as a manifest, linted as anyone's would be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tools.score.rows import ONLINE

from servelint.config import Config
from servelint.finding import Severity
from servelint.run import Session, lint_texts, open_session
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from tools.score.rows import Row

_FLAGS = (
    ("gpu_memory_utilization", "--gpu-memory-utilization"),
    ("max_model_len", "--max-model-len"),
    ("max_num_seqs", "--max-num-seqs"),
    ("max_num_batched_tokens", "--max-num-batched-tokens"),
    ("kv_cache_dtype", "--kv-cache-dtype"),
    ("block_size", "--block-size"),
    ("dtype", "--dtype"),
)
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
    tag = f"v{row.version}" if row.version is not None else "nightly"
    model = row.pool.model.value if row.pool is not None and row.pool.model.is_known else row.model
    gpus = said.get("n_gpus") or int(said.get("tp") or 1) * int(said.get("pp") or 1) * int(said.get("dp") or 1)
    arguments = [f"--model={model}", f"--tensor-parallel-size={said.get('tp') or 1}"]
    for name, flag in (("pp", "--pipeline-parallel-size"), ("dp", "--data-parallel-size")):
        if (said.get(name) or 1) > 1:
            arguments.append(f"{flag}={said[name]}")
    if said.get("ep"):
        arguments.append("--enable-expert-parallel")
    if said.get("enforce_eager"):
        arguments.append("--enforce-eager")
    if said.get("quantization") in ONLINE:
        arguments.append(f"--quantization={said['quantization']}")
    arguments += [f"{flag}={_value(said[name])}" for name, flag in _FLAGS if said.get(name) is not None]
    lines = [
        "apiVersion: apps/v1",
        "kind: Deployment",
        "metadata: {name: measured}",
        "spec:",
        "  template:",
        "    spec:",
        "      containers:",
        "      - name: engine",
        f"        image: vllm/vllm-openai:{tag}",
        "        args:",
        *(f"        - {argument}" for argument in arguments),
        "        resources:",
        f"          limits: {{nvidia.com/gpu: {gpus}}}",
    ]
    return "\n".join(lines) + "\n"


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
