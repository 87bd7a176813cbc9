"""References of container images, and the engine's version that some tags say."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from servelint.engines.versions import Version
from servelint.facts import Fact, Origin, OriginKind
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from servelint.facts import Place

VERSION = "engine.version"
_MOVING = frozenset(("latest", "nightly", "main", "stable", "edge", "dev"))
_STAND_INS = frozenset(("sim", "simulator", "mock", "mocker", "emulator"))


class Releases(NamedTuple):
    """Images whose tag is the engine's own version.

    ``engine``: its name, for people. ``repositories`` and ``tag`` are regular expressions of the whole repository (in lower
    case) and the whole tag; the tag's first group is the version. They stay text: most runs need one of them, and each costs
    start-up time to compile. ``remedy``: how to make the version known. ``usual``: the repository that most images have.
    """

    engine: str
    repositories: str
    tag: str
    remedy: str
    usual: str = ""


def split(image: str) -> tuple[str, str, str]:
    """(repository, tag, digest) of an image reference; the last two are "" where they are not given."""
    name, _, digest = image.strip().partition("@")
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        head, tag = name, ""
    return head, tag, digest


@lru_cache(maxsize=256)  # every engine asks it of every image
def is_stand_in(image: str) -> bool:
    """The image's own name says that it takes an engine's arguments and runs no model, as ``llm-d-inference-sim`` does."""
    return not _STAND_INS.isdisjoint(split(image)[0].rpartition("/")[2].lower().replace("_", "-").split("-"))


@lru_cache(maxsize=256)
def version_of(image: str, releases: Releases) -> Version | None:
    """The version that the tag says, where the tag is the engine's own."""
    repository, tag, _ = split(image)
    if repository != releases.usual and re.fullmatch(releases.repositories, repository.lower()) is None:
        return None
    match = re.fullmatch(releases.tag, tag)
    return Version.parse(match.group(1), releases.engine.lower()) if match is not None else None


def version(image: Fact[str], releases: Releases) -> Fact[Version]:
    """The engine's version in an image; unknown with the reason where its reference does not say it."""
    if not image.is_known:
        reason = f"the engine's version is not known: {image.reason or 'no image is named'}"
        return Fact.unknown(VERSION, reason, releases.remedy)
    place: Place | None = image.place
    found = version_of(image.value, releases)
    if found is not None:
        tag = split(image.value)[1]
        return Fact.known(VERSION, found, Origin(OriginKind.FILE, f"image tag {tag}", place))
    return Fact.unknown(VERSION, _reason(image.value, releases), releases.remedy, Origin(OriginKind.FILE, "image", place))


def _reason(image: str, releases: Releases) -> str:
    repository, tag, digest = split(image)
    if "$" in image or "<" in image:
        return f"the image is filled in elsewhere ({image})"
    if not tag:
        return "the image is given by its digest only" if digest else "the image has no tag"
    moving = tag.split("-")[0] in _MOVING
    if moving or re.fullmatch(releases.repositories, repository.lower()):
        return f"the tag {tag!r} does not say it"
    return f"the tag {tag!r} is not {releases.engine}'s own version: {repository} numbers its images itself"
