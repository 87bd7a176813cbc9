from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from servelint.engines import config_arguments
from servelint.engines.flags import flag_table
from servelint.engines.trtllm import Trtllm
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.facts import Fact
    from servelint.source.nodes import Document

ENGINE = Trtllm()
RELEASE = "nvcr.io/nvidia/tensorrt-llm/release"
FILE = """\
tensor_parallel_size: 8
moe_expert_parallel_size: 4
enable_attention_dp: true
max_batch_size: 128  # requests
kv_cache_config:
  free_gpu_memory_fraction: 0.8
  dtype: fp8
  tokens_per_block: 64
cuda_graph_config: null
speculative_config: {decoding_type: MTP, num_nextn_predict_layers: 3}
"""


def document(text: str) -> Document:
    return read_text(SourceText("engine.yaml", text)).documents[0]


def serving(*arguments: str, tag: str = "1.0.0") -> str:
    return f"image: {RELEASE}:{tag}\ncommand: {json.dumps(['trtllm-serve', 'serve', 'org/name', *arguments])}\n"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (f"{RELEASE}:1.0.0rc4", "1.0.0"),
        (f"{RELEASE}:1.2.0", "1.2.0"),
        ("nvcr.io/nvidia/ai-dynamo/tensorrtllm-runtime:0.8.1.post2", "1.2.0"),
        ("nvcr.io/nvidia/ai-dynamo/tensorrtllm-runtime:9.9.9", None),
        ("nvcr.io/nvidia/tritonserver:25.09-trtllm-python-py3", None),
    ],
)
def test_version(reference: str, expected: str | None, image: Callable[[str], Fact[str]]) -> None:
    fact = ENGINE.version(image(reference))
    assert (str(fact.value) if fact.is_known else None) == expected


@pytest.mark.parametrize(
    "text",
    [
        "command: [trtllm-serve, org/name]\n",
        "command: [trtllm-serve, serve, org/name, --tp_size, '2']\n",
        "command: [sh, -c, 'mpirun -n 2 trtllm-llmapi-launch trtllm-serve org/name --tp_size 2']\n",
        "command: [python3, -m, tensorrt_llm.commands.serve, org/name]\n",
        "command: [python3, -m, dynamo.trtllm, --model-path, org/name]\n",
    ],
)
def test_what_runs_it(text: str, started: Any) -> None:
    assert started(ENGINE, text).values["model"] == "org/name"


@pytest.mark.parametrize(
    "text",
    [
        "command: [trtllm-serve, disaggregated, -c, c.yaml]\n",
        "command: [trtllm-bench, throughput]\n",
        f"image: {RELEASE}:1.0.0\n",
    ],
)
def test_what_does_not(text: str, started: Any) -> None:
    assert started(ENGINE, text).found is None


def test_the_facts_of_a_command_line(started: Any) -> None:
    read = started(
        ENGINE,
        serving("--tp_size=4", "--pp_size", "2", "--ep_size=2", "--cp_size=1", "--max_seq_len=8192", "--max_batch_size=64", "--max_num_tokens=4096",
                "--kv_cache_free_gpu_memory_fraction=0.7", "--enable_chunked_prefill"),
    )  # fmt: skip
    assert read.values == {
        "model": "org/name", "tensor": 4, "pipeline": 2, "expert": 2, "prefill_context": 1, "max_model_len": 8192, "max_num_seqs": 64,
        "max_num_batched_tokens": 4096, "gpu_memory_utilization": 0.7, "chunked_prefill": True,
    }  # fmt: skip
    assert "--tp_size=8" in read.write("tensor", 8)


def test_an_option_is_not_abbreviated_and_has_no_dashes(started: Any) -> None:
    assert "tensor" not in started(ENGINE, serving("--tp-size=4", "--tensor_parallel=4")).facts


def test_the_settings_of_a_file_are_nested(started: Any) -> None:
    read = started(ENGINE, serving("--extra_llm_api_options", "/etc/engine.yaml"))
    assert not read.command.complete
    engine = document(FILE)
    command = ENGINE.configured(read.command, lambda _: engine)
    facts = ENGINE.facts(command, {})
    assert command.complete
    assert {name: fact.value for name, fact in facts.items()} == {
        "model": "org/name", "tensor": 8, "expert": 4, "attention_data": 8, "max_num_seqs": 128, "gpu_memory_utilization": 0.8,
        "kv_cache_dtype": "fp8", "block_size": 64, "enforce_eager": True,
        "speculative": '{"method": "mtp", "num_speculative_tokens": 3}',
    }  # fmt: skip
    place = facts["gpu_memory_utilization"].place
    assert place is not None
    assert engine.source.text[place.span.start : place.span.end] == "0.8"


def test_a_setting_of_a_file_is_written_there(started: Any) -> None:
    from servelint.source import edits

    engine = document(FILE)
    command = ENGINE.configured(started(ENGINE, serving("--config=/e.yaml")).command, lambda _: engine)
    writer = ENGINE.facts(command, {})["gpu_memory_utilization"].writer
    assert writer is not None
    changes = writer.write(0.7)
    assert changes is not None
    assert edits.apply(FILE, changes) == FILE.replace("0.8", "0.7")


@pytest.mark.parametrize(("tag", "expected"), [("1.0.0", 8), ("1.3.1", 4), ("1.3.0rc19", None), ("latest", None)])
def test_whether_the_file_wins_depends_on_the_release(tag: str, expected: int | None, started: Any) -> None:
    read = started(ENGINE, serving("--tp_size=4", "--config=/e.yaml", tag=tag))
    engine = document("tensor_parallel_size: 8\npipeline_parallel_size: 2\n")
    facts = ENGINE.facts(ENGINE.configured(read.command, lambda _: engine), {})
    assert facts["tensor"].get(None) == expected
    assert facts["pipeline"].value == 2
    if expected is None:
        assert "which one wins changed in 1.3" in facts["tensor"].reason


def test_what_the_file_says_with_null_is_not_stated(started: Any) -> None:
    engine = document("tensor_parallel_size: null\nmoe_expert_parallel_size: -1\ncuda_graph_config: {batch_sizes: [1, 2]}\n")
    command = ENGINE.configured(started(ENGINE, serving("--config=/e.yaml")).command, lambda _: engine)
    assert {name: fact.value for name, fact in ENGINE.facts(command, {}).items()} == {"model": "org/name", "enforce_eager": False}


def test_dynamos_worker_takes_the_file_and_then_the_override(started: Any) -> None:
    arguments = ["--model-path=org/name", "--tensor-parallel-size=2", "--free-gpu-memory-fraction=0.5", "--extra-engine-args=/e.yaml",
                 "--override-engine-args", '{"kv_cache_config": {"free_gpu_memory_fraction": 0.6}, "max_batch_size": 16}']  # fmt: skip
    read = started(ENGINE, f"command: {json.dumps(['python3', '-m', 'dynamo.trtllm', *arguments])}\n")
    assert read.command.elsewhere == "the file of --extra-engine-args"
    engine = document(FILE)
    facts = ENGINE.facts(ENGINE.configured(read.command, lambda _: engine), {})
    assert (facts["tensor"].value, facts["gpu_memory_utilization"].value, facts["max_num_seqs"].value) == (8, 0.6, 16)
    writer = facts["gpu_memory_utilization"].writer
    assert writer is not None
    assert writer.write(0.7) is None  # it is a part of a word


def test_an_override_without_a_file(started: Any) -> None:
    words = ["python3", "-m", "dynamo.trtllm", "--model=a/b", '--override-engine-args={"tensor_parallel_size": 4}']
    assert started(ENGINE, f"command: {json.dumps(words)}\n").values["tensor"] == 4


def test_attention_data_parallelism_needs_the_degree(started: Any) -> None:
    read = started(
        ENGINE, "command: [sh, -c, 'python3 -m dynamo.trtllm --model a/b --tensor-parallel-size $TP --enable-attention-dp']\n"
    )
    assert "$TP is not set" in read.reason("attention_data")


def test_a_file_alone(started: Any) -> None:
    engine = document(FILE)
    assert engine.root is not None
    command = config_arguments.command("trtllm", engine, engine.root, flag_table("trtllm"), None, launcher="file")  # type: ignore[arg-type]
    assert command.separator == "_"
    assert ENGINE.facts(command, {})["attention_data"].value == 8
