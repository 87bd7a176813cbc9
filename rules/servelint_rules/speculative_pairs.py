"""DIS721 and DIS727: pools that hand a KV cache over, of which one drafts tokens by a model and the other does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.deployment import Role
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.disaggregation import joined
from servelint_rules.kv_transfer import command_of, transfer_of
from servelint_rules.places import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import GroupCase
    from servelint.deployment import Pool

# Methods whose drafts come from layers with a KV cache of their own; others guess from the text (n-grams, suffixes).
_KEEPING = ("eagle", "mtp", "nextn", "dflash", "dspark", "frozen_kv_mtp", "draft_model", "standalone")


@rule(
    "DIS721", "speculation-one-sided", "Draft layers in one of the two pools that share a KV cache",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.GROUP, since="0.1.0",
    engines=("sglang", "vllm"), inputs=("other files of the run",),
)  # fmt: skip
def speculation_one_sided(case: GroupCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A decode pool of vLLM with NIXL that speculates with EAGLE, MTP or a draft model while its prefill pool does not; and,
    with vLLM or SGLang, a prefill pool that does while its decode pool does not.

    ## Why it matters

    The draft layers have a KV cache of their own, which must hold the prompt too, and it is the prefill pool that computes
    the prompt. vLLM's two ends then keep different caches: decode workers crashed at long prompts, and newer releases refuse
    the handshake. Where only the prefill pool drafts, it sends caches that the decode pool has no place for. (SGLang goes on
    where only the decode pool drafts: DIS727.)

    ## How to fix

    Give both pools the same speculation. The prefill pool then runs the draft layers over the prompt, which costs little.

    ## Certainty

    Heuristic: what a connector makes of it changes from release to release. N-grams and suffixes, which need no cache, are
    left out, and so are prefill pools with pipeline parallelism, which cannot speculate.

    ## References

    - [vllm#49230](https://github.com/vllm-project/vllm/pull/49230), [vllm#54926](https://github.com/vllm-project/vllm/issues/54926),
      [InferenceX#1535](https://github.com/SemiAnalysisAI/InferenceX/pull/1535)
    - SGLang, `python/sglang/srt/disaggregation/prefill.py`: `_init_kv_manager`
    """
    yield from _pairs(case, alone=False)


@rule(
    "DIS727", "draft-cache-without-prompt", "Draft layers that never see the prompt",
    severity=Severity.INFO, certainty=Certainty.HEURISTIC, scope=Scope.GROUP, since="0.1.0",
    engines=("sglang",), inputs=("other files of the run",), advice=True,
)  # fmt: skip
def draft_cache_without_prompt(case: GroupCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A decode pool of SGLang that speculates with EAGLE, MTP or a draft model, whose prefill pool does not.

    ## Why it matters

    The prefill pool sends the KV caches of the layers it has. Without the draft layers it sends neither their cache of the
    prompt nor the hidden state that the first draft starts from. SGLang goes on, and the answers are the same, but fewer
    drafts are accepted, most of all early in an answer: a part of what speculation is for.

    ## How to fix

    Give the prefill pool the same `--speculative-*` options, and compare the acceptance length in the decode pool's log.

    ## Certainty

    Heuristic, and advice: the prefill pool saves the draft layers' share of its work, and published benchmarks do it either
    way. Prefill pools with pipeline parallelism, with which SGLang does not speculate, are left out.

    ## References

    - SGLang, `python/sglang/srt/disaggregation/prefill.py`: `_init_kv_manager`; `utils.py`: `MetadataBuffers`
    - [sglang#23162](https://github.com/sgl-project/sglang/issues/23162)
    """
    yield from _pairs(case, alone=True)


def _pairs(case: GroupCase, *, alone: bool) -> Iterator[Verdict]:
    """Pairs of which one drafts. ``alone``: those of SGLang whose decode pool drafts alone, else all others."""
    for prefill in case.of_role(Role.PREFILL):
        for decode in case.of_role(Role.DECODE):
            one, other = prefill.pool, decode.pool
            if not _hand_over(one, other) or one.pipeline.get(1) > 1:
                continue
            drafts, takes = _method(one), _method(other)
            if drafts is None or takes is None or bool(drafts) == bool(takes):
                continue
            if (bool(takes) and one.engine.get("") == "sglang") is not alone:
                continue
            with_drafts, without = (other, one) if takes else (one, other)
            what = "the draft's cache of the prompt is never computed" if takes else "the decode pool has no place for its cache"
            yield Verdict(
                place_of(with_drafts, with_drafts.speculative),
                f"{with_drafts.role.value} drafts tokens ({takes or drafts}), and the {without.role.value} pool does not: {what}",
                arithmetic=joined(case),
                related=(Related(without.place, f"the {without.role.value} pool {without.name}"),),
                proposals=(Proposal("give both pools the same speculation", False, None),),
                key=f"{one.name} {other.name}",
            )


def _hand_over(one: Pool, other: Pool) -> bool:
    """Both run one engine of those whose handover is known, with all of their options at hand."""
    commands = command_of(one), command_of(other)
    engines = {command.engine for command in commands if command is not None and command.complete}
    if None in commands or len(engines) != 1:
        return False
    if engines == {"sglang"}:
        return True
    transfers = [transfer_of(command) for command in commands]
    return engines == {"vllm"} and all(transfer is not None and transfer.uses("NixlConnector") for transfer in transfers)


def _method(pool: Pool) -> str | None:
    """The method of speculation, "" where drafts keep no cache or there are none; None where that is not known."""
    if not pool.speculative.is_known:
        return None if pool.speculative.reason != "not stated" else ""
    text = str(pool.speculative.value)
    if text == "none":
        return ""
    import json  # lazy: only pools that speculate have it

    try:
        stated = json.loads(text)
    except ValueError:
        return None
    method = (
        str(stated.get("method") or ("draft_model" if stated.get("model") else "")).lower() if isinstance(stated, dict) else ""
    )
    return method if any(word in method for word in _KEEPING) else ""
