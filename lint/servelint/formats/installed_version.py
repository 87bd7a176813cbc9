"""The version of an engine that a setup script installs: ``pip install vllm==0.6.2``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from servelint.engines.versions import Version
from servelint.facts import Fact, Origin, OriginKind, Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from servelint.engines.command import Program, Word
    from servelint.source.nodes import Document, ScalarNode

VERSION = "engine.version"
_PACKAGES = {"vllm": "vllm", "sglang": "sglang", "tensorrt-llm": "trtllm", "tensorrt_llm": "trtllm"}
_SOURCES = {"vllm": "vllm-project/vllm", "sglang": "sgl-project/sglang"}
_REQUIREMENT = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)(?:\[[^\]]*\])?\s*(===?|>=|<=|~=|!=|<|>|$|@)\s*([0-9][\w.!+]*)?")


def installed(programs: Sequence[Program], engine: str) -> Fact[Version] | None:
    """The version of ``engine`` that the last of ``programs`` to install it names; None where none installs it."""
    found: Fact[Version] | None = None
    for program in programs:
        texts = [word.text for word in program.words]
        if "install" not in texts or not any(text in {"pip", "pip3", "uv"} for text in texts[: texts.index("install")]):
            continue
        for word in program.words[texts.index("install") + 1 :]:
            fact = _requirement(program, word, engine)
            found = fact if fact is not None else found
    return found


def requirement(document: Document, item: ScalarNode, engine: str) -> Fact[Version] | None:
    """The same for one requirement of a list, ``vllm==0.6.2``; None for another package."""
    from servelint.engines.command import Program, Word

    word = Word(item.text, item.span, item, True)
    return _requirement(Program((word,), False, document, item), word, engine)


def _requirement(program: Program, word: Word, engine: str) -> Fact[Version] | None:
    document = program.document
    match = _REQUIREMENT.match(word.text)
    from_source = _SOURCES.get(engine, "\0") in word.text
    if document is None or (not from_source and (match is None or _PACKAGES.get(match.group(1).lower()) != engine)):
        return None
    place = Place(document.physical, word.span) if word.span is not None else Place.of(document, word.node)
    origin = Origin(OriginKind.FILE, f"pip install {word.text}", place)
    remedy = f"pin it: {engine}==X.Y.Z"
    if from_source or match is None:
        return Fact.unknown(VERSION, "the setup script installs it from source", remedy, origin)
    version = Version.parse(match.group(3) or "", engine)
    if word.variable or version is None or match.group(2) not in {"==", "==="}:
        reason = f"the setup script installs {word.text}, which is no single release"
        return Fact.unknown(VERSION, reason, remedy, origin)
    return Fact.known(VERSION, version, origin)
