"""Exclusions: pairs of options that an engine refuses side by side, by the release from which on it is known to.

Read in the engines' own checks: vLLM, vllm/engine/arg_utils.py (``create_engine_config``); SGLang,
python/sglang/srt/server_args.py; text-generation-inference, launcher/src/main.rs. ``since`` is the first release whose check
was read; an older one may have it too.
"""

from __future__ import annotations

from servelint.engines.versions import Version
from servelint.records import NamedTuple


class Exclusion(NamedTuple):
    """``first`` excludes ``second`` or, where ``key`` is not "", that key of its JSON value. ``message``: what is said."""

    first: str
    second: str
    key: str
    since: Version
    message: str


_VLLM = (
    Exclusion(
        "--attention-backend", "--attention-config", "backend", Version(0, 13, 0),
        "attention_backend and attention_config.backend are mutually exclusive",
    ),
    Exclusion(
        "--cudagraph-capture-sizes", "--compilation-config", "cudagraph_capture_sizes", Version(0, 11, 2),
        "cudagraph_capture_sizes and compilation_config.cudagraph_capture_sizes are mutually exclusive",
    ),
    Exclusion(
        "--max-cudagraph-capture-size", "--compilation-config", "max_cudagraph_capture_size", Version(0, 11, 2),
        "max_cudagraph_capture_size and compilation_config.max_cudagraph_capture_size are mutually exclusive",
    ),
    Exclusion(
        "--data-parallel-hybrid-lb", "--data-parallel-external-lb", "", Version(0, 27, 1),
        "data_parallel_hybrid_lb and data_parallel_external_lb cannot both be True",
    ),
)  # fmt: skip
_SGLANG = (
    Exclusion(
        "--enable-hierarchical-cache", "--disable-radix-cache", "", Version(0, 5, 5),
        "enable-hierarchical-cache and disable-radix-cache are mutually exclusive",
    ),
    Exclusion(
        "--encoder-only", "--language-only", "", Version(0, 5, 7),
        "Cannot set --encoder-only and --language-only together",
    ),
)  # fmt: skip
_TGI = (
    Exclusion(
        "--max-input-length", "--max-input-tokens", "", Version(2, 0, 4),
        "Both `max_input_tokens` and `max_input_length` are set",
    ),
)  # fmt: skip


def exclusions(engine: str) -> tuple[Exclusion, ...]:
    """The pairs of ``vllm``, ``sglang`` or ``tgi``; none for another engine."""
    return {"vllm": _VLLM, "sglang": _SGLANG, "tgi": _TGI}.get(engine, ())
