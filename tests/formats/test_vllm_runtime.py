"""VLLMRuntime: the fields that the operator turns into options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from format_reading import Reading, format_named, rewritten, written
from servelint.facts import FactState
from servelint.source.edits import apply
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.deployment import Deployment, Pool

FIXTURES = Path(__file__).parents[2] / "fixtures" / "vllm-runtime"


def recognise(text: str, reading: Reading | None = None) -> list[Deployment]:
    documents = read_text(SourceText("x.yaml", text)).documents
    around = reading or Reading(documents)
    around.documents = documents
    return [deployment for document in documents for deployment in format_named("vllm-runtime").recognise(document, around)]


def fixture(name: str) -> dict[str, Pool]:
    found = recognise((FIXTURES / name).read_text(encoding="utf-8"))
    return {pool.name: pool for deployment in found for pool in deployment.pools}


def test_fields_are_options_of_the_engine() -> None:
    pool = fixture("autoscaled.yaml")["qwen3-32b"]
    assert pool.model.value == "Qwen/Qwen3-32B"
    assert (pool.tensor.value, pool.max_model_len.value, pool.max_num_seqs.value) == (2, 32768, 128)
    assert (pool.gpu_memory_utilization.value, pool.kv_cache_dtype.value, pool.dtype.value) == (0.92, "fp8", "bfloat16")
    assert pool.chunked_prefill.value is True
    assert (pool.gpus_per_node.value, pool.gpu_resource, pool.nodes.value) == (2, "nvidia.com/gpu", 1)
    assert (pool.replicas_min.value, pool.replicas_max.value) == (2, 5)
    assert {a.name for a in pool.accelerator.values} == {"H100-SXM5-80GB", "H200-SXM-141GB"}
    assert str(pool.version.value) == "0.19.1"


def test_fields_can_be_set_where_they_stand() -> None:
    pool = fixture("autoscaled.yaml")["qwen3-32b"]
    assert (written(pool.tensor), written(pool.max_model_len)) == ("2", "32768")
    assert "maxModelLen: 16384\n" in rewritten(pool.max_model_len, 16384)
    assert 'gpuMemoryUtilization: "0.85"\n' in rewritten(pool.gpu_memory_utilization, 0.85)
    assert 'gpu: "4"' in rewritten(pool.gpus_per_node, 4)


def test_an_option_is_added_behind_the_extra_arguments() -> None:
    from servelint.engines.argument_writer import append_argument

    pool = fixture("autoscaled.yaml")["qwen3-32b"]
    command = pool.containers[0].command
    assert command is not None
    edits = append_argument(command, "--max-num-batched-tokens", "4096")
    assert edits
    text = apply(command.document.source.text, edits)
    assert 'extraArgs: [--kv-cache-dtype, fp8, --max-num-batched-tokens, "4096"]' in text


def test_the_early_form_has_its_fields_in_spec() -> None:
    pool = fixture("flat.yaml")["llama-8b"]
    assert (pool.tensor.value, pool.gpu_memory_utilization.value, pool.max_num_seqs.value) == (1, 0.85, 64)
    assert (pool.gpus_per_node.value, pool.replicas_min.value, pool.max_model_len.value) == (1, 3, 16384)
    assert pool.version.state is FactState.UNKNOWN, "lmcache numbers its images itself"


def test_broken_shapes_are_left_alone() -> None:
    group = "apiVersion: production-stack.vllm.ai/v1alpha1\nkind: VLLMRuntime\n"
    assert recognise(group) == []
    assert recognise(group + "spec: {model: {}}\n")[0].pools[0].model.state is FactState.UNKNOWN
    assert recognise(group + "spec: {vllmConfig: {}}\n") == []
