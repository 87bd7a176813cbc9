"""What the releases know of models: presence by interval, pipelines, and the least GPU of a quantization method."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from servelint.engines import model_registry
from servelint.engines.flag import Presence
from servelint.engines.versions import Version

ROOT = Path(__file__).parents[2]
FACTS = ROOT.parent / "shared" / "facts" / "engine_architectures.jsonl"


@pytest.mark.parametrize(
    ("engine", "architecture", "version", "state"),
    [
        ("vllm", "LlamaForCausalLM", (0, 19, 1), Presence.PRESENT),
        ("vllm", "Qwen3NextForCausalLM", (0, 9, 2), Presence.ABSENT),
        ("vllm", "Qwen3NextForCausalLM", (0, 10, 1), Presence.UNCERTAIN),  # between a release without and one with it
        ("vllm", "Qwen3NextForCausalLM", (0, 10, 2), Presence.PRESENT),
        ("vllm", "LlamaForCausalLM", (0, 99, 0), Presence.UNCERTAIN),
        ("vllm", "LlamaForCausalLM", (0, 2, 0), Presence.UNCERTAIN),
        ("vllm", "NoSuchModel", (0, 19, 1), Presence.ABSENT),
        ("vllm", "Llama\tForCausalLM", (0, 19, 1), Presence.ABSENT),
        ("vllm", "MllamaForConditionalGeneration", (0, 11, 0), Presence.ABSENT),  # removed
        ("sglang", "DeepseekV32ForCausalLM", (0, 4, 10), Presence.ABSENT),
    ],
)
def test_presence(engine: str, architecture: str, version: tuple[int, int, int], state: Presence) -> None:
    assert model_registry.presence(engine, architecture, Version(*version)) is state


def test_first_and_last_release() -> None:
    assert model_registry.introduced("vllm", "Qwen3NextForCausalLM", Version(0, 9, 2)) == Version(0, 10, 2)
    assert model_registry.last_with("vllm", "Qwen3NextForCausalLM", Version(0, 9, 2)) is None
    assert model_registry.last_with("vllm", "MllamaForConditionalGeneration", Version(0, 19, 1)) == Version(0, 10, 2)
    assert model_registry.introduced("vllm", "NoSuchModel", Version(0, 9, 2)) is None


@pytest.mark.parametrize(
    ("engine", "architecture", "version", "can"),
    [
        ("vllm", "LlamaForCausalLM", (0, 19, 1), True),
        ("vllm", "Gemma3nForConditionalGeneration", (0, 19, 1), False),
        ("vllm", "Gemma3nForConditionalGeneration", None, False),  # no release can
        ("vllm", "DeepseekV4ForCausalLM", None, None),  # one release cannot, the others can
        ("vllm", "LlamaForCausalLM", (0, 5, 5), None),  # not read
        ("sglang", "DeepseekV3ForCausalLM", (0, 4, 9), False),
        ("sglang", "DeepseekV3ForCausalLM", (0, 5, 9), True),
    ],
)
def test_pipelines(engine: str, architecture: str, version: tuple[int, int, int] | None, can: bool | None) -> None:
    assert model_registry.pipelines(engine, architecture, Version(*version) if version else None) is can


@pytest.mark.parametrize(
    ("method", "version", "least"),
    [
        ("fp8", (0, 4, 3), (8, 9)),
        ("fp8", (0, 5, 0), (8, 0)),  # between 8.9 and 8.0: the lower one
        ("fp8", (0, 10, 0), (8, 0)),
        ("fp8", (0, 14, 1), (7, 5)),
        ("fp8", (0, 99, 0), (7, 5)),
        ("fp8", None, (7, 5)),
        ("awq", None, (7, 5)),
        ("nvfp4", (0, 9, 2), None),  # the name is gone there
        ("no-such-method", None, None),
    ],
)
def test_least_capability(method: str, version: tuple[int, int, int] | None, least: tuple[int, int] | None) -> None:
    assert model_registry.least_capability(method, Version(*version) if version else None) == least


@pytest.mark.skipif(not FACTS.is_file(), reason="the scan of the registries (../shared/facts) is not here")
def test_the_shipped_registries_are_those_of_the_scan() -> None:
    command = [sys.executable, str(ROOT / "tools/build_engine_models.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
