"""Objects of Ray and Dynamo with a wrong shape: every value of every fixture replaced by what it should not be."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from format_reading import Reading, format_named
from servelint.builtin import servelint_engines
from servelint.facts import Fact, FactState
from servelint.formats.ray import Ray
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.finding import Verdict

FIXTURES = Path(__file__).parents[2] / "fixtures"
FORMATS: dict[str, Any] = {"ray": Ray(), "dynamo": format_named("dynamo")}
FILES = [(name, path) for name in FORMATS for path in sorted((FIXTURES / name).glob("*.yaml"))]
WRONG: tuple[Any, ...] = (None, "", "x", -1, True, 1e400, [], [None], ["x", {}], {}, {"x": ["y"]}, "{{ .Values.x }}", "$X")
ENGINES = tuple(servelint_engines())


class Judged(Reading):
    def problem(self, code: str, verdict: Verdict, deployment: str = "") -> None:
        assert verdict.label


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from paths(value[key], (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths(item, (*path, index))


def replaced(value: Any, path: tuple[Any, ...], wrong: Any) -> Any:
    if not path:
        return wrong
    copy = deepcopy(value)
    holder = copy
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = wrong
    return copy


def texts(documents: list[Any]) -> Iterator[str]:
    """Every variant, as JSON documents; the Serve configuration is taken apart too."""
    for index, document in enumerate(documents):
        for path in paths(document):
            for wrong in WRONG:
                variant = [*documents[:index], replaced(document, path, wrong), *documents[index + 1 :]]
                yield "\n---\n".join(json.dumps(d) for d in variant)
        inner = document["spec"].get("serveConfigV2") if isinstance(document.get("spec"), dict) else None
        if inner is not None:
            content = yaml.safe_load(inner)
            for path in paths(content):
                for wrong in WRONG:
                    broken = replaced(document, ("spec", "serveConfigV2"), yaml.safe_dump(replaced(content, path, wrong)))
                    yield json.dumps(broken)


@pytest.mark.parametrize(("name", "path"), FILES, ids=lambda value: getattr(value, "name", value))
def test_no_shape_breaks_the_reading(name: str, path: Path) -> None:
    originals = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    for text in texts(originals):
        documents = read_text(SourceText("x.yaml", text)).documents
        for document in documents:
            for deployment in FORMATS[name].recognise(document, Judged(documents)):
                assert deployment.name
                for pool in deployment.pools:
                    check(pool)


def check(pool: Any) -> None:
    for _, fact in pool.facts():
        assert isinstance(fact, Fact)
        if fact.state in (FactState.UNKNOWN, FactState.CONFLICT):
            assert fact.reason
        if fact.place is not None:
            span, source = fact.place.span, fact.place.document.source
            assert 0 <= span.start <= span.end <= len(source.text)
            assert fact.place.document.physical is fact.place.document
