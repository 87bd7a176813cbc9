"""Configuration files of engines: whose they are, and what they state."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from format_reading import StrictReading
from servelint.deployment import Role
from servelint.formats.engine_config import EngineConfig
from servelint.source.edits import apply
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.deployment import Deployment, Pool
    from servelint.facts import Fact

FIXTURES = Path(__file__).parents[2] / "fixtures" / "engine-config"


def recognise(text: str, path: str = "config.yaml") -> list[Deployment]:
    documents = read_text(SourceText(path, text)).documents
    reading = StrictReading(documents)
    return [d for document in documents for d in EngineConfig().recognise(document, reading)]


def fixture(name: str) -> Deployment:
    [deployment] = recognise((FIXTURES / name).read_text(encoding="utf-8"), name)
    return deployment


def pool_of(text: str) -> Pool:
    [deployment] = recognise(text)
    return deployment.pools[0]


def shown(fact: Fact[Any]) -> str:
    assert fact.place is not None
    span = fact.place.span
    return fact.place.document.source.text[span.start : span.end]


def test_a_file_of_vllm() -> None:
    deployment = fixture("vllm.yaml")
    [pool] = deployment.pools
    assert (deployment.name, deployment.format) == ("vllm", "engine-config")
    assert (pool.engine.value, pool.model.value, pool.tensor.value) == ("vllm", "Qwen/Qwen3-32B", 4)
    assert (pool.max_model_len.value, pool.gpu_memory_utilization.value) == (32768, 0.92)
    assert pool.speculative.value == '{"method":"ngram","num_speculative_tokens":4}'
    assert shown(pool.max_model_len) == "32768"
    for fact in (pool.version, pool.gpus_per_node, pool.nodes, pool.replicas_min):
        assert not fact.is_known
        assert "configuration file" in fact.reason
    [container] = pool.containers
    assert container.command is not None
    assert not container.command.complete, "what is not in the file may be on the command line"
    assert "--enable-expert-parallel" not in {a.name for a in container.command.arguments}, "false leaves an option out"


def test_numbers_are_written_where_they_stand() -> None:
    text = (FIXTURES / "vllm.yaml").read_text(encoding="utf-8")
    pool = fixture("vllm.yaml").pools[0]
    assert pool.tensor.writer is not None
    edits = pool.tensor.writer.write(2)
    assert edits is not None
    assert apply(text, edits) == text.replace("tensor-parallel-size: 4", "tensor-parallel-size: 2")


def test_a_config_map_that_nothing_here_mounts() -> None:
    text = (FIXTURES / "configmap.yaml").read_text(encoding="utf-8")
    deployment = fixture("configmap.yaml")
    [pool] = deployment.pools
    assert deployment.name == "engine-settings/vllm.yaml"
    assert (pool.tensor.value, pool.max_num_seqs.value, pool.kv_cache_dtype.value) == (8, 256, "fp8")
    assert shown(pool.max_num_seqs) == "256"
    used = text + "---\napiVersion: v1\nkind: Pod\nspec: {volumes: [{name: v, configMap: {name: engine-settings}}]}\n"
    assert recognise(used) == [], "the object that mounts it reads it"


VLLM = [
    "gpu-memory-utilization: 0.95\ntensor-parallel-size: 4",
    "tensor_parallel_size: 4\nmax_model_len: 8192\nmodel: a/b\ngpu_memory_utilization: 0.9",
    "model: a/b\nport: 8000\nmax-model-len: 8192\nserved-model-name: x\ncompilation-config: {level: 3}",
    "model: a/b\nport: 8000\nmax-model-len: 8192\nserved-model-name: x\nmax-num-sequences: 4",  # a slip
]


@pytest.mark.parametrize("text", VLLM, ids=str)
def test_files_of_vllm(text: str) -> None:
    assert pool_of(text).engine.value == "vllm"


OTHERS = [
    "tensor-parallel-size: 4",  # two engines have it
    "model: a/b\ntensor_parallel_size: 4\ntemperature: 0.7\ntop_p: 0.9\nprompt: x\nmax_model_len: 4096",
    "model: {name: a/b, tensor_parallel_size: 4}\nmax_model_len: 4096\nreplicas: 2\nimage: vllm",
    "max_model_len: 4096\nlearning_rate: 0.1\nbatch_size: 8",
    "apiVersion: v1\nkind: Thing\nmax-model-len: 4096\ntensor-parallel-size: 1",
    "apiVersion: v1\nkind: ConfigMap\ndata: {x: 'max-model-len: 4096'}",
    "apiVersion: v1\nkind: ConfigMap\ndata:\n  x: |\n    max-model-len: 4096\n    colour: red\n    size: 7\n",
    "apiVersion: v1\nkind: ConfigMap\ndata: [max-model-len: 4096]",
    "apiVersion: v1\nkind: ConfigMap\ndata:\n  x: |\n    max-model-len: {{ .Values.length }}\n    : [\n",
    "- tensor-parallel-size: 4\n- max-model-len: 8192",
    "max-model-len: {a: b}\ntensor-parallel-size: [1, 2]",
]


@pytest.mark.parametrize("text", OTHERS, ids=str)
def test_other_files_are_silent(text: str) -> None:
    assert recognise(text) == []


@pytest.mark.parametrize(
    ("text", "engine"),
    [
        ("tp-size: 8\npp-size: 1\n", None),
        ("tp_size: 8\nep_size: 8\npp_size: 1\nport: 8000\n", None),
        ("tp-size: 8\npp-size: 1\nmem-fraction-static: 0.8\n", "sglang"),
        ("tp: 8\nmem-fraction-static: 0.7\nattention-backend: flashinfer\ncontext-length: 3600000\n", "sglang"),
        ("tensor_parallel_size: 16\nmoe_expert_parallel_size: 16\nenable_attention_dp: true\n", "trtllm"),
        ("tp_size: 1\npp_size: 1\nbackend: pytorch\nkv_cache_free_gpu_mem_fraction: 0.90\n", None),
    ],
)
def test_options_that_several_engines_have(text: str, engine: str | None) -> None:
    """``tp_size`` and its like are options of SGLang and of what starts TensorRT-LLM."""
    assert [deployment.pools[0].engine.value for deployment in recognise(text)] == ([engine] if engine else [])


def test_a_placeholder_is_no_number() -> None:
    pool = pool_of("max-model-len: <length>\ntensor-parallel-size: ${TP}\nmax-num-seqs: 4")
    assert not pool.max_model_len.is_known
    assert not pool.tensor.is_known
    assert pool.max_num_seqs.value == 4


def test_a_file_of_sglang() -> None:
    [pool] = fixture("sglang.yaml").pools
    assert (pool.engine.value, pool.model.value, pool.role) == ("sglang", "deepseek-ai/DeepSeek-R1", Role.DECODE)
    assert (pool.tensor.value, pool.attention_data.value, pool.data.value, pool.expert.value) == (16, 16, 1, 16)
    assert (pool.gpu_memory_utilization.value, pool.max_model_len.value, pool.max_num_seqs.value) == (0.85, 16384, 128)
    assert "2048" in (FIXTURES / "sglang.yaml").read_text(encoding="utf-8"), "of all ranks; one of 16 takes its share"
    assert shown(pool.tensor) == '"16"'


def test_a_file_of_tensorrt_llm() -> None:
    deployment = fixture("trtllm.yaml")
    [pool] = deployment.pools
    assert (pool.engine.value, pool.tensor.value, pool.expert.value, pool.attention_data.value) == ("trtllm", 8, 8, 8)
    assert (pool.max_num_seqs.value, pool.max_num_batched_tokens.value, pool.max_model_len.value) == (128, 8192, 16384)
    assert (pool.gpu_memory_utilization.value, shown(pool.gpu_memory_utilization)) == (0.8, "0.8")
    assert (pool.kv_cache_dtype.value, pool.role) == ("fp8", Role.SERVE)
    assert "command line that names this file" in pool.model.reason


def test_files_of_tensorrt_llm_are_named_for_their_phase() -> None:
    text = "tensor_parallel_size: 4\nkv_cache_config: {dtype: fp8}\ncache_transceiver_config: {backend: DEFAULT}\n"
    for path, role in (("a/wide_ep_decode.yaml", Role.DECODE), ("prefill.yaml", Role.PREFILL), ("agg.yaml", Role.SERVE)):
        [deployment] = recognise(text, path)
        assert deployment.pools[0].role is role
    [deployment] = recognise("cuda_graph_config:\n  enable_padding: true\nprint_iter_log: true\n")
    assert deployment.pools[0].engine.value == "trtllm"


def test_context_and_generation_servers() -> None:
    context, generation = fixture("disaggregated.yaml").pools
    assert (context.role, generation.role) == (Role.PREFILL, Role.DECODE)
    assert (context.replicas_min.value, generation.replicas_min.value) == (2, 1)
    assert (context.tensor.value, generation.tensor.value, generation.attention_data.value) == (1, 4, 4)
    assert (context.model.value, generation.model.value) == ("Qwen/Qwen3-32B", "Qwen/Qwen3-32B")
