"""Which release an image probably has, where its tag is not surely the engine's own version.

Builds of other projects keep the name and the tag of the image they are built on (``aibrix/vllm-openai:v0.10.2-nixl-0.7.1``).
That is a habit and no promise: facts and defaults do not follow from it, only warnings may.
"""

from __future__ import annotations

import re

from servelint.engines import images
from servelint.engines.versions import Version
from servelint.records import NamedTuple

# Last path element of images that are named like the project's own; expressions of the whole element.
_NAMES = {"vllm": r"(.+-)?vllm-openai(-.+)?", "sglang": r"sglang", "tgi": r"text-generation-inference"}
_TAG = r"v?(\d+\.\d+\.\d+(?:\.post\d+)?)((\.|rc|\.post)\d+)*([-+._].*)?"
# Projects that number their builds of vllm-openai themselves (lmcache/vllm-openai:v0.3.5 holds LMCache 0.3.5).
_OWN_NUMBERS = frozenset(("lmcache",))
# Ray's images for LLMs: what the package's extra "llm" asks for, from that release of Ray on (metadata of ray on PyPI).
_RAY = (
    (Version(2, 44, 1), Version(0, 7, 2)),
    (Version(2, 46, 0), Version(0, 8, 5)),
    (Version(2, 48, 0), Version(0, 9, 2)),
    (Version(2, 49, 2), Version(0, 10, 0)),
    (Version(2, 50, 0), Version(0, 10, 2)),
    (Version(2, 51, 1), Version(0, 11, 0)),
    (Version(2, 53, 0), Version(0, 12, 0)),
    (Version(2, 54, 0), Version(0, 15, 0)),
    (Version(2, 55, 0), Version(0, 18, 0)),
    (Version(2, 56, 0), Version(0, 22, 0)),
)


class LikelyRelease(NamedTuple):
    """``version``: of the engine; a later one where ``at_least``. ``image``: what says so, for people."""

    version: Version
    image: str
    at_least: bool = False


def likely_release(engine: str, image: str) -> LikelyRelease | None:
    """What the image's name and tag suggest; None where they suggest nothing."""
    repository, tag, _ = images.split(image)
    parts = repository.lower().split("/")
    if engine == "vllm" and parts[-1] == "ray-llm":
        return _of_ray(tag)
    name = _NAMES.get(engine, "")
    if not name or re.fullmatch(name, parts[-1]) is None or not _OWN_NUMBERS.isdisjoint(parts):
        return None
    match = re.fullmatch(_TAG, tag)
    version = Version.parse(match.group(1), engine) if match is not None else None
    return LikelyRelease(version, f"{parts[-1]}:{tag}") if version is not None else None


def _of_ray(tag: str) -> LikelyRelease | None:
    match = re.fullmatch(r"(\d+\.\d+\.\d+)(-.*)?", tag)
    ray = Version.parse(match.group(1)) if match is not None else None
    least = next((least for since, least in reversed(_RAY) if ray is not None and ray >= since), None)
    return LikelyRelease(least, f"ray-llm:{tag}", at_least=True) if least is not None else None
