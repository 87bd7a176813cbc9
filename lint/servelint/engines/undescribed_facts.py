"""What the command line of an engine that is not described says of its model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.engines.model_names import REMEDY, hub_id
from servelint.engines.values import degree, from_environment
from servelint.facts import Fact, Origin, OriginKind, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from servelint.engines.command import Command, Word
    from servelint.engines.undescribed import Known

_SCHEMES = ("hf://", "huggingface://")


def stated(known: Known, command: Command, environment: Mapping[str, Fact[str]], reason: str) -> dict[str, Fact[Any]]:
    """By field of the pool. ``reason``: why nothing is known where no model is named."""
    words = command.program.words[command.start :]
    facts: dict[str, Fact[Any]] = {"model": _model(known, command, words, environment, reason)}
    if known.stands_in and (found := _option(words, ("--data-parallel-size",))) is not None:
        facts["data"] = _fact("parallelism.data", command, found, degree, reason)
    return facts


def _model(known: Known, command: Command, words: Sequence[Word], environment: Mapping[str, Fact[str]], reason: str) -> Fact[Any]:
    found = _option(words, [name for name in known.models if name])
    if found is None and "" in known.models:
        found = next(((word, word.text) for word in _positionals(words)), None)
    if found is not None:
        return _fact("model.id", command, found, _named, reason)
    for name in known.variables:
        variable = environment.get(name)
        if variable is not None:
            return from_environment("model", variable, _named)
    return Fact.unknown("model.id", reason, REMEDY)


def _named(text: str) -> str:
    """The hub id, without the scheme and the quantization that llama.cpp takes behind a colon."""
    name = text.strip()
    scheme = next((scheme for scheme in _SCHEMES if name.lower().startswith(scheme)), "")
    return hub_id(name[len(scheme) :].partition(":")[0] if "://" not in name[len(scheme) :] else name)


def _option(words: Sequence[Word], names: Sequence[str]) -> tuple[Word, str] | None:
    """The word and the value of the last of the options ``names``."""
    found = None
    for index, word in enumerate(words):
        name, equals, value = word.text.partition("=")
        if name in names and equals:
            found = word, value
        elif word.text in names and index + 1 < len(words):
            found = words[index + 1], words[index + 1].text
    return found


def _positionals(words: Sequence[Word]) -> list[Word]:
    """The words that are neither options nor stand behind one; the name of a server in front is left out."""
    found = []
    for index, word in enumerate(words):
        behind = index > 0 and words[index - 1].text.startswith("-") and "=" not in words[index - 1].text
        if not word.text.startswith("-") and not behind and word.text not in {"serve", "api_server"}:
            found.append(word)
    return found


def _fact(name: str, command: Command, found: tuple[Word, str], parse: Callable[[str], Any], reason: str) -> Fact[Any]:
    word, text = found
    document = command.document.physical
    place = Place(document, word.span) if word.span is not None else Place.of(command.document, word.node)
    origin = Origin(OriginKind.FILE, word.text, place)
    if word.variable:
        return Fact.unknown(name, f"{word.variable} is filled in elsewhere", origin=origin)
    try:
        return Fact.known(name, parse(text), origin)
    except ValueError as error:
        return Fact.unknown(name, f"{error}; {reason}", REMEDY if name == "model.id" else "", origin)
