"""Keeps the outputs in README.md true: runs the command named above each and puts what it prints in its place.

python tools/readme.py            # write them anew
python tools/readme.py --check    # exit 1 if any is not what the command prints today
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
from pathlib import Path

from servelint.cli.main import main as servelint

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(
    r"(?P<head><!-- output of: servelint (?P<command>[^(]+?) \(tools/readme\.py writes it\) -->\n```text\n)"
    r"(?P<output>.*?)"
    r"(?P<tail>```\n<!-- end of output -->)",
    re.DOTALL,
)


def output_of(command: str) -> str:
    """What ``servelint command`` prints in the root of the checkout, uncoloured and without a configuration file."""
    captured = io.StringIO()
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        with contextlib.redirect_stdout(captured):
            servelint([*shlex.split(command), "--isolated", "--no-color"])
    finally:
        os.chdir(before)
    return captured.getvalue()


def renewed(text: str) -> str:
    """``text`` with every output as its command prints it today. Raises :class:`ValueError` if there is none."""
    if not BLOCK.search(text):
        raise ValueError("README.md has no output block")
    return BLOCK.sub(lambda match: match["head"] + output_of(match["command"]) + match["tail"], text)


def main() -> int:
    """Writes the README, or with ``--check`` only says whether it is current."""
    text = README.read_text(encoding="utf-8")
    wanted = renewed(text)
    if "--check" in sys.argv[1:]:
        if wanted != text:
            print("README.md shows output that is not current; run: python tools/readme.py")
        return int(wanted != text)
    README.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
