"""Truss: a server of its own, its accelerators, and the models behind paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from format_reading import StrictReading
from servelint.formats.truss import Truss
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.deployment import Deployment, Pool

SERVER = (
    "docker_server: {start_command: 'sh -c \"vllm serve %s --port 8000\"'}\nbase_image: {image: 'vllm/vllm-openai:v0.19.1'}\n"
)


def recognise(text: str) -> list[Deployment]:
    documents = read_text(SourceText("chat/config.yaml", text)).documents
    return [d for document in documents for d in Truss().recognise(document, StrictReading(documents))]


def pool(keys: str, model: str = "org/model") -> Pool:
    [deployment] = recognise(SERVER % model + keys)
    [one] = deployment.pools
    return one


@pytest.mark.parametrize(
    ("accelerator", "gpus", "known"),
    [("B200:8", 8, True), ("L4", 1, True), ("H100:many", None, True), ("H99:2", 2, False), ("null", None, False)],
)
def test_accelerators_with_and_without_a_number(accelerator: str, gpus: int | None, known: bool) -> None:
    found = pool(
        f"resources: {{accelerator: '{accelerator}'}}\n" if accelerator != "null" else "resources: {accelerator: null}\n"
    )
    assert found.gpus_per_node.get(None) == gpus  # type: ignore[arg-type]
    assert bool(found.accelerator.values) is known
    assert not found.replicas_min.is_known, "autoscaling settings are not in the file"


def test_an_instance_type_counts_in_place_of_an_accelerator() -> None:
    found = pool("resources: {accelerator: 'H100:8', instance_type: 'L4:4x16'}\n")
    assert not found.gpus_per_node.is_known, "4 are its cores"
    assert [each.name for each in found.accelerator.values] == ["L4"]


@pytest.mark.parametrize(("count", "nodes"), [("2", 2), ("'2'", 2), ("null", 1), ("0", None)])
def test_nodes_of_one_replica(count: str, nodes: int | None) -> None:
    found = pool(f"resources: {{accelerator: 'H100:8', node_count: {count}}}\n").nodes
    assert found.get(None) == nodes  # type: ignore[arg-type]
    assert found.place is not None or count == "null", "it is marked where it stands"


@pytest.mark.parametrize(
    ("keys", "path", "model"),
    [
        (
            "model_cache: [{repo_id: org/a, volume_folder: chat}, {repo_id: org/b, volume_folder: other}]\n",
            "/app/model_cache/other",
            "org/b",
        ),
        ("weights: [{source: 'hf://org/a@main', mount_location: /models/a}]\n", "/models/a/", "org/a"),
        ("weights: [{source: 's3://bucket/a', mount_location: /models/a}]\n", "/models/a", None),
        ("model_cache: [{repo_id: org/a, volume_folder: chat}]\n", "/app/model_cache/else", None),
    ],
)
def test_a_path_below_which_weights_are_put_names_their_model(keys: str, path: str, model: str | None) -> None:
    assert pool(keys, path).model.get(None) == model  # type: ignore[arg-type]


def test_a_model_class_of_its_own_is_no_server() -> None:
    assert recognise("model_name: x\nbase_image: {image: 'vllm/vllm-openai:v0.19.1'}\nresources: {accelerator: L4}\n") == []
    assert recognise("docker_server: [1]\n") == recognise("docker_server: {start_command: [vllm, serve]}\n") == []
