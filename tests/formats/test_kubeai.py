"""KubeAI: the model's address, its arguments and its resource profile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from format_reading import Reading, format_named, rewritten, written
from servelint.facts import FactState
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.deployment import Deployment, Pool

FIXTURES = Path(__file__).parents[2] / "fixtures" / "kubeai"


def recognise(text: str, reading: Reading | None = None) -> list[Deployment]:
    documents = read_text(SourceText("x.yaml", text)).documents
    around = reading or Reading(documents)
    around.documents = documents
    return [deployment for document in documents for deployment in format_named("kubeai").recognise(document, around)]


def fixture(name: str) -> dict[str, Pool]:
    found = recognise((FIXTURES / name).read_text(encoding="utf-8"))
    return {pool.name: pool for deployment in found for pool in deployment.pools}


MODEL = """
apiVersion: kubeai.org/v1
kind: Model
metadata: {name: x}
spec: {engine: VLLM, url: '%s', features: [TextGeneration], args: [%s], resourceProfile: '%s'}
"""


def model(url: str = "hf://org/model", args: str = "", profile: str = "nvidia-gpu-l4:1") -> Pool:
    [deployment] = recognise(MODEL % (url, args, profile))
    [pool] = deployment.pools
    return pool


def test_a_model_is_a_server_of_its_arguments() -> None:
    pool = fixture("models.yaml")["llama-3.1-70b-l40s"]
    assert pool.model.value == "meta-llama/Llama-3.1-70B-Instruct"
    assert (pool.tensor.value, pool.pipeline.value, pool.max_model_len.value) == (4, 2, 16384)
    assert (pool.gpus_per_node.value, pool.gpu_resource, pool.nodes.value) == (8, "nvidia.com/gpu", 1)
    assert pool.accelerator.value.name == "L40S"
    assert (pool.replicas_min.value, pool.replicas_max.value) == (1, 3)
    assert pool.version.state is FactState.UNKNOWN, "the image is the operator's"


def test_facts_can_be_set_where_they_stand() -> None:
    pool = fixture("models.yaml")["llama-3.1-70b-l40s"]
    assert written(pool.tensor) == "--tensor-parallel-size=4"
    assert "--tensor-parallel-size=8\n" in rewritten(pool.tensor, 8)
    assert written(pool.gpus_per_node) == "nvidia-gpu-l40s:8"
    assert "resourceProfile: nvidia-gpu-l40s:4\n" in rewritten(pool.gpus_per_node, 4)


def test_a_pinned_image_and_fixed_replicas() -> None:
    pool = fixture("models.yaml")["house-model"]
    assert str(pool.version.value) == "0.8.3"
    assert (pool.replicas_min.value, pool.replicas_max.value) == (2, 2)
    assert pool.model.state is FactState.UNKNOWN
    assert "pvc://weights/house-model" in pool.model.reason


def test_ollama_is_named_and_its_options_are_not_read() -> None:
    pool = fixture("models.yaml")["gemma-ollama"]
    assert pool.engine.value == "ollama"
    assert pool.containers[0].command is None
    assert pool.tensor.state is FactState.UNKNOWN


def test_a_cached_model_keeps_its_name_and_a_profile_names_only_its_vendor() -> None:
    pool = fixture("gaudi.yaml")["mixtral-gaudi"]
    assert pool.model.value == "mistralai/Mixtral-8x7B-Instruct-v0.1"
    assert (pool.gpus_per_node.value, pool.gpu_resource) == (2, "habana.ai/gaudi")
    assert pool.accelerator.state is FactState.UNKNOWN
    assert pool.replicas_min.value == 0, "KubeAI scales to none by default"
    assert pool.replicas_max.state is FactState.UNKNOWN, "and has no upper limit by default"


@pytest.mark.parametrize(
    ("profile", "gpus", "accelerator"),
    [
        ("nvidia-gpu-l4:8", 8, ("L4",)),
        ("nvidia-gpu-l4", 1, ("L4",)),
        ("amd-gpu-mi300x:8", 8, ("MI300X",)),
        ("nvidia-gpu-a100-80gb:2", 2, ("A100-SXM4-80GB", "A100-PCIE-80GB")),
        ("nvidia-gpu-rtx4070-8gb:1", 1, ("RTX 4070 Laptop",)),
        ("cpu:4", None, ()),
        ("google-tpu-v5e-2x2:4", None, ("TPU v5e",)),
        ("nvidia-gpu-l4:many", None, ("L4",)),
    ],
)
def test_resource_profiles(profile: str, gpus: int | None, accelerator: tuple[str, ...]) -> None:
    pool = model(profile=profile)
    assert pool.gpus_per_node.get(None) == gpus
    assert tuple(a.name for a in pool.accelerator.values) == accelerator


def test_the_arguments_may_name_the_model_again() -> None:
    assert model(args="--model=other/model").model.value == "other/model"


def test_broken_shapes_are_left_alone() -> None:
    assert recognise("apiVersion: kubeai.org/v1\nkind: Model\nspec: []\n") == []
    assert recognise("apiVersion: kubeai.org/v1\nkind: Model\nspec: {engine: [VLLM]}\n") == []
    assert recognise("apiVersion: example.org/v1\nkind: Model\nspec: {engine: VLLM}\n") == []
