"""What an image's name suggests of the release, and where it suggests nothing."""

from __future__ import annotations

import pytest

from servelint.engines.likely_releases import likely_release
from servelint.engines.versions import Version


@pytest.mark.parametrize(
    ("engine", "image", "expected"),
    [
        ("vllm", "aibrix/vllm-openai:v0.10.2-cu128-nixl-0.7.1", (0, 10, 2)),
        ("vllm", "registry.example.com:5000/team/llmd-vllm-openai:v0.23.0", (0, 23, 0)),
        ("vllm", "quay.io/team/vllm-openai-ubi9:0.4.2", (0, 4, 2)),
        ("vllm", "team/vllm-openai:v0.7.3.self.post1", (0, 7, 3)),
        ("vllm", "lmcache/vllm-openai:v0.3.5", None),  # LMCache's own number
        ("vllm", "team/vllm:v0.10.2", None),  # a name that says too little
        ("vllm", "team/vllm-openai:2025-05-05-v1", None),
        ("vllm", "team/vllm-openai:latest", None),
        ("vllm", "team/vllm-openai", None),
        ("sglang", "aibrix/sglang:v0.4.9.post3-cu126", (0, 4, 9, 3)),
        ("sglang", "aibrix/sglang-router:v0.1.6", None),
        ("sglang", "team/vllm-openai:v0.10.2", None),
        ("trtllm", "team/release:1.0.0", None),
    ],
)
def test_the_tag_of_an_image_named_like_the_projects_own(engine: str, image: str, expected: tuple[int, ...] | None) -> None:
    found = likely_release(engine, image)
    assert (tuple(found.version) if found is not None else None) == expected
    assert found is None or not found.at_least


@pytest.mark.parametrize(
    ("tag", "least"),
    [
        ("2.52.0-py311-cu128", Version(0, 11, 0)),  # asks for what 2.51.1 asks for
        ("2.53.0", Version(0, 12, 0)),
        ("2.99.0", Version(0, 22, 0)),
        ("2.40.0-py311", None),
        ("nightly", None),
    ],
)
def test_rays_images_have_at_least_what_the_package_asks_for(tag: str, least: Version | None) -> None:
    found = likely_release("vllm", f"rayproject/ray-llm:{tag}")
    assert (found.version if found is not None else None) == least
    assert found is None or found.at_least
