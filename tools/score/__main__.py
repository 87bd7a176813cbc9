"""Entry point: ``python -m tools.score memory FILE…`` (``--rows`` shows every row, ``--json`` prints one object)."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT / "lint") not in sys.path:
    sys.path.insert(0, str(ROOT / "lint"))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.score", description=__doc__)
    parser.add_argument("what", choices=["memory"], help="which estimates to score")
    parser.add_argument("files", nargs="+", metavar="FILE", help="JSON lines of measured start-ups")
    parser.add_argument("--rows", action="store_true", help="print every row")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    options = parser.parse_args(arguments)
    from tools.score.memory import report, score
    from tools.score.rows import read

    rows = []
    for name in options.files:
        try:
            rows += read(Path(name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 2
    result = score(rows)
    if options.json:
        print(json.dumps(result.summary(), indent=1, sort_keys=True))
    else:
        print(report(result, every_row=options.rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
