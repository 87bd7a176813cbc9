"""Job files of the right kind and a wrong shape: every value of every fixture replaced by what it should not be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from format_reading import Reading
from servelint.formats.compose import Compose
from servelint.formats.dstack import Dstack
from servelint.formats.engine_config import EngineConfig
from servelint.formats.llm_d_benchmark import LlmDBenchmark
from servelint.formats.skypilot import SkyPilot
from servelint.formats.srt_slurm import SrtSlurm
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.finding import Verdict

FIXTURES = Path(__file__).parents[2] / "fixtures"
FORMATS: dict[str, Any] = {
    "compose": Compose(),
    "dstack": Dstack(),
    "engine-config": EngineConfig(),
    "llm-d-benchmark": LlmDBenchmark(),
    "skypilot": SkyPilot(),
    "srt-slurm": SrtSlurm(),
}
FILES = [(name, path) for name in FORMATS for path in sorted((FIXTURES / name).glob("*.y*ml"))]
WRONG: tuple[Any, ...] = (
    None,
    "",
    "x",
    -1,
    0,
    True,
    1e400,
    [],
    [None],
    ["x", {}],
    {},
    {"x": None},
    {"x": ["y"]},
    "{{ .Values.x }}",
    "$X",
)


class Judged(Reading):
    def problem(self, code: str, verdict: Verdict, deployment: str = "") -> None:
        assert code.startswith("DOC")


def variants(value: Any) -> Iterator[Any]:
    """``value`` with one part of it replaced, for every part and every wrong value."""
    yield from WRONG
    if isinstance(value, dict):
        for key in value:
            yield from ({**value, key: other} for other in variants(value[key]))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from ([*value[:index], other, *value[index + 1 :]] for other in variants(item))


@pytest.mark.parametrize(("name", "path"), FILES, ids=lambda value: value if isinstance(value, str) else value.name)
def test_a_wrong_shape_is_never_an_exception(name: str, path: Path) -> None:
    [whole] = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    for variant in variants(whole):
        text = json.dumps(variant).replace("Infinity", ".inf")
        documents = read_text(SourceText(path.name, text)).documents
        reading = Judged(documents)
        for document in documents:
            for deployment in FORMATS[name].recognise(document, reading):
                assert deployment.pools
                for pool in deployment.pools:
                    for _, fact in pool.facts():
                        assert fact.is_known or fact.reason or fact.values, fact.name
