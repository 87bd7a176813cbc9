"""The memory score: each term of the budget against the engine's own start-up log, one vote per configuration."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from tools.score import margins
from tools.score.rows import GIB, Row
from tools.score.verdicts import Judge, Verdict

from servelint.capacity import shape
from servelint.capacity.accounting import is_measured_device
from servelint.capacity.kv_cache import kv_cache_of
from servelint.capacity.layout import layout_of
from servelint.capacity.limits import device_bytes, step_limits
from servelint.capacity.memory import MemoryBudget, in_flight_tokens, memory_of
from servelint.capacity.regimes import regimes_of
from servelint.capacity.weights import weights_of
from servelint.facts import UnknownFact

if TYPE_CHECKING:
    from servelint.estimate import Estimate

TERMS = ("weights", "activation", "non_torch", "graphs", "kv_pool", "kv_tokens")
_ROUNDING = 0.006 * GIB  # logs give two decimals
SMALL_POOL = 10 * GIB


class Compared(NamedTuple):
    """One term of one row: predicted, measured, and the unit's rounding of the measurement."""

    predicted: Estimate
    measured: float
    rounding: float

    @property
    def error(self) -> float:
        """Relative error of the middle; absolute in the unit of the term where the measured value is zero."""
        return (self.predicted.mid - self.measured) / abs(self.measured) if self.measured else self.predicted.mid

    @property
    def inside(self) -> bool:
        return self.predicted.low - self.rounding <= self.measured <= self.predicted.high + self.rounding


class Request(NamedTuple):
    """What the engine said of one request of the longest length: its cache in GiB, and the length that its pool would hold."""

    needed: float | None
    predicted_need: float
    longest: int | None
    predicted_longest: tuple[int, int]

    @property
    def need_error(self) -> float | None:
        return None if self.needed is None else self.predicted_need / self.needed - 1

    @property
    def brackets(self) -> bool | None:
        """Whether the engine's length is between those that a pool of its size, to the digits logged, holds."""
        return None if self.longest is None else self.predicted_longest[0] <= self.longest <= self.predicted_longest[1]


class Scored(NamedTuple):
    row: Row
    regime: str
    terms: dict[str, Compared]
    budget: MemoryBudget | None
    verdict: Verdict
    unknown: str
    measured_device: bool = False
    request: Request | None = None
    doubt: str = ""

    @property
    def complete(self) -> bool:
        return self.row.complete and not self.doubt

    def counts(self, term: str) -> bool:
        """Whether nothing but the estimate can be wrong about a term."""
        return self.row.loaded if term == "weights" else self.complete


class Score(NamedTuple):
    scored: list[Scored]
    skipped: list[Row]

    def group(self, regime: str | None = None, *, complete: bool = True) -> dict[str, list[list[Compared]]]:
        """Term → one list of comparisons per vote."""
        votes: dict[str, dict[tuple[object, ...], list[Compared]]] = {term: {} for term in TERMS}
        for one in self.scored:
            if regime is None or one.regime == regime:
                for term, compared in one.terms.items():
                    if complete and not one.counts(term):
                        continue
                    votes[term].setdefault(one.row.vote, []).append(compared)
        return {term: list(groups.values()) for term, groups in votes.items()}

    @property
    def regimes(self) -> list[str]:
        return sorted({one.regime for one in self.scored})

    def false_errors(self) -> list[Scored]:
        """Rows that started although the rules say that they cannot."""
        return [one for one in self.scored if one.row.said.get("outcome") == "started" and one.verdict.errors]

    def failures(self) -> list[Scored]:
        """Rows that failed by their configuration, all of which is known: the layout and model for what does not divide."""
        return [one for one in self.scored if one.row.said.get("outcome") not in {"started", None} and _its_own_fault(one)]

    def summary(self) -> dict[str, Any]:
        result: dict[str, Any] = {
            "rows": len(self.scored),
            "skipped": len(self.skipped),
            "false_errors": len(self.false_errors()),
            "failures": len(self.failures()),
            "failures_found": sum(one.verdict.fault for one in self.failures()),
        }
        needs = [abs(error) for one in self.scored if one.request and (error := one.request.need_error) is not None]
        brackets = [one.request.brackets for one in self.scored if one.request and one.request.brackets is not None]
        result["requests"] = {
            "needs": len(needs), "median_need_error": median(needs) if needs else 0.0,
            "lengths": len(brackets), "bracketed": sum(map(bool, brackets)),
        }  # fmt: skip
        for regime in self.regimes:
            result[regime] = {term: figures(votes) for term, votes in self.group(regime).items() if votes}
        return result


def _compare(row: Row, budget: MemoryBudget, first_stage: Estimate) -> dict[str, Compared]:
    said = row.said
    several = (said.get("pp") or 1) > 1
    # With pipeline stages a log's figures are the first rank's, the pool's size in tokens is everyone's.
    predicted: dict[str, tuple[Estimate, str]] = {"weights": (first_stage, "weights_gib")}
    if not several:
        predicted["activation"] = (budget.activation_bytes, "peak_activation_gib")
        predicted["non_torch"] = (budget.overhead_bytes, "non_torch_gib")
        # What is set aside, where that is inside the budget and was logged, else what was captured.
        aside = budget.graphs_inside and said.get("cudagraph_estimate_gib") is not None
        predicted["graphs"] = (budget.graphs_bytes, "cudagraph_estimate_gib" if aside else "cudagraph_gib")
        predicted["kv_pool"] = (budget.kv_pool_bytes, "available_kv_gib")
    terms = {
        term: Compared(estimate, said[field] * GIB, _ROUNDING)
        for term, (estimate, field) in predicted.items()
        # What documents call graphs is a change of free memory, which may be negative.
        if said.get(field) is not None and (term != "graphs" or said.get("confidence") not in {"doc", "author_table"})
    }
    if _of_another_rank(row, budget):
        terms = {name: term for name, term in terms.items() if name in {"weights", "non_torch"}}
    if said.get("kv_tokens"):
        page = budget.cache.block_size * budget.cache.context_ranks
        terms["kv_tokens"] = Compared(budget.kv_tokens, float(said["kv_tokens"]), page + 0.001 * said["kv_tokens"])
    return terms


def _of_another_rank(row: Row, budget: MemoryBudget) -> bool:
    """Whether V0's lines are of a rank that does not sample: its pool is larger than the blocks that all ranks have."""
    tokens, pool = row.said.get("kv_tokens"), row.said.get("available_kv_gib")
    early = row.said.get("engine") == "vllm" and row.version is not None and row.version < (0, 8, 0)
    return bool(early and tokens and pool) and tokens * budget.cache.bytes_per_token < 0.97 * pool * GIB


_DIVISIBILITY = ("divisible by",)
_NOT_STATED = ("Free memory on device", "local rank")  # others held the memory; the pod had fewer GPUs than the row says


def _its_own_fault(one: Scored) -> bool:
    said = str(one.row.said.get("error_text") or "")
    if any(words in said for words in _NOT_STATED):
        return False
    if any(words in said for words in _DIVISIBILITY):
        return one.row.loaded or one.row.doubt == "which device it was is open"
    return one.complete


def _request(row: Row) -> Request | None:
    """The engine's figures for one request against the same arithmetic on a pool of the size it states."""
    said = row.said
    longest, pool = said.get("max_model_len"), row.pool
    needed, estimate, left = said.get("kv_needed_gib"), said.get("est_max_len"), said.get("available_kv_gib")
    if not longest or pool is None or (needed is None and (estimate is None or left is None)):
        return None
    layout = layout_of(pool)
    tokens = said.get("max_num_batched_tokens")
    # 0.14 and 0.15 held the cache of all stages against the memory of one (vllm-project/vllm issues 32105, 34076).
    cache = kv_cache_of(
        pool, layout, shape.layer_kinds(pool.architecture.value), in_flight_tokens(pool, layout, tokens or 0), last=True
    )
    if tokens is None and any(group.window for group in cache.groups):
        return None  # what windowed layers keep depends on the tokens of a step
    spans = []
    for size in (left - 0.006, left + 0.006) if left is not None else ():
        low, high = 0, int(longest)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if cache.request_bytes(middle) <= size * GIB else (low, middle - 1)
        spans.append(low)
    block = cache.block_size
    own = (spans[0] - block, spans[1] + block) if spans else (0, 0)
    return Request(needed, cache.request_bytes(int(longest)) / GIB, estimate if spans else None, own)


def _more_than_there_is(row: Row, weights: Estimate) -> str:
    """A row whose pool and weights exceed the device it names was measured on another."""
    pool, share = row.said.get("available_kv_gib"), row.said.get("gpu_memory_utilization") or 1.0
    if row.said.get("engine") != "vllm":
        share = 1.0  # of what is free, or of a cache that came out larger than it was planned
    if not pool or row.accelerator is None:
        return ""
    more = pool * GIB + weights.low > 1.02 * share * device_bytes(row.accelerator).high
    return "its pool and weights are more than the device holds" if more else ""


def _another_step(row: Row) -> str:
    """A row that states no step, and whose request needs what only another than the API server's default explains.

    ``LLM(…)`` takes twice as many tokens a step; windowed layers keep room for them.
    """
    said, pool = row.said, row.pool
    needed, longest = said.get("kv_needed_gib"), said.get("max_model_len")
    if not needed or not longest or said.get("max_num_batched_tokens") or pool is None or row.accelerator is None:
        return ""
    layout, kinds = layout_of(pool), shape.layer_kinds(pool.architecture.value)
    tokens = int(step_limits(pool, row.accelerator)[0].mid)

    def need(step: int) -> float:
        return kv_cache_of(pool, layout, kinds, in_flight_tokens(pool, layout, step), last=True).request_bytes(longest) / GIB

    off = abs(need(tokens) / needed - 1) > 0.05 and abs(need(2 * tokens) / needed - 1) < 0.01
    return "its request is that of a step twice the API server's, which it does not state" if off else ""


def _score_row(row: Row, verdict: Verdict) -> Scored:
    regime = regimes_of(row.version)[0].name if row.version else "unknown version"
    if row.said.get("engine") != "vllm":
        regime = str(row.said.get("engine"))
    if row.pool is None:
        return Scored(row, regime, {}, None, verdict, row.skip)
    try:
        layout = layout_of(row.pool)
        weights = weights_of(row.pool, layout)
        request = _request(row)
        if row.accelerator is None:
            terms = {}
            if row.said.get("weights_gib") is not None:
                terms["weights"] = Compared(weights.stages[0], row.said["weights_gib"] * GIB, _ROUNDING)
            return Scored(row, regime, terms, None, verdict, "", request=request)
        budget = memory_of(row.pool, row.accelerator, layout)
        terms = _compare(row, budget, weights.stages[0])
    except UnknownFact as unknown:
        return Scored(row, regime, {}, None, verdict, str(unknown))
    measured = is_measured_device(row.accelerator, device_bytes(row.accelerator))
    doubt = _more_than_there_is(row, weights.largest) or _another_step(row)
    return Scored(row, regime, terms, budget, verdict, "", measured, request, doubt)


def score(rows: list[Row], *, leave_one_out: bool = True) -> Score:
    """Every row that can be scored, compared. ``leave_one_out``: intervals come from the margins of all other models."""
    judge = Judge()
    skipped = [row for row in rows if row.pool is None]
    scored = [_score_row(row, judge.verdict(row)) for row in rows if row.pool is not None]
    if not leave_one_out:
        return Score(scored, skipped)
    result = []
    own: dict[str, dict[str, margins.Margins]] = {}
    for one in scored:
        model = one.row.model
        if model not in own:
            own[model] = margins.fit(scored, without=model)
        with margins.applied(own[model]):
            result.append(_score_row(one.row, one.verdict))
    return Score(result, skipped)


def figures(votes: list[list[Compared]]) -> dict[str, float]:
    """Median and 90th percentile of the absolute error, mean error, share inside the interval, median width in GiB or tokens."""
    errors = sorted(median(abs(c.error) for c in vote) for vote in votes)
    signed = [median(c.error for c in vote) for vote in votes]
    inside = [all(c.inside for c in vote) for vote in votes]
    width = median(median(c.predicted.high - c.predicted.low for c in vote) for vote in votes)
    return {
        "votes": len(votes),
        "median_error": median(errors),
        "p90_error": errors[min(len(errors) - 1, int(0.9 * len(errors)))],
        "mean_error": sum(signed) / len(signed),
        "inside": sum(inside) / len(inside),
        "median_width": width,
    }
