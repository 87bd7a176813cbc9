"""What the tests of the formats share: surroundings to recognise documents in, and what stands where a fact comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.builtin import FORMATS, servelint_engines
from servelint.engines.vllm import Vllm
from servelint.plugins import registry
from servelint.source.edits import apply
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from collections.abc import Sequence

    from servelint.deployment import Deployment
    from servelint.engines.base import Engine
    from servelint.facts import Fact
    from servelint.finding import Verdict
    from servelint.formats.base import Format
    from servelint.source.nodes import Document


class Reading:
    """Every built-in engine; problems as (code, label)."""

    def __init__(self, documents: tuple[Document, ...]) -> None:
        self.engines: Sequence[Engine] = tuple(servelint_engines())
        self.documents = documents
        self.problems: list[tuple[str, str]] = []

    def elsewhere(self, kind: str, name: str) -> None:
        return None

    def file(self, path: str) -> None:
        return None

    def problem(self, code: str, verdict: Verdict, deployment: str = "") -> None:
        self.problems.append((code, verdict.label))


class StrictReading(Reading):
    """A problem fails the test."""

    def problem(self, code: str, verdict: Verdict, deployment: str = "") -> None:
        raise AssertionError(f"{code}: {verdict.label}")


class VerdictReading:
    """Every built-in engine; problems as (code, verdict), where a test asks for their places."""

    def __init__(self, documents: tuple[Document, ...]) -> None:
        self.engines: Sequence[Engine] = tuple(servelint_engines())
        self.documents = documents
        self.problems: list[tuple[str, Verdict]] = []

    def elsewhere(self, kind: str, name: str) -> None:
        return None

    def file(self, path: str) -> None:
        return None

    def problem(self, code: str, verdict: Verdict, deployment: str = "") -> None:
        self.problems.append((code, verdict))


class VllmReading(VerdictReading):
    """vLLM alone."""

    def __init__(self, documents: tuple[Document, ...]) -> None:
        super().__init__(documents)
        self.engines = (Vllm(),)


def format_named(name: str) -> Format:
    """The built-in format of that name."""
    return next(each for each in FORMATS if each.name == name)


def recognised(name: str, text: str, reading: VerdictReading | None = None, path: str = "x.yaml") -> list[Deployment]:
    """What the built-in format of that name reads from a text."""
    documents = read_text(SourceText(path, text)).documents
    around = reading or VerdictReading(documents)
    around.documents = documents
    return [deployment for document in documents for deployment in format_named(name).recognise(document, around)]


def written(fact: Fact[Any]) -> str:
    """What stands where the fact comes from."""
    place = fact.place
    assert place is not None
    return place.document.source.text[place.span.start : place.span.end]


def rewritten(fact: Fact[Any], value: object) -> str:
    """The text with the fact set to ``value``."""
    assert fact.writer is not None
    assert fact.place is not None
    edits = fact.writer.write(value)
    assert edits
    return apply(fact.place.document.source.text, edits)


def formats_of(text: str) -> list[str]:
    """The formats that a file with this text is read for."""
    return [fmt.name for fmt in registry().formats_for(SourceText("a.yaml", text).words)]
