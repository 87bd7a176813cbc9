"""Entry point: ``python -m tools.score memory FILE…``, ``extraction FOLDER…`` or ``speed FOLDER…``.

``--rows`` shows every row, ``--json`` prints one object for each.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tools.score.memory import Score
    from tools.score.rows import Row

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT / "lint") not in sys.path:
    sys.path.insert(0, str(ROOT / "lint"))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.score", description=__doc__)
    parser.add_argument("what", choices=["memory", "extraction", "speed"], help="what to score")
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="JSON lines of measured start-ups; folders of manifests, for extraction with an INDEX.jsonl",
    )
    parser.add_argument("--rows", action="store_true", help="print every row")
    parser.add_argument("--in-sample", action="store_true", help="memory: intervals with the shipped margins, not leave-one-out")
    parser.add_argument("--ship", metavar="OUT", help="memory: write the rows that may ship with the project")
    parser.add_argument("--margins", choices=["check", "write"], help="memory: compare or write the margins that the rows give")
    parser.add_argument(
        "--peer", action="store_true", help="memory: what llm-d-planner, if installed, predicts for the same rows"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    options = parser.parse_args(arguments)
    score = {"memory": _memory, "extraction": _extraction, "speed": _speed}[options.what]
    return score(options)


def _speed(options: argparse.Namespace) -> int:
    from tools.score import speed

    for name in options.files:
        try:
            measured = speed.measure(Path(name))
        except (OSError, ValueError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 2
        print(json.dumps(measured.summary(), indent=1, sort_keys=True) if options.json else speed.report(measured))
    return 0


def _extraction(options: argparse.Namespace) -> int:
    from tools.score import extraction

    known = extraction.reviews(extraction.REVIEWED.read_text(encoding="utf-8"))
    for name in options.files:
        try:
            result = extraction.score(Path(name), known)
        except (OSError, ValueError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 2
        if options.json:
            print(json.dumps(result.summary(), indent=1, sort_keys=True))
        else:
            print(extraction.report(result, every_row=options.rows))
    return 0


def _margins(rows: list[Row], what: str) -> int:
    from tools.score import margins
    from tools.score.memory import score

    from servelint.capacity import margins as shipped

    text = margins.module(margins.fit(score(rows, leave_one_out=False).scored))
    path = Path(shipped.__file__)
    if what == "write":
        path.write_text(text, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != text:
        print(f"{path.name} is not what the rows give:\n{text[text.index('MARGINS:') :]}")
        return 1
    return 0


def _peer(result: Score) -> int:
    from tools.score import peer

    planner = peer.installed()
    if planner is None:
        print("llm-d-planner is not installed: pip install llm-d-planner transformers", file=sys.stderr)
        return 2
    print(peer.report(planner, result))
    return 0


def _memory(options: argparse.Namespace) -> int:
    from tools.score.memory import score
    from tools.score.memory_report import report
    from tools.score.rows import read

    rows = []
    for name in options.files:
        try:
            rows += read(Path(name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 2
    if options.ship:
        from tools.score.shipped import shipped

        text = "".join(shipped(Path(name).read_text(encoding="utf-8")) for name in options.files)
        Path(options.ship).write_text(text, encoding="utf-8")
        return 0
    if options.margins:
        return _margins(rows, options.margins)
    result = score(rows, leave_one_out=not options.in_sample)
    if options.peer:
        return _peer(result)
    if options.json:
        print(json.dumps(result.summary(), indent=1, sort_keys=True))
    else:
        print(report(result, every_row=options.rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
