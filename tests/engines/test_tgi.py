from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from servelint.deployment import Pool
from servelint.engines.tgi import Tgi
from servelint.engines.versions import Version
from servelint.facts import Fact, FactState, Origin, OriginKind, Place
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from collections.abc import Callable

ENGINE = Tgi()
ORIGIN = Origin(OriginKind.FILE, "x")
IMAGE = "ghcr.io/huggingface/text-generation-inference:3.0.1"


def container(arguments: list[str], **variables: str) -> str:
    listed = [{"name": name, "value": value} for name, value in variables.items()]
    return f"image: {IMAGE}\nargs: {json.dumps(arguments)}\nenv: {json.dumps(listed)}\n"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (IMAGE, "3.0.1"),
        ("ghcr.io/huggingface/text-generation-inference:2.4.1-rocm", "2.4.1"),
        ("huggingface/text-generation-inference:1.4", ""),
    ],
)
def test_version(reference: str, expected: str, image: Callable[[str], Fact[str]]) -> None:
    fact = ENGINE.version(image(reference))
    assert (str(fact.value) if fact.is_known else "") == expected


def test_a_repository_that_numbers_itself_says_no_version(image: Callable[[str], Fact[str]]) -> None:
    assert "numbers its images itself" in ENGINE.version(image("ghcr.io/huggingface/tgi-gaudi:2.3.1")).reason
    cloud = "us-docker.pkg.dev/x/gcr.io/huggingface-text-generation-inference-cu124.2-3.ubuntu2204.py311"
    assert "has no tag" in ENGINE.version(image(cloud)).reason
    assert ENGINE.owns_image(cloud)


@pytest.mark.parametrize(
    "text",
    [
        f"image: {IMAGE}\n",
        f"image: {IMAGE}\nargs: [--model-id, a/b]\n",
        "image: ghcr.io/huggingface/tgi-gaudi:2.3.1\nargs: [--model-id, a/b]\n",
        "command: [text-generation-launcher]\nargs: [--model-id=a/b]\n",
        "command: [sh, -c, 'exec text-generation-launcher --model-id a/b']\n",
    ],
)
def test_what_runs_it(text: str, started: Any) -> None:
    assert started(ENGINE, text).found is not None


@pytest.mark.parametrize(
    "text",
    [
        f"image: {IMAGE}\nargs: [bash, -c, sleep 1]\n",
        f"image: {IMAGE}\ncommand: [python, download.py]\n",
        "image: ghcr.io/huggingface/text-embeddings-inference:cpu-1.7\nargs: [--model-id, a/b]\n",
        "command: [pkill, text-generation-launcher]\n",
    ],
)
def test_what_does_not(text: str, started: Any) -> None:
    assert started(ENGINE, text).found is None


def test_the_facts_of_a_command_line(started: Any) -> None:
    read = started(
        ENGINE,
        container([
            "--model-id", "org/name", "--num-shard=4", "--max-total-tokens", "8192", "--max-batch-size=64", "--max-batch-prefill-tokens=4096",
            "--cuda-memory-fraction=0.8", "--quantize=fp8", "--dtype=bfloat16", "--kv-cache-dtype=fp8_e4m3fn", "--cuda-graphs=0", "--speculate=3",
        ]),
    )  # fmt: skip
    assert json.loads(read.values["speculative"]) == {"method": "ngram", "num_speculative_tokens": 3}
    values = {name: value for name, value in read.values.items() if name != "speculative"}
    assert values == {
        "model": "org/name", "tensor": 4, "max_model_len": 8192, "max_num_seqs": 64, "max_num_batched_tokens": 4096,
        "gpu_memory_utilization": 0.8, "quantization": "fp8", "dtype": "bfloat16", "kv_cache_dtype": "fp8_e4m3fn", "enforce_eager": True,
    }  # fmt: skip
    assert "--num-shard=2" in read.write("tensor", 2)


def test_the_environment_counts(started: Any) -> None:
    read = started(
        ENGINE, container([], MODEL_ID="org/name", NUM_SHARD="2", MAX_TOTAL_TOKENS="4096", QUANTIZE="bitsandbytes-nf4")
    )
    assert read.values == {"model": "org/name", "tensor": 2, "max_model_len": 4096, "quantization": "bitsandbytes-nf4"}
    assert read.text_of("tensor") == '"2"'
    assert read.facts["tensor"].origin.text == "NUM_SHARD"
    assert '"NUM_SHARD", "value": "4"' in read.write("tensor", 4)


def test_the_command_line_wins_over_the_environment(started: Any) -> None:
    read = started(ENGINE, container(["--num-shard=4"], MODEL_ID="org/name", NUM_SHARD="2"))
    assert read.values["tensor"] == 4


def test_what_is_not_at_hand_is_unknown(started: Any) -> None:
    listed = "env: [{name: MODEL_ID, value: /data/model}, {name: NUM_SHARD, valueFrom: {configMapKeyRef: {name: c, key: n}}}]\n"
    read = started(ENGINE, f"image: {IMAGE}\n{listed}")
    assert read.reason("model") == "MODEL_ID: the weights come from a local path (/data/model)"
    assert read.reason("tensor").startswith("NUM_SHARD: it comes from configMapKeyRef")
    assert "no whole number" in started(ENGINE, container([], MODEL_ID="a/b", NUM_SHARD="two")).reason("tensor")
    everything = started(ENGINE, f"image: {IMAGE}\nenvFrom: [{{configMapRef: {{name: tgi}}}}]\n")
    assert "envFrom" in everything.reason("model")
    assert "envFrom" in everything.reason("tensor")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SHARDED": "false"}, 1),
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, 2),
        ({"NVIDIA_VISIBLE_DEVICES": "0,1,2,3", "SHARDED": "true"}, 4),
        ({"NVIDIA_VISIBLE_DEVICES": "all"}, None),
        ({"NVIDIA_VISIBLE_DEVICES": "0,1", "NUM_SHARD": "1"}, 1),
    ],
)
def test_the_number_of_shards(variables: dict[str, str], expected: int | None, started: Any) -> None:
    assert started(ENGINE, container(["--model-id=a/b"], **variables)).values.get("tensor") == expected


def test_the_model_of_a_launcher_that_is_told_none(started: Any) -> None:
    assert started(ENGINE, container([])).values["model"] == "bigscience/bloom-560m"


def pool(**facts: Fact[Any]) -> Pool:
    document = read_text(SourceText("p.yaml", "a: 1\n")).documents[0]
    assert document.root is not None
    return Pool(name="p", place=Place.of(document, document.root)).with_facts(facts)


def test_without_a_number_of_shards_every_gpu_is_one() -> None:
    gpus = Fact.known("gpus.per_node", 4, ORIGIN)
    assert ENGINE.defaults(pool(gpus_per_node=gpus))["tensor"].value == 4
    assert "takes every GPU it sees" in ENGINE.defaults(pool())["tensor"].reason


@pytest.mark.parametrize(("release", "expected"), [((1, 4, 5), 2048), ((2, 4, 1), None)])
def test_the_length_by_release(release: tuple[int, int, int], expected: int | None) -> None:
    version = Fact.known("engine.version", Version(*release), ORIGIN)
    fact = ENGINE.defaults(pool(version=version))["max_model_len"]
    assert fact.get(None) == expected
    assert fact.is_known or fact.state is FactState.UNKNOWN
