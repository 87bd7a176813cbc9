"""The memory score: each term of the budget against the engine's own start-up log, one vote per configuration."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from tools.score.rows import GIB, Row

from servelint.capacity.layout import layout_of
from servelint.capacity.memory import MemoryBudget, memory_of
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


class Scored(NamedTuple):
    row: Row
    regime: str
    terms: dict[str, Compared]
    budget: MemoryBudget | None
    verdict: str
    unknown: str


class Score(NamedTuple):
    scored: list[Scored]
    skipped: list[Row]

    def group(self, regime: str | None = None, *, complete: bool = True) -> dict[str, list[list[Compared]]]:
        """Term → one list of comparisons per vote."""
        votes: dict[str, dict[tuple[object, ...], list[Compared]]] = {term: {} for term in TERMS}
        for one in self.scored:
            if (regime is None or one.regime == regime) and (one.row.complete or not complete):
                for term, compared in one.terms.items():
                    votes[term].setdefault(one.row.vote, []).append(compared)
        return {term: list(groups.values()) for term, groups in votes.items()}

    @property
    def regimes(self) -> list[str]:
        return sorted({one.regime for one in self.scored})

    def false_errors(self) -> list[Scored]:
        """Rows that started although even the favourable end says they cannot."""
        return [one for one in self.scored if one.row.said.get("outcome") == "started" and one.verdict == "fails"]

    def summary(self) -> dict[str, Any]:
        result: dict[str, Any] = {
            "rows": len(self.scored),
            "skipped": len(self.skipped),
            "false_errors": len(self.false_errors()),
        }
        for regime in self.regimes:
            result[regime] = {term: _figures(votes) for term, votes in self.group(regime).items() if votes}
        return result


def _compare(row: Row, budget: MemoryBudget, first_stage: Estimate) -> dict[str, Compared]:
    said = row.said
    several = (said.get("pp") or 1) > 1
    # With pipeline stages a log's figures are the first rank's, the pool's size in tokens is everyone's.
    predicted: dict[str, tuple[Estimate, str]] = {"weights": (first_stage, "weights_gib")}
    if not several:
        predicted["activation"] = (budget.activation_bytes, "peak_activation_gib")
        predicted["non_torch"] = (budget.overhead_bytes, "non_torch_gib")
        predicted["graphs"] = (budget.graphs_bytes, "cudagraph_gib")
        predicted["kv_pool"] = (budget.kv_pool_bytes, "available_kv_gib")
    terms = {
        term: Compared(estimate, said[field] * GIB, _ROUNDING)
        for term, (estimate, field) in predicted.items()
        if said.get(field) is not None and (term != "graphs" or said[field] > 0)  # 0.11 logs a change of free memory
    }
    if said.get("kv_tokens"):
        page = budget.cache.block_size * budget.cache.context_ranks
        terms["kv_tokens"] = Compared(budget.kv_tokens, float(said["kv_tokens"]), page + 0.001 * said["kv_tokens"])
    return terms


def _verdict(row: Row, budget: MemoryBudget) -> str:
    """What a memory rule would say: ``fails`` if even the favourable end does, ``tight`` if the middle does, else ``fits``."""
    longest = row.said.get("max_model_len")
    need = budget.request_bytes(int(longest)) if longest else 0.0
    if budget.kv_pool_bytes.high <= 0 or budget.kv_pool_bytes.high < need:
        return "fails"
    return "tight" if budget.kv_pool_bytes.mid <= 0 or budget.kv_pool_bytes.mid < need else "fits"


def score(rows: list[Row]) -> Score:
    """Every row that can be scored, compared."""
    scored: list[Scored] = []
    skipped: list[Row] = []
    for row in rows:
        if row.pool is None or row.accelerator is None:
            skipped.append(row)
            continue
        regime = regimes_of(row.version)[0].name if row.version else "unknown version"
        try:
            layout = layout_of(row.pool)
            budget = memory_of(row.pool, row.accelerator, layout)
            terms = _compare(row, budget, weights_of(row.pool, layout).stages[0])
        except UnknownFact as unknown:
            scored.append(Scored(row, regime, {}, None, "", str(unknown)))
            continue
        scored.append(Scored(row, regime, terms, budget, _verdict(row, budget), ""))
    return Score(scored, skipped)


def _figures(votes: list[list[Compared]]) -> dict[str, float]:
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


def _table(title: str, groups: dict[str, list[list[Compared]]]) -> list[str]:
    if not any(groups.values()):
        return [f"{title}: none"]
    lines = [title, f"  {'term':12}{'votes':>6}{'median':>9}{'p90':>9}{'mean':>9}{'inside':>8}{'width':>12}"]
    for term, votes in groups.items():
        if not votes:
            continue
        f = _figures(votes)
        width = f"{f['median_width']:.0f}" if term == "kv_tokens" else f"{f['median_width'] / GIB:.2f} GiB"
        errors = f"{f['median_error']:>9.2%}{f['p90_error']:>9.2%}{f['mean_error']:>+9.2%}"
        lines.append(f"  {term:12}{f['votes']:>6.0f}{errors}{f['inside']:>8.0%}{width:>12}")
    return lines


def _small_pools(result: Score, regime: str) -> dict[str, list[list[Compared]]]:
    votes: dict[tuple[object, ...], list[Compared]] = {}
    for one in result.scored:
        pool = one.terms.get("kv_pool")
        if one.regime == regime and one.row.complete and pool is not None and pool.measured < SMALL_POOL:
            votes.setdefault(one.row.vote, []).append(pool)
    return {"kv_pool": list(votes.values())}


def _shown(one: Scored) -> str:
    said = one.row.said
    head = f"{one.regime:16} {str(said.get('model'))[-40:]:40} tp{said.get('tp')} pp{said.get('pp')}"
    if one.unknown:
        return f"{head} not scored: {one.unknown}"
    cells = []
    for term, c in one.terms.items():
        unit = 1.0 if term == "kv_tokens" else GIB
        digits = 0 if term == "kv_tokens" else 2
        mark = "" if c.inside else " OUT"
        cells.append(f"{term} {c.predicted.mid / unit:.{digits}f}/{c.measured / unit:.{digits}f} ({c.error:+.2%}){mark}")
    return f"{head} {'; '.join(cells)} [{one.verdict}, {said.get('outcome')}]"


def report(result: Score, *, every_row: bool = False) -> str:
    """The score for people."""
    lines = [f"{len(result.scored)} rows scored, {len(result.skipped)} skipped:"]
    reasons: dict[str, int] = {}
    for row in result.skipped:
        reasons[row.skip] = reasons.get(row.skip, 0) + 1
    lines += [f"  {count:4} {reason}" for reason, count in sorted(reasons.items(), key=lambda item: -item[1])]
    if every_row:
        lines += ["", *(_shown(one) for one in result.scored)]
    for regime in result.regimes:
        lines += ["", *_table(f"{regime} (complete configurations, one vote each)", result.group(regime))]
        small = _small_pools(result, regime)
        if small["kv_pool"]:
            lines += _table("  of these, pools under 10 GiB", small)[2:]
    lines += ["", "verdicts (favourable end / middle) against outcomes:"]
    counts: dict[tuple[str, str], int] = {}
    for one in result.scored:
        if one.verdict:
            key = (str(one.row.said.get("outcome")), one.verdict)
            counts[key] = counts.get(key, 0) + 1
    lines += [f"  {outcome:14} {verdict:6} {count}" for (outcome, verdict), count in sorted(counts.items())]
    wrong = result.false_errors()
    lines.append(
        f"false errors (started, but the favourable end fails): {len(wrong)}" + "".join(f"\n  {one.row.id}" for one in wrong)
    )
    return "\n".join(lines)
