"""The memory score as text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.score.memory import SMALL_POOL, figures
from tools.score.rows import GIB

if TYPE_CHECKING:
    from tools.score.memory import Compared, Score, Scored


def _table(title: str, groups: dict[str, list[list[Compared]]]) -> list[str]:
    if not any(groups.values()):
        return [f"{title}: none"]
    lines = [title, f"  {'term':12}{'votes':>6}{'median':>9}{'p90':>9}{'mean':>9}{'inside':>8}{'width':>12}"]
    for term, votes in groups.items():
        if not votes:
            continue
        f = figures(votes)
        width = f"{f['median_width']:.0f}" if term == "kv_tokens" else f"{f['median_width'] / GIB:.2f} GiB"
        errors = f"{f['median_error']:>9.2%}{f['p90_error']:>9.2%}{f['mean_error']:>+9.2%}"
        lines.append(f"  {term:12}{f['votes']:>6.0f}{errors}{f['inside']:>8.0%}{width:>12}")
    return lines


def _small_pools(result: Score, regime: str) -> dict[str, list[list[Compared]]]:
    votes: dict[tuple[object, ...], list[Compared]] = {}
    for one in result.scored:
        pool = one.terms.get("kv_pool")
        if one.regime == regime and one.complete and pool is not None and pool.measured < SMALL_POOL:
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
    if one.request is not None:
        r = one.request
        cells.append(f"request {r.predicted_need:.2f}/{r.needed} GiB, longest {r.predicted_longest}/{r.longest}")
    verdict = " ".join((*one.verdict.errors, *(code.lower() for code in one.verdict.warnings))) or "nothing found"
    doubt = one.row.doubt or one.doubt
    return f"{head} {'; '.join(cells)} [{verdict}; {said.get('outcome')}]{f' ({doubt})' if doubt else ''}"


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
            lines += ["  of these, pools under 10 GiB", *_table("", small)[2:]]
    said = result.summary()["requests"]
    lengths = f"{said['bracketed']} of {said['lengths']} lengths bracketed"
    lines += ["", f"one request: {said['needs']} needs, median error {said['median_need_error']:.2%}; {lengths}"]
    lines += ["", "what the rules say of the same configurations as manifests:"]
    counts: dict[tuple[str, str], int] = {}
    for one in result.scored:
        found = "error" if one.verdict.errors else "warning" if one.verdict.warnings else "nothing"
        key = (str(one.row.said.get("outcome")), found)
        counts[key] = counts.get(key, 0) + 1
    lines += [f"  {outcome:14} {found:8} {count}" for (outcome, found), count in sorted(counts.items())]
    failures = result.failures()
    missed = [one for one in failures if not one.verdict.fault]
    lines.append(f"failures of a known configuration: {len(failures)}, found {len(failures) - len(missed)}")
    lines += [f"  missed: {one.row.id}: {str(one.row.said.get('error_text'))[:90]}" for one in missed]
    wrong = result.false_errors()
    lines.append(f"false errors (an error on a row that started): {len(wrong)}")
    lines += [f"  {one.row.id}: {' '.join(one.verdict.errors)}" for one in wrong]
    return "\n".join(lines)
