"""LIM: how prefill is cut into pieces, and what the pieces must fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.flag import Presence
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import rewording
from servelint_rules.places import related
from servelint_rules.workload import accepted_length

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.engines.command import Argument, Command

# SGLang's attention backends that set the page size themselves, whatever is stated (sglang/srt/server_args.py,
# `_handle_attention_backend_compatibility`).
_OWN_PAGES = frozenset(
    ("flashmla", "cutlass_mla", "trtllm_mla", "trtllm_mha", "tokenspeed_mla", "cutedsl_mla", "dsv4", "nsa", "dsa")
)


def number_of(command: Command, flag: str) -> tuple[int, Argument] | None:
    """The whole number that ``flag`` is given, with its argument; None where it is absent or cannot be read."""
    argument = command.last(flag)
    text = (argument.value or "").strip() if argument is not None and not argument.value_is_unknown else ""
    if argument is None or not text.removeprefix("-").isdecimal() or len(text) > 18:
        return None
    return int(text), argument


@rule(
    "LIM306", "long-prefill-threshold", "long_prefill_token_threshold above max_model_len",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=("vllm",), fixable=True, inputs=("image tag",),
)  # fmt: skip
def long_prefill_threshold(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `--long-prefill-token-threshold` against `max_model_len`: a prompt counts as long above it.

    ## Why it matters

    No prompt is that long. vLLM stops: "long_prefill_token_threshold (…) cannot be greater than the max_model_len (…)", in
    releases with `--max-num-partial-prefills` only where that is above 1.

    ## How to fix

    A threshold below `max_model_len`, or none.

    ## Certainty

    Proven where the release and both numbers are known. A warning where the release is not: some start, and ignore the
    threshold.

    ## References

    - vLLM, `vllm/config/scheduler.py`, `verify_max_model_len`
    """
    command, pool = case.container.command, case.pool
    found = number_of(command, "--long-prefill-token-threshold") if command is not None else None
    if command is None or found is None:
        return
    threshold, argument = found
    accepted = accepted_length(pool)
    if threshold <= accepted.tokens:
        return
    version = pool.version.get(None)
    partial = command.table.flag("--max-num-partial-prefills")
    stated = number_of(command, "--max-num-partial-prefills")
    checked = stated is not None and stated[0] > 1
    if version is not None and partial is not None and not checked:
        presence = partial.presence(version)
        if presence is Presence.PRESENT:
            return
        checked = presence is Presence.ABSENT and version >= (partial.introduced or version)
    certain = checked and version is not None and accepted.certain
    yield Verdict(
        command.place_of(argument),
        f"no prompt has more than {threshold} tokens; the longest has {accepted.tokens}",
        related=related(command.place_of(argument), (pool.max_model_len, f"up to {accepted.tokens} tokens")),
        proposals=(Proposal(f"take {argument.written} out", False, lambda: rewording.removed(command, argument)),),
        severity=Severity.ERROR if certain else Severity.WARNING,
        certainty=Certainty.PROVEN if certain else Certainty.HEURISTIC,
    )


@rule(
    "LIM309", "chunk-size-page-multiple", "chunked_prefill_size is no multiple of page_size",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=("sglang",), fixable=True,
)  # fmt: skip
def chunk_size_page_multiple(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    SGLang's `--chunked-prefill-size` against `--page-size`, both stated; under attention data parallelism the share of one
    rank, which is what remains after SGLang has divided it. And a chunk size of -1 (no chunks) together with `--enable-pdmux`.

    ## Why it matters

    SGLang stops at start-up: "chunked_prefill_size must be divisible by page_size"; with multiplexed prefill and decode it
    needs chunks.

    ## How to fix

    The next multiple of the page size.

    ## Certainty

    Proven for a number that is no multiple. Attention backends with pages of their own (FlashMLA, TensorRT-LLM's MLA and
    others) and decode workers, which cut nothing, are left out.

    ## References

    - SGLang, `python/sglang/srt/server_args.py`, `check_server_args`
    - [sglang#28884](https://github.com/sgl-project/sglang/pull/28884): the share of one rank
    """
    command, pool = case.container.command, case.pool
    found = number_of(command, "--chunked-prefill-size") if command is not None else None
    if command is None or found is None:
        return
    chunk, argument = found
    if chunk <= 0:
        if command.last("--enable-pdmux") is not None:
            yield Verdict(command.place_of(argument), "prefill and decode are multiplexed chunk by chunk, and there are none")
        return
    page = number_of(command, "--page-size")
    backends = (
        command.last(flag) for flag in ("--attention-backend", "--decode-attention-backend", "--prefill-attention-backend")
    )
    mode = command.last("--disaggregation-mode")
    if page is None or page[0] < 1 or any(b is not None and (b.value_is_unknown or b.value in _OWN_PAGES) for b in backends):
        return
    ranks = pool.attention_data.value
    share = max(1, chunk // ranks)
    if share % page[0] == 0 or (mode is not None and mode.value != "prefill"):
        return
    wanted = -(-share // page[0]) * page[0] * ranks
    divided = f"{chunk} / {ranks} attention ranks = {share}; " if ranks > 1 else ""
    place = command.place_of(argument)
    yield Verdict(
        place,
        f"{share} tokens in pages of {page[0]}",
        arithmetic=(f"{divided}{share} / {page[0]} = {share / page[0]:.2f} pages",),
        proposals=(
            Proposal(f"--chunked-prefill-size={wanted}", False, pool.max_num_batched_tokens.writer.write(wanted))
            if ranks == 1 and pool.max_num_batched_tokens.writer is not None
            else Proposal(f"--chunked-prefill-size={wanted}", False, None),
        ),
    )
