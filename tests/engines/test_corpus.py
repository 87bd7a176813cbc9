"""Every container of a corpus of public manifests, where it is present: nothing raises, every word has its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from servelint.engines import shell
from servelint.engines.vllm import Vllm
from servelint.facts import Fact, Origin, OriginKind
from servelint.source.nodes import Document, MappingNode, Node, ScalarNode, walk
from servelint.source.reader import decode, read_text
from servelint.source.text import SourceText

CORPORA = [Path(__file__).resolve().parents[3] / "shared" / name for name in ("corpus", "corpus-other")]
ENGINE = Vllm()
ORIGIN = Origin(OriginKind.FILE, "env")


def _documents() -> list[Document]:
    found: list[Document] = []
    for corpus in CORPORA:
        for path in sorted(corpus.glob("*/*.y*ml")):
            source = decode(path.name, path.read_bytes())
            if isinstance(source, SourceText):
                found += read_text(source).documents
    return found


def _environment(container: Node) -> dict[str, Fact[str]]:
    pairs = ((item.text_at("name"), item.text_at("value")) for item in container.elements_at("env"))
    return {name: Fact.known(f"env.{name}", value, ORIGIN) for name, value in pairs if name and value is not None}


@pytest.mark.skipif(not CORPORA[0].is_dir(), reason="the corpus of public manifests (../shared/corpus) is not here")
def test_every_container_and_every_script() -> None:
    engines = scripts = 0
    for document in _documents():
        for node in walk(document.root) if document.root is not None else ():
            if isinstance(node, MappingNode):
                environment = _environment(node)
                command, args = node.elements_at("command"), node.elements_at("args")
                programs = shell.programs(document, command, args, environment, node)
                found = ENGINE.command(programs, node.text_at("image") or "")
                if found is not None:
                    engines += 1
                    facts = ENGINE.facts(found, environment)
                    assert "model" in facts
                    assert all(word.span is not None for word in found.program.words)
                    # No sample of a public repository has a flag that no release knows: one that appears was misread.
                    assert [a.name for a in found.arguments if a.name and a.flag is None] == []
            elif isinstance(node, ScalarNode) and "\n" in node.text:
                scripts += 1
                for program in shell.programs_of_text(document, node, {}):
                    for word in program.words:
                        assert 0 <= word.start <= word.end <= len(node.text)
    assert engines > 150
    assert scripts > 300
