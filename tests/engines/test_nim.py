from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from servelint.deployment import Pool
from servelint.engines.nim import Nim
from servelint.engines.nim_facts import PROFILE
from servelint.facts import Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.facts import Fact

ENGINE = Nim()
IMAGE = "nvcr.io/nim/meta/llama-3.1-8b-instruct:1.8.3"


def container(image: str = IMAGE, **variables: str) -> str:
    listed = "".join(f"- {{name: {name}, value: '{value}'}}\n" for name, value in variables.items())
    return f"image: {image}\nenv:\n{listed}" if listed else f"image: {image}\n"


@pytest.mark.parametrize(
    ("reference", "owned"),
    [
        (IMAGE, True),
        ("registry.example.com/nim/meta/llama3-8b-instruct", True),
        ("nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.3.0", False),
        ("nvcr.io/nvidia/cloud-native/k8s-nim-operator:v1", False),
    ],
)
def test_images(reference: str, owned: bool) -> None:
    assert ENGINE.owns_image(reference) is owned


def test_the_version_is_the_nims(image: Callable[[str], Fact[str]]) -> None:
    assert str(ENGINE.version(image(IMAGE)).value) == "1.8.3"
    assert str(ENGINE.version(image("nvcr.io/nim/nvidia/llm-nim:1.12")).value) == "1.12.0"
    assert ENGINE.version(image("nvcr.io/nim/nvidia/llm-nim:latest")).reason == "the tag 'latest' does not say it"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (container(), "meta/llama-3.1-8b-instruct"),
        (container("nvcr.io/nim/meta/llama-3.1-8b-instruct:1.8.5:1.8.3"), "meta/llama-3.1-8b-instruct"),
        (
            container("nvcr.io/nim/nvidia/llm-nim:1.12", NIM_MODEL_NAME="hf://meta-llama/Llama-3.2-1B-Instruct"),
            "meta-llama/Llama-3.2-1B-Instruct",
        ),
        (container("nvcr.io/nim/nvidia/vllm-nim:2.1", NIM_MODEL_PATH="hf://org/name"), "org/name"),
        (container("nvcr.io/nim/nvidia/llm-nim:1.12", NIM_MODEL_NAME="ngc://nim/org/name:1"), "nim/org/name"),
    ],
)
def test_the_model(text: str, expected: str, started: Any) -> None:
    assert started(ENGINE, text).values["model"] == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (container("nvcr.io/nim/nvidia/llm-nim:1.12"), "nvidia/llm-nim runs any model, and which one is not stated"),
        (
            container("nvcr.io/nim/nvidia/llm-nim:1.12", NIM_MODEL_NAME="/models/mine"),
            "NIM_MODEL_NAME: the weights come from /models/mine",
        ),
    ],
)
def test_a_model_that_is_not_named(text: str, reason: str, started: Any) -> None:
    assert started(ENGINE, text).reason("model").startswith(reason)


def test_the_environment_and_the_options_that_it_hands_on(started: Any) -> None:
    read = started(ENGINE, container(NIM_TENSOR_PARALLEL_SIZE="4", NIM_PIPELINE_PARALLEL_SIZE="2", NIM_MAX_MODEL_LEN="8192"))
    assert (read.values["tensor"], read.values["pipeline"], read.values["max_model_len"]) == (4, 2, 8192)
    assert read.text_of("tensor") == "'4'"
    passed = started(
        ENGINE, f"{container(NIM_TENSOR_PARALLEL_SIZE='4')}command: [nim-serve]\nargs: [--tensor-parallel-size, '2']\n"
    )
    assert passed.values["tensor"] == 2


@pytest.mark.parametrize(
    "text",
    [
        "image: vllm/vllm-openai:v0.9.0\n",
        f"{container()}command: [sleep, infinity]\n",
        f"{container()}args: [bash]\n",
        f"{container()}args: [download-to-cache, --all]\n",
        f"{container()}args: [list-model-profiles]\n",
    ],
)
def test_what_runs_no_nim(text: str, started: Any) -> None:
    assert started(ENGINE, text).found is None


def test_all_else_is_chosen_by_the_profile(started: Any) -> None:
    document = started(ENGINE, container()).document
    found = ENGINE.defaults(Pool(name="p", place=Place.of(document, document.root)))
    assert {fact.reason for fact in found.values()} == {PROFILE}
    assert {"tensor", "pipeline", "max_model_len"} <= set(found)
