"""Which version of each engine the images of Dynamo's releases hold.

Source: Dynamo, docs/reference/support-matrix.md ("Backend Dependencies") of 1.1.1, and the same page of 1.2.1 and 1.3.1
(docs.nvidia.com/dynamo/…/resources/support-matrix). Previews (``1.3.0-<model>-dev.1``) pin other builds: not listed.
"""

from __future__ import annotations

import re

from servelint.engines.images import VERSION, split
from servelint.engines.versions import Version
from servelint.facts import Fact, Origin, OriginKind

_NAMES = {"vllm": ("vllm-runtime", 0), "sglang": ("sglang-runtime", 1), "trtllm": ("tensorrtllm-runtime", 2)}
# Release of Dynamo → versions of vLLM, SGLang and TensorRT-LLM.
_PINS: dict[str, tuple[str, str, str]] = {
    "0.6.0": ("0.11.0", "0.5.3.post2", "1.1.0rc5"),
    "0.6.1": ("0.11.0", "0.5.3.post2", "1.1.0rc5"),
    "0.6.1.post1": ("0.11.0", "0.5.3.post2", "1.1.0rc5"),
    "0.7.0": ("0.11.0", "0.5.4.post3", "1.2.0rc2"),
    "0.7.0.post1": ("0.11.0", "0.5.4.post3", "1.2.0rc3"),
    "0.7.1": ("0.11.0", "0.5.4.post3", "1.2.0rc3"),
    "0.8.0": ("0.12.0", "0.5.6.post2", "1.2.0rc6.post1"),
    "0.8.1": ("0.12.0", "0.5.6.post2", "1.2.0rc6.post1"),
    "0.8.1.post1": ("0.12.0", "0.5.6.post2", "1.2.0rc6.post1"),
    "0.8.1.post2": ("0.12.0", "0.5.6.post2", "1.2.0rc6.post2"),
    "0.8.1.post3": ("0.12.0", "0.5.6.post2", "1.2.0rc6.post3"),
    "0.9.0": ("0.14.1", "0.5.8", "1.3.0rc1"),
    "0.9.1": ("0.14.1", "0.5.8", "1.3.0rc3"),
    "1.0.0": ("0.16.0", "0.5.9", "1.3.0rc5.post1"),
    "1.0.1": ("0.16.0", "0.5.9", "1.3.0rc5.post1"),
    "1.0.2": ("0.16.0", "0.5.9", "1.3.0rc5.post1"),
    "1.1.0": ("0.19.0", "0.5.10.post1", "1.3.0rc11"),
    "1.1.1": ("0.19.0", "0.5.10.post1", "1.3.0rc11"),
    "1.2.0": ("0.20.1", "0.5.11", "1.3.0rc14"),
    "1.2.1": ("0.20.1", "0.5.11", "1.3.0rc14"),
    "1.3.0": ("0.23.0", "0.5.14", "1.3.0rc19"),
    "1.3.1": ("0.23.0", "0.5.14", "1.3.0rc19"),
}
_REPOSITORY = r"(.*/)?ai-dynamo/(vllm|sglang|tensorrtllm)-runtime"
_TAG = r"v?(\d+\.\d+\.\d+(\.post\d+)?)(-(cuda1[23]|efa|amd64|arm64))*"


def _pinned(image: str, engine: str) -> tuple[str, str] | None:
    """(release of Dynamo, version of the engine) that an image's tag says."""
    repository, tag, _ = split(image)
    name, position = _NAMES[engine]
    match = re.fullmatch(_TAG, tag)
    if re.fullmatch(_REPOSITORY, repository.lower()) is None or not repository.lower().endswith(name) or match is None:
        return None
    pins = _PINS.get(match.group(1))
    return (match.group(1), pins[position]) if pins is not None else None


def version_of(image: str, engine: str) -> Version | None:
    """The version of ``engine`` in the image; None where its tag is none of the releases."""
    found = _pinned(image, engine)
    return Version.parse(found[1], engine) if found is not None else None


def version(image: Fact[str], engine: str) -> Fact[Version] | None:
    """The same as a fact, unknown with the reason. None where the image is no runtime of ``engine``."""
    repository, tag, _ = split(image.value)
    if not repository.lower().endswith(_NAMES[engine][0]):
        return None
    pinned, found = _pinned(image.value, engine), version_of(image.value, engine)
    if pinned is not None and found is not None:
        text = f"image tag {tag}: Dynamo {pinned[0]} ships {pinned[1]}"
        return Fact.known(VERSION, found, Origin(OriginKind.FILE, text, image.place))
    reason = f"the tag {tag!r} is Dynamo's, not the engine's" if tag else "the image has no tag"
    remedy = f"use a release image of Dynamo, or set engine_versions: {{{engine}: X.Y.Z}} in servelint.yaml"
    return Fact.unknown(VERSION, reason, remedy, Origin(OriginKind.FILE, "image", image.place))
