"""How long a one-file run takes, against a process that only imports yaml, pluggy and argparse.

    python tools/bench_startup.py [--runs 41] [--manifest FILE] [--plan FILE]

The commands run in turn, so that a busy moment of the machine hits them all alike; each round gives one ratio per command, and
the median of the ratios is printed with the limit it is held to. Exits 1 if a limit is exceeded.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BASE = [sys.executable, "-c", "import yaml, pluggy, argparse"]
# As users run it: with compiled modules kept between runs.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
LIMITS = {"Kubernetes manifest": 2.0, "native plan": 3.5}


def seconds(command: list[str]) -> float:
    """Wall-clock seconds of one run of ``command``, which must not fail to start (findings are no failure)."""
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT, env=ENVIRONMENT, check=False)
    elapsed = time.perf_counter() - start
    if done.returncode not in (0, 1):
        sys.exit(f"{' '.join(command)} exited {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
    return elapsed


def first_fixture(folder: str, needle: str) -> str:
    """The first manifest below ``fixtures/folder`` that contains ``needle``."""
    for path in sorted((ROOT / "fixtures" / folder).rglob("*.yaml")):
        if needle in path.read_text(encoding="utf-8"):
            return str(path.relative_to(ROOT))
    sys.exit(f"no manifest in fixtures/{folder} contains {needle!r}; name one yourself")


def measure(files: dict[str, str], runs: int) -> dict[str, tuple[float, float, float]]:
    """Per name: median seconds of the run, of the base beside it, and the median ratio, over interleaved rounds."""
    commands = {name: [sys.executable, "-m", "servelint", "check", "--isolated", path] for name, path in files.items()}
    for command in (BASE, *commands.values()):
        seconds(command)  # compiles the byte code
    rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            base = seconds(BASE)
            rounds[name].append((seconds(command), base))
    return {
        name: (
            statistics.median(run for run, _ in pairs),
            statistics.median(base for _, base in pairs),
            statistics.median(run / base for run, base in pairs),
        )
        for name, pairs in rounds.items()
    }


def main() -> int:
    """Measures, prints a table, and says by the exit code whether the limits hold."""
    parser = argparse.ArgumentParser(description="Compare servelint's start-up with that of its bare imports.")
    parser.add_argument("--runs", type=int, default=41, help="rounds (default: 41)")
    parser.add_argument("--manifest", help="a Kubernetes manifest (default: one of fixtures/kubernetes)")
    parser.add_argument("--plan", help="a native plan (default: one of fixtures/plans)")
    options = parser.parse_args()
    files = {
        "Kubernetes manifest": options.manifest or first_fixture("kubernetes", "vllm"),
        "native plan": options.plan or first_fixture("plans", "DeploymentPlan"),
    }
    exceeded = False
    print(f"base: {' '.join(BASE[1:])}, {options.runs} rounds, CPython {sys.version.split()[0]}")
    for name, (run, base, ratio) in measure(files, options.runs).items():
        limit = LIMITS[name]
        exceeded |= ratio > limit
        verdict = "ok" if ratio <= limit else "TOO SLOW"
        times = f"{run * 1000:.0f} ms, base {base * 1000:.0f} ms"
        print(f"{name}: {times}, ratio {ratio:.2f} (at most {limit}) {verdict}: {files[name]}")
    return int(exceeded)


if __name__ == "__main__":
    sys.exit(main())
