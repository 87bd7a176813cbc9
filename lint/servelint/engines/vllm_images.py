"""Container images of vLLM: which run it by their own entrypoint, and whose tag is vLLM's own version."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from servelint.engines.versions import Version
from servelint.facts import Fact, Origin, OriginKind

if TYPE_CHECKING:
    from servelint.facts import Place

VERSION = "engine.version"
REMEDY = "pin vllm/vllm-openai:vX.Y.Z, or set engine_versions: {vllm: X.Y.Z} in servelint.yaml"

# Repositories whose image starts vLLM's API server itself, by their last path element; sources: docker/Dockerfile* of vLLM
# 0.7.3-0.33.0 (ENTRYPOINT of the openai, cpu, rocm and xpu targets) and images built on them.
# Patterns stay text: most runs need one or two of them, and each costs start-up time to compile.
_OWN_ENTRYPOINT = (
    r"(llmd-)?vllm-openai(-(cpu|rocm|xpu|gaudi|arm64|s390x|ppc64le|nonroot|ubi9))*"
    r"|vllm-(cpu-)?openai-ubi9|vllm-cpu-release-repo|(odh-)?vllm-(cuda|rocm|cpu|gaudi|spyre)-(rhel|ubi)\d+"
)
_OWN_ENTRYPOINT_PATHS = (
    r"opea/vllm(-gaudi|-rocm)?|opendatahub/vllm"
    r"|llm-d/llm-d(-(cuda|xpu|cpu|hpu|rocm|aws|gke))?(-dev)?"  # ENTRYPOINT of docker/Dockerfile.* in llm-d/llm-d
)

# Repositories whose tags are vLLM's own releases: the project's on Docker Hub (and mirrors that keep its path), and the CPU
# images its installation guide names (docs/getting_started/installation/cpu).
_RELEASES = r"(.*/)?(vllm/vllm-openai(-(cpu|rocm|xpu|nonroot))?|q9t5s3a7/vllm-cpu-release-repo)"
_RELEASE_TAG = r"v?(\d+\.\d+\.\d+)(\.\d+)?((rc|\.post)\d+)*([-+].*)?"
_MOVING = frozenset(("latest", "nightly", "main", "stable", "edge"))


def split(image: str) -> tuple[str, str, str]:
    """(repository, tag, digest) of an image reference; the last two are "" where they are not given."""
    name, _, digest = image.strip().partition("@")
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        head, tag = name, ""
    return head, tag, digest


def owns_image(image: str) -> bool:
    """True if ``image`` is known to start vLLM's server by its own entrypoint."""
    repository = split(image)[0].lower()
    parts = repository.split("/")
    own = re.fullmatch(_OWN_ENTRYPOINT, parts[-1]) or re.fullmatch(_OWN_ENTRYPOINT_PATHS, "/".join(parts[-2:]))
    return own is not None


def is_placeholder(image: str) -> bool:
    """True where something fills the image in later that its name calls vLLM: ``${VLLM_IMAGE}``."""
    return "vllm" in image.lower() and ("$" in image or "<" in image or image == image.upper())


def version_of(image: str) -> Version | None:
    """The version that the tag says, where the tag is vLLM's own."""
    repository, tag, _ = split(image)
    if re.fullmatch(_RELEASES, repository.lower()) is None:
        return None
    match = re.fullmatch(_RELEASE_TAG, tag)
    return Version.parse(match.group(1)) if match is not None else None


def version(image: Fact[str]) -> Fact[Version]:
    """The version of vLLM in an image; unknown with the reason where its reference does not say it."""
    if not image.is_known:
        return Fact.unknown(VERSION, f"the engine's version is not known: {image.reason or 'no image is named'}", REMEDY)
    place: Place | None = image.place
    found = version_of(image.value)
    if found is not None:
        tag = split(image.value)[1]
        return Fact.known(VERSION, found, Origin(OriginKind.FILE, f"image tag {tag}", place))
    return Fact.unknown(VERSION, _reason(image.value), REMEDY, Origin(OriginKind.FILE, "image", place))


def _reason(image: str) -> str:
    repository, tag, digest = split(image)
    if "$" in image or "<" in image:
        return f"the image is filled in elsewhere ({image})"
    if not tag:
        return "the image is given by its digest only" if digest else "the image has no tag"
    moving = tag.split("-")[0] in _MOVING
    if moving or re.fullmatch(_RELEASES, repository.lower()):
        return f"the tag {tag!r} does not say it"
    return f"the tag {tag!r} is not vLLM's own version: {repository} numbers its images itself"
