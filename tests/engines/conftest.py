"""What the tests of the engines share: a container's command as an engine reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from servelint.engines import shell
from servelint.facts import Fact, Origin, OriginKind
from servelint.formats.environment import environment
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.engines.base import Engine
    from servelint.engines.command import Command


class Started:
    """A container, given as YAML (``image``, ``command``, ``args``, ``env``), and what ``engine`` makes of it."""

    def __init__(self, engine: Engine, text: str) -> None:
        self.engine = engine
        self.document = read_text(SourceText("pod.yaml", text)).documents[0]
        document = self.document
        assert document.root is not None
        self.environment = environment(document, document.root)
        self.image = document.text_at("image") or ""
        image = document.root.get("image")
        programs = shell.programs(
            document, document.elements_at("command"), document.elements_at("args"), self.environment, image or document.root
        )
        self.found = engine.command(programs, self.image)

    @property
    def command(self) -> Command:
        assert self.found is not None
        return self.found

    @property
    def facts(self) -> dict[str, Fact[Any]]:
        return self.engine.facts(self.command, self.environment)

    @property
    def values(self) -> dict[str, Any]:
        """The known facts by field."""
        return {name: fact.value for name, fact in self.facts.items() if fact.is_known}

    def text_of(self, field: str) -> str:
        """What the place of a fact covers."""
        place = self.facts[field].place
        assert place is not None
        return place.document.source.text[place.span.start : place.span.end]

    def reason(self, field: str) -> str:
        fact = self.facts[field]
        assert not fact.is_known
        return fact.reason

    def write(self, field: str, value: object) -> str:
        """The container after the fact was set."""
        from servelint.source import edits

        writer = self.facts[field].writer
        assert writer is not None
        changes = writer.write(value)
        assert changes is not None
        return edits.apply(self.document.source.text, changes)


@pytest.fixture
def started() -> type[Started]:
    return Started


@pytest.fixture
def image() -> Any:
    """The image of a reference as a fact."""

    def fact(reference: str) -> Fact[str]:
        return Fact.known("engine.image", reference, Origin(OriginKind.FILE, "image"))

    return fact
