"""How long a lint takes against composing the same files with libyaml, and against a lint with the first rules alone.

All in one process and without a cache, in turn, so that a busy moment of the machine hits them alike; the least time of each
counts. A lint begins with a new session and with nothing remembered of the manifests of the one before. The collector's
threshold is the one the command line sets.
"""

from __future__ import annotations

import gc
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import yaml

from servelint.config import Config
from servelint.run import lint_texts, open_session
from servelint.source.reader import decode
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# The rules that the first release of the product had.
FIRST_RULES = (
    "PAR201", "PAR202", "PAR207", "PAR219", "MEM401", "MEM402", "MEM403", "MEM405", "MEM406", "LIM301", "CLI101", "CLI102",
    "CLI104", "CLI105", "HWQ501", "K8S601", "K8S602", "K8S606", "K8S607", "SLO801", "SLO802", "PLN901", "PLN902", "PLN903",
    "PLN904", "PLN905", "PLN916", "DOC",
)  # fmt: skip
# At most so many times the composing, and so many times the lint with the first rules.
MOST_OF_COMPOSING, MOST_OF_FIRST_RULES = 4.0, 1.5


class Speed(NamedTuple):
    """Seconds for all ``files``; ``rules``: how many ran with all advice. ``default``: the rules of the default profile."""

    files: int
    rules: int
    composing: float
    first_rules: float
    default: float
    every_rule: float

    def summary(self) -> dict[str, float]:
        return {
            **self._asdict(),
            "of_composing": self.every_rule / self.composing,
            "default_of_composing": self.default / self.composing,
            "of_first_rules": self.every_rule / self.first_rules,
            "default_of_first_rules": self.default / self.first_rules,
        }


def measure(folder: Path, rounds: int = 5) -> Speed:
    """The times for the manifests in ``folder``. Raises ValueError where there is none."""
    texts = []
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".yaml", ".yml", ".json") and path.is_file():
            source = decode(str(path), path.read_bytes())
            if isinstance(source, SourceText):
                texts.append(source.text)
    if not texts:
        raise ValueError("no .yaml, .yml or .json file")

    def compose() -> None:
        for text in texts:
            try:
                for _ in yaml.compose_all(text, Loader=yaml.CSafeLoader):
                    pass
            except yaml.YAMLError:
                continue  # as far as it goes: what is broken is broken for both

    def lint(config: Config) -> tuple[float, int]:
        """Seconds and rules. New texts each time: a text keeps what was read of it."""
        _forget()
        session = open_session(config)
        sources = [SourceText(f"{i}.yaml", text) for i, text in enumerate(texts)]
        rules: list[int] = []
        return _seconds(lambda: rules.append(lint_texts(sources, session).rules)), rules[0]

    configs = (Config(select=FIRST_RULES), Config(), Config(profile="strict"))
    before = gc.get_threshold()
    gc.set_threshold(100_000, 20, 20)
    try:
        rules = max(lint(config)[1] for config in configs)  # a first time: modules are imported, the catalogue's tables read
        rows = [[_seconds(compose), *(lint(config)[0] for config in configs)] for _ in range(rounds)]
    finally:
        gc.set_threshold(*before)
    return Speed(len(texts), rules, *(min(column) for column in zip(*rows, strict=True)))


def _forget() -> None:
    """Empties what functions keep of the manifests they were asked about: the caches with a bound. Tables that are read of the
    project's own files, which have none, stay as modules do."""
    for name, module in list(sys.modules.items()):
        for value in list(vars(module).values()) if name.startswith("servelint") else ():
            if hasattr(value, "cache_clear") and value.cache_parameters()["maxsize"] is not None:
                value.cache_clear()


def _seconds(work: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def report(speed: Speed) -> str:
    """The times, and the two ratios with what they are held to."""
    ratios = speed.summary()
    lines = [
        f"{speed.files} files: composing with libyaml {speed.composing * 1e3:.0f} ms",
        f"lint with the first rules {speed.first_rules * 1e3:.0f} ms",
    ]
    for what, seconds, prefix in (
        ("default profile", speed.default, "default_"),
        (f"profile strict, {speed.rules} rules", speed.every_rule, ""),
    ):
        of_composing, of_first = ratios[prefix + "of_composing"], ratios[prefix + "of_first_rules"]
        lines.append(
            f"{what}: {seconds * 1e3:.0f} ms, {of_composing:.2f} times the composing (at most {MOST_OF_COMPOSING}),"
            f" {of_first:.2f} times the first rules (at most {MOST_OF_FIRST_RULES})"
        )
    return "\n".join(lines)
