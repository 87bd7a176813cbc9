"""The extraction score: what is read from manifests against what an index of them says.

How an entry is compared:

- A fact that the index leaves null is not compared; where ours is known it is counted as ``extra``.
- A fact that the index states and that is unknown here is a disagreement, and so is a file that is read as no deployment.
- All facts of an entry are compared with one pool, the one that agrees in most: the index describes the main component. Where
  only another pool of the file agrees with a fact it is counted as ``other``, beside the agreements.
- ``model``: ``hf://`` is left out, case does not count. A local path, a variable, ``pvc://``, ``s3://``, ``oci://`` or a name
  without an organization names no model: unknown here agrees; an id that the text may stand for (a variable that is
  resolved, a path or name whose letters and digits are the id's, a path to which the model is downloaded) is ``open``.
- ``engine``: a packaging of an engine is that engine (``vllm-ascend``, ``dynamo-sglang``, ``kaito-preset``).
- ``dp`` is data parallelism, or the attention's (SGLang's ``--dp-size`` with ``--enable-dp-attention``).
- ``ep``: ``enabled`` agrees with any group larger than one, with a group of one where TP and DP are one, and with a switch that
  was read but whose group has degrees that the file does not state.
- ``nodes``: hosts of one instance; a recipe of srt-slurm states those of all workers of a role, which agrees, too.
- ``gpus``: what one pod asks for under its resource, chips, slices and units of a profile as they are written; 0 agrees with a
  pod that asks for none, the GPUs of a node of srt-slurm with those of one of the workers that share it.
- ``replicas``: the fewest or the most; the pods of a StatefulSet agree, where several of them form one instance.
- ``gpu_type``: our accelerators must all be among those that the index's texts name; texts that name none in the catalogue
  (``gpu.present=true``, a host name, a free label) are ``open``.
- A disagreement that was read, with the index wrong, is listed with its reason in ``extraction_reviewed.jsonl``.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from tools.score.extraction_index import FACTS, Entry, Mark, compare, read

from servelint.config import Config
from servelint.run import Session, lint_paths, open_session

REVIEWED = Path(__file__).with_name("extraction_reviewed.jsonl")
_GOOD = ("agrees", "other", "reviewed")


class Score(NamedTuple):
    """``stale``: reviews (file, fact) that no disagreement needs any more. ``missing``: files that the index names and that
    are not there."""

    marks: list[Mark]
    entries: int
    missing: list[str]
    stale: list[tuple[str, str]]

    def counts(self, marks: list[Mark] | None = None) -> Counter[str]:
        return Counter(mark.verdict for mark in (self.marks if marks is None else marks))

    def share(self, marks: list[Mark] | None = None) -> float:
        """The part of the compared facts that agree, or where the index was found wrong."""
        counts = self.counts(marks)
        good = sum(counts[verdict] for verdict in _GOOD)
        compared = good + counts["differs"]
        return good / compared if compared else 1.0

    def summary(self) -> dict[str, Any]:
        def of(marks: list[Mark]) -> dict[str, Any]:
            return {**self.counts(marks), "share": round(self.share(marks), 4)}

        return {
            "entries": self.entries,
            "missing": self.missing,
            "all": of(self.marks),
            "facts": {fact: of([mark for mark in self.marks if mark.fact == fact]) for fact in FACTS},
            "formats": {name: of([m for m in self.marks if m.entry.format == name]) for name in self.formats},
            "differs": [
                {"file": m.entry.file, "fact": m.fact, "index": m.said, "ours": m.ours, "origin": m.origin}
                for m in self.marks
                if m.verdict == "differs"
            ],
        }

    @property
    def formats(self) -> list[str]:
        return sorted({mark.entry.format for mark in self.marks})


def reviews(text: str) -> dict[tuple[str, str], str]:
    """(file, fact) → why the index is wrong there."""
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    return {(row["file"], row["fact"]): row["reason"] for row in rows}


def score(folder: Path, known: dict[tuple[str, str], str]) -> Score:
    """Every entry of ``folder``'s index; raises ``OSError`` or ``ValueError`` where that cannot be read."""
    session = open_session(Config(select=("DOC101",)))
    marks: list[Mark] = []
    missing: list[str] = []
    used: set[tuple[str, str]] = set()
    entries = read((folder / "INDEX.jsonl").read_text(encoding="utf-8"))
    for entry in entries:
        path = folder / entry.file
        if not path.is_file():
            missing.append(entry.file)
            continue
        for mark in _compared(entry, path, session):
            reason = known.get((entry.file, mark.fact), "")
            if reason and mark.verdict == "differs":
                used.add((entry.file, mark.fact))
                marks.append(mark._replace(verdict="reviewed", reason=reason))
            elif mark.verdict:
                marks.append(mark)
    present = {entry.file for entry in entries} - set(missing)
    stale = [key for key in known if key[0] in present and key not in used]
    return Score(marks, len(entries), missing, stale)


def _compared(entry: Entry, path: Path, session: Session) -> list[Mark]:
    report = lint_paths([str(path)], session)
    return compare(entry, [pool for deployment in report.deployments for pool in deployment.pools])


def _row(name: str, counts: Counter[str], share: float) -> str:
    return (
        f"  {name:36}{counts['agrees']:>8}{counts['other']:>7}{counts['reviewed']:>10}{counts['differs']:>9}{counts['open']:>7}"
        f"{counts['extra']:>8}{share:>10.2%}"
    )


def report(result: Score, *, every_row: bool = False) -> str:
    """The score for people. ``every_row`` adds what is reviewed, open and extra."""
    head = f"{result.entries} entries" + (f", {len(result.missing)} files are not there" if result.missing else "")
    columns = f"{'agrees':>8}{'other':>7}{'reviewed':>10}{'differs':>9}{'open':>7}{'extra':>8}{'share':>10}"
    lines = [head, f"  {'fact':36}{columns}"]
    for fact in FACTS:
        marks = [mark for mark in result.marks if mark.fact == fact]
        lines.append(_row(fact, result.counts(marks), result.share(marks)))
    lines += ["", f"  {'format':36}{columns}"]
    for name in result.formats:
        marks = [mark for mark in result.marks if mark.entry.format == name]
        lines.append(_row(name or "(none)", result.counts(marks), result.share(marks)))
    lines += ["", _row("all", result.counts(), result.share())]
    for verdict in ("differs", *(("other", "reviewed", "open", "extra") if every_row else ())):
        listed = [mark for mark in result.marks if mark.verdict == verdict]
        lines += ["", f"{verdict}: {len(listed)}", *map(_shown, listed)]
    lines += [f"no longer needed in {REVIEWED.name}: {file} {fact}" for file, fact in result.stale]
    lines += [f"not there: {file}" for file in result.missing]
    return "\n".join(lines)


def _shown(mark: Mark) -> str:
    reason = f" — {mark.reason}" if mark.reason else ""
    return f"  {mark.entry.file} [{mark.fact}] index {mark.said or '-'}; ours {mark.ours or 'unknown'} ({mark.origin}){reason}"
