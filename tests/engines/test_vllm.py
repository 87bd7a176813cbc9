from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from servelint.engines import shell
from servelint.engines.values import human_readable_integer
from servelint.engines.versions import Version
from servelint.engines.vllm import Vllm
from servelint.facts import Fact, FactState, Origin, OriginKind
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.engines.command import Command

ENGINE = Vllm()
ORIGIN = Origin(OriginKind.FILE, "image")


def image(reference: str) -> Fact[str]:
    return Fact.known("engine.image", reference, ORIGIN)


def command_of(text: str, reference: str = "", environment: dict[str, Fact[str]] | None = None) -> Command | None:
    document = read_text(SourceText("pod.yaml", text)).documents[0]
    programs = shell.programs(
        document, document.elements_at("command"), document.elements_at("args"), environment or {}, document.root
    )
    return ENGINE.command(programs, reference)


def command(text: str, reference: str = "", environment: dict[str, Fact[str]] | None = None) -> Command:
    found = command_of(text, reference, environment)
    assert found is not None
    return found


def facts(arguments: str, environment: dict[str, Fact[str]] | None = None) -> dict[str, Fact[Any]]:
    return ENGINE.facts(command(f"command: [vllm, serve]\nargs: {arguments}\n", "", environment), environment or {})


def script_facts(text: str, environment: dict[str, Fact[str]] | None = None) -> dict[str, Fact[Any]]:
    return ENGINE.facts(command(f"command: [sh, -c]\nargs:\n- |\n  {text}\n", "", environment), environment or {})


# -- images


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("vllm/vllm-openai:v0.8.5", "0.8.5"),
        ("docker.io/vllm/vllm-openai:v0.20.1-cu129", "0.20.1"),
        ("vllm/vllm-openai:v0.6.6.post1", "0.6.6"),
        ("vllm/vllm-openai:v0.11.0rc2-x86_64", "0.11.0"),
        ("docker.io/vllm/vllm-openai:v0.9.0.1", "0.9.0"),
        ("vllm/vllm-openai:0.11.0", "0.11.0"),
        ("vllm/vllm-openai-cpu:v0.19.0", "0.19.0"),
        ("registry.example.com:5000/vllm/vllm-openai:v0.9.2", "0.9.2"),
        ("vllm/vllm-openai:v0.9.2@sha256:abc", "0.9.2"),
        ("public.ecr.aws/q9t5s3a7/vllm-cpu-release-repo:v0.10.0", "0.10.0"),
        ("763104351884.dkr.ecr.us-east-1.amazonaws.com/vllm:0.15.1-gpu-py312-cu129-ubuntu22.04-ec2-v1.1-soci", "0.15.1"),
        ("public.ecr.aws/deep-learning-containers/vllm:0.12.0-gpu-py312-cu129-ubuntu22.04-ec2-v1.0-soci", "0.12.0"),
    ],
)
def test_a_tag_that_is_the_engines_version(reference: str, expected: str) -> None:
    fact = ENGINE.version(image(reference))
    assert fact.value == Version.parse(expected)
    assert fact.is_stated


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("vllm/vllm-openai:latest", "the tag 'latest' does not say it"),
        ("vllm/vllm-openai:nightly-f849ee7", "the tag 'nightly-f849ee7' does not say it"),
        ("vllm/vllm-openai:gptoss", "the tag 'gptoss' does not say it"),
        ("vllm/vllm-openai", "the image has no tag"),
        ("vllm/vllm-openai@sha256:abc", "by its digest"),
        ("lmcache/vllm-openai:v0.3.5", "is not vLLM's own version"),
        ("rocm/vllm:rocm6.4.1_vllm_0.10.0_20250812", "is not vLLM's own version"),
        ("nvcr.io/nvidia/vllm:25.09-py3", "is not vLLM's own version"),
        ("ghcr.io/llm-d/llm-d-cuda:v0.9.0", "is not vLLM's own version"),
        ("aibrix/vllm-openai:v0.7.3.self.post1", "is not vLLM's own version"),
        ("${VLLM_IMAGE}", "filled in elsewhere"),
    ],
)
def test_a_tag_that_is_not(reference: str, reason: str) -> None:
    fact = ENGINE.version(image(reference))
    assert fact.state is FactState.UNKNOWN
    assert reason in fact.reason
    assert "pin vllm/vllm-openai" in fact.remedy


def test_without_an_image_the_version_is_unknown() -> None:
    assert "no image" in ENGINE.version(Fact.unknown("engine.image", "the container names no image")).reason


@pytest.mark.parametrize(
    "reference",
    [
        "vllm/vllm-openai:v0.8.5", "vllm/vllm-openai-cpu:latest", "lmcache/vllm-openai:latest", "aibrix/vllm-openai:v0.9.2",
        "example.com/mirror/vllm-openai-rocm:v1", "opea/vllm-gaudi:1.22.0", "registry.redhat.io/rhaiis/vllm-cuda-rhel9",
        "quay.io/opendatahub/vllm:fast", "ghcr.io/llm-d/llm-d:v0.2.0", "ghcr.io/llm-d/llm-d-xpu:latest", "vllm-openai",
    ],
)  # fmt: skip
def test_images_that_start_the_server_themselves(reference: str) -> None:
    assert ENGINE.owns_image(reference)


@pytest.mark.parametrize(
    "reference",
    [
        "ghcr.io/llm-d/llm-d-inference-sim:v0.8.2", "ghcr.io/llm-d/llm-d-routing-sidecar:v0.2.0", "aibrix/runtime:v0.4.1",
        "nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.3.0", "ghcr.io/llm-d/llm-d-router-disagg-sidecar:v0.9.0", "lmcache/lmstack-router",
        "ghcr.io/vllm-project/semantic-router/extproc:latest", "lmcache/lmstack-sidecar:latest", "rocm/vllm:latest", "nginx", "",
        "vllm/vllm-tpu:latest", "lmsysorg/sglang:latest",
    ],
)  # fmt: skip
def test_images_that_do_not(reference: str) -> None:
    assert not ENGINE.owns_image(reference)


# -- launchers


@pytest.mark.parametrize(
    ("text", "launcher"),
    [
        ("command: [vllm, serve, org/model]", "vllm serve"),
        ("command: [/opt/venv/bin/vllm]\nargs: [serve, org/model]", "vllm serve"),
        ("args: [vllm, serve, org/model]", "vllm serve"),
        ("command: [uv, run, vllm, serve, org/model]", "vllm serve"),
        ("command: [numactl, -N, '0', vllm, serve, org/model]", "vllm serve"),
        ("command: [sh, -c, 'exec vllm serve org/model']", "vllm serve"),
        ("command: [sh, -c, 'nsys profile -o /tmp/x vllm serve org/model']", "vllm serve"),
        ("command: [sh, -c, 'VLLM_X=1 nohup vllm serve org/model &']", "vllm serve"),
        ("command: [sh, -c, 'env A=B time vllm serve org/model']", "vllm serve"),
        ("command: [sh, -c, 'ray start --head --num-gpus 8 && vllm serve org/model']", "vllm serve"),
        ("command: [sh, -c, 'if a; then vllm serve org/model; fi']", "vllm serve"),
        ("command: [python3, -m, vllm.entrypoints.openai.api_server]", "python -m vllm.entrypoints.openai.api_server"),
        ("command: [python, -u, -m, vllm.entrypoints.openai.api_server]", "python -m vllm.entrypoints.openai.api_server"),
        ("command: [python3, -m, vllm.entrypoints.cli.main, serve, m/n]", "python -m vllm.entrypoints.cli.main serve"),
    ],
)
def test_launchers(text: str, launcher: str) -> None:
    found = command(text + "\n")
    assert found.launcher == launcher
    assert found.complete


@pytest.mark.parametrize(
    "text",
    [
        "command: [vllm, bench, serve, --model, m]",
        "command: [vllm, chat]",
        "command: [sh, -c, 'pip install vllm && sleep 1']",
        "command: [sh, -c, 'echo vllm serve org/model']",
        "command: [sh, -c, 'pgrep -f vllm serve']",
        "command: [python3, -m, sglang.launch_server]",
        "command: [python3, -m, vllm.entrypoints.openai.run_batch]",
        "command: [/app/start.sh]\nargs: [--model, m]",
        "command: [sleep, infinity]",
        "args: [sleep, infinity]",
        "args: [sh, start.sh]",
    ],
)
def test_what_is_no_server(text: str) -> None:
    assert command_of(text + "\n", "vllm/vllm-openai:v0.9.2") is None


def test_arguments_from_an_input_are_not_all_there() -> None:
    found = command("command: [sh, -c, 'cat args | xargs vllm serve m/n']\n")
    assert (found.complete, found.elsewhere) == (False, "the input of xargs")


def test_flags_in_front_of_the_engine_are_not_its_own() -> None:
    found = command("command: [sh, -c, 'ray start --num-gpus 8; vllm serve m/n -tp 2; curl --port 1']\n")
    assert [a.name or a.value for a in found.arguments] == ["m/n", "--tensor-parallel-size"]


def test_an_image_with_bare_arguments() -> None:
    found = command("args: [--model, org/model, --port, '80']\n", "vllm/vllm-openai:v0.8.5")
    assert (found.launcher, found.start) == ("image", 0)
    assert ENGINE.facts(found, {})["model"].value == "org/model"
    positional = command("args: [org/model, --port, '80']\n", "vllm/vllm-openai:v0.11.2")
    assert ENGINE.facts(positional, {})["model"].value == "org/model"
    assert command_of("args: [--model, org/model]\n", "example.com/other:v1") is None
    assert command_of("args: [-tp=2, --max-model-len=1]\n", "${VLLM_IMAGE}") is not None
    assert command_of("args: [--port=1]\n", "${VLLM_IMAGE}") is None
    assert command_of("args: [--max-model-len=1]\n", "example.com/team/vllm-patched:v1") is not None
    assert command_of("args: [--max-model-len=1]\n", "example.com/team/vllm-sim:v1") is None, "runs no model"


def test_an_image_without_any_arguments() -> None:
    found = command("name: x\n", "vllm/vllm-openai:v0.8.5")
    assert found.arguments == ()
    assert found.node is found.document.root
    assert "names no model" in ENGINE.facts(found, {})["model"].reason


def test_flags_are_read_as_the_tagged_release_reads_them() -> None:
    found = command("args: [m/n, --data-parallel-s, '2']\n", "vllm/vllm-openai:v0.8.5")
    assert found.arguments[1].name == "--data-parallel-size"
    assert command("args: [m/n, --data-parallel-s, '2']\n", "vllm/vllm-openai:latest").arguments[1].flag is None


# -- facts


def test_the_facts_of_a_command_line() -> None:
    found = facts(
        "[org/model, -tp, '8', --pipeline_parallel_size=2, --data-parallel-size, '4', --data-parallel-size-local=2, -dcp=2, -pcp=1,"
        " --max-model-len=32k, --max-num-seqs, '64', --max-num-batched-tokens=8K, --gpu-memory-utilization, '0.95',"
        " --kv-cache-memory-bytes=10G, --kv-cache-dtype=fp8, --block-size=32, --dtype, bfloat16, -q, awq, --enforce-eager,"
        " --no-enable-chunked-prefill, --enable-expert-parallel, --nnodes=2]"
    )
    assert {name: fact.value for name, fact in found.items()} == {
        "model": "org/model", "tensor": 8, "pipeline": 2, "data": 4, "data_local": 2, "decode_context": 2, "prefill_context": 1,
        "max_model_len": 32000, "max_num_seqs": 64, "max_num_batched_tokens": 8192, "gpu_memory_utilization": 0.95,
        "kv_cache_memory_bytes": 10 * 2**30, "kv_cache_dtype": "fp8", "block_size": 32, "dtype": "bfloat16", "quantization": "awq",
        "enforce_eager": True, "chunked_prefill": False, "expert": 32, "nodes": 2,
    }  # fmt: skip
    assert all(fact.is_stated for fact in found.values())
    assert found["tensor"].name == "parallelism.tensor"


def test_a_fact_points_at_its_argument() -> None:
    found = script_facts("vllm serve org/model --tensor-parallel-size 8 --max-model-len='4096'")
    for field, expected in (
        ("tensor", "--tensor-parallel-size 8"),
        ("max_model_len", "--max-model-len='4096'"),
        ("model", "org/model"),
    ):
        place = found[field].place
        assert place is not None
        assert place.document.source.text[place.span.start : place.span.end] == expected


@pytest.mark.parametrize(
    ("arguments", "field", "reason"),
    [
        ("[m/n, -tp=two]", "tensor", "'two' is no whole number"),
        ("[m/n, -tp=-2]", "tensor", "-2 is no positive whole number"),
        ("[m/n, -tp=0]", "tensor", "0 is no positive whole number"),
        ("[m/n, -tp=8.0]", "tensor", "'8.0' is no whole number"),
        ("[m/n, -tp]", "tensor", "-tp has no value"),
        ("[m/n, -tp=99999999999999999999999]", "tensor", "is no whole number"),
        ("[m/n, -tp=$TP]", "tensor", "write $(TP)"),
        ("[m/n, '-tp=$(TP)']", "tensor", "$TP is not set in this manifest"),
        ("[m/n, --gpu-memory-utilization=nan]", "gpu_memory_utilization", "nan is not in (0, 1]"),
        ("[m/n, --gpu-memory-utilization=95]", "gpu_memory_utilization", "95 is not in (0, 1]"),
        ("[m/n, --gpu-memory-utilization=high]", "gpu_memory_utilization", "'high' is no number"),
        ("[m/n, --max-model-len=auto]", "max_model_len", "lets vLLM fit it"),
        ("[m/n, --max-model-len, '-1']", "max_model_len", "lets vLLM fit it"),
        ("[m/n, --max-model-len=1.5K]", "max_model_len", "decimals are not allowed"),
        ("[m/n, --max-model-len=lots]", "max_model_len", "'lots' is no whole number"),
        ("[/models/llama]", "model", "local path (/models/llama)"),
        ("[--model, s3://bucket/llama]", "model", "come from s3://bucket/llama, which names no model"),
        ("[llama]", "model", "'llama' is no hub id"),
        ("[--port, '80']", "model", "names no model"),
        ("[--config, /etc/c.yaml]", "model", "may come from the file of --config"),
        ("['$(MODEL)']", "model", "$MODEL is not set"),
        ("[m/n, --enable-expert-parallel, '-dp=$(DP)']", "expert", "$DP is not set"),
        ("[m/n, --enable-expert-parallel, --config, c.yaml]", "expert", "may come from the file of --config"),
        ("[m/n, '--speculative-config=$(S)']", "speculative", "$S is not set"),
    ],
)
def test_what_cannot_be_known_says_why(arguments: str, field: str, reason: str) -> None:
    fact = facts(arguments)[field]
    assert fact.state is FactState.UNKNOWN
    assert reason in fact.reason


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("[org/model]", "org/model"),
        ("[--model, org/model]", "org/model"),
        ("[--port, '80', org/model]", "org/model"),
        ("[--enforce-eager, 'true', --model, org/model]", "org/model"),
        ("[/cache/hub/models--org--my-model/snapshots/1]", "org/my-model"),
        ("['org/model --port 80']", "org/model"),
    ],
)
def test_where_the_model_is_named(arguments: str, expected: str) -> None:
    assert facts(arguments)["model"].value == expected


def test_serve_among_the_arguments_of_an_image_is_read_as_a_model() -> None:
    found = command("args: [serve, org/model]\n", "vllm/vllm-openai:v0.11.2")
    assert "'serve' is read as the model's name" in ENGINE.facts(found, {})["model"].reason


def test_variables_and_where_they_come_from() -> None:
    environment = {
        "TP": Fact.known("env.TP", "8", ORIGIN),
        "PP": Fact.unknown("env.PP", "it comes from configMapKeyRef sizes"),
    }
    found = script_facts("vllm serve $MODEL -tp $TP -pp $PP -dp $((TP * N)) --max-model-len $(cat /len)", environment)
    assert found["tensor"].value == 8
    assert found["pipeline"].reason == "$PP: it comes from configMapKeyRef sizes"
    assert found["data"].reason == "$((TP * N)) is computed when the container starts"
    assert "$(cat /len) is computed" in found["max_model_len"].reason
    assert found["model"].reason == "$MODEL is not set in this manifest"
    assert "set MODEL to a literal" in found["model"].remedy
    group = {"LWS_GROUP_SIZE": Fact.known("env.LWS_GROUP_SIZE", "2", ORIGIN)}
    assert script_facts("export LOCAL=8\n  vllm serve m/n -dp $((LWS_GROUP_SIZE * LOCAL))", group)["data"].value == 16


def test_a_switch_is_off_however_it_is_spelled() -> None:
    for written in ("--no-enable-chunked-prefill", "--no_enable_chunked_prefill", "--no-enable-chunked-p"):
        assert facts(f"[m/n, {written}]")["chunked_prefill"].value is False
    assert facts("[m/n, --enable_chunked_pre]")["chunked_prefill"].value is True


def test_expert_parallelism_is_the_group_it_uses() -> None:
    assert facts("[m/n, -tp=2, -dp=4, --enable-expert-parallel]")["expert"].value == 8
    assert facts("[m/n, -tp=2, --no-enable-expert-parallel]")["expert"].value == 1
    assert "expert" not in facts("[m/n, -tp=2]")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("[m/n, --speculative-config, '{\"model\": \"d\"}']", '{"model": "d"}'),
        ("[m/n, --speculative-config.model=d, --speculative-config.num_speculative_tokens, '3']", '{"model": "d", "num_speculative_tokens": 3}'),
        ("[m/n, --speculative-model, d, --num-speculative-tokens, '3']", '{"model": "d", "num_speculative_tokens": 3}'),
        ("[m/n, --spec-method=ngram, --spec-tokens=4]", '{"method": "ngram", "num_speculative_tokens": 4}'),
    ],
)  # fmt: skip
def test_speculation(arguments: str, expected: str) -> None:
    assert facts(arguments)["speculative"].value == expected


def test_the_value_of_a_switch_where_it_takes_one() -> None:
    found = command("args: [--model, m/n, --enable-chunked-prefill, 'False']\n", "vllm/vllm-openai:v0.7.3")
    assert ENGINE.facts(found, {})["chunked_prefill"].value is False


def test_one_item_with_flag_and_value_is_read_as_it_is_meant() -> None:
    found = facts("['org/model', '--tensor-parallel-size 4', '--max-model-len 8192']")
    assert (found["tensor"].value, found["max_model_len"].value) == (4, 8192)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4096", 4096),
        (" 12 ", 12),
        ("1_024", 1024),
        ("32k", 32000),
        ("32K", 32768),
        ("25.6k", 25600),
        ("1M", 1048576),
        ("2m", 2000000),
        ("1G", 2**30),
    ],
)
def test_human_readable_integers(text: str, expected: int) -> None:
    assert human_readable_integer(text) == expected


@pytest.mark.parametrize("text", ["", "k", "1.5K", "1.5", "1e3", "0x10", "1 k", "1kk", "9" * 30])
def test_what_is_no_integer(text: str) -> None:
    with pytest.raises(ValueError, match=r"no whole number|decimals"):
        human_readable_integer(text)
