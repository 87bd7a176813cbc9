from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from servelint.deployment import Pool
from servelint.engines import model_registry
from servelint.engines.command import Form
from servelint.engines.flag import Presence
from servelint.engines.flags import flag_table
from servelint.engines.sglang import Sglang
from servelint.engines.versions import Version
from servelint.facts import Fact, FactState, Origin, OriginKind, Place
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from collections.abc import Callable

ENGINE = Sglang()


def serving(*arguments: str, image: str = "lmsysorg/sglang:v0.5.9") -> str:
    words = ["python3", "-m", "sglang.launch_server", "--model-path=org/name", *arguments]
    return f"image: {image}\ncommand: {json.dumps(words)}\n"


# -- images


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("lmsysorg/sglang:v0.5.5", "0.5.5"),
        ("docker.io/lmsysorg/sglang:v0.5.5.post3-cu129-amd64", "0.5.5.post3"),
        ("lmsysorg/sglang:v0.4.7-cu124", "0.4.7"),
        ("lmsysorg/sglang:v0.5.0rc2-cu126", "0.5.0"),
        ("lmsysorg/sglang:v0.5.6.post1-cann8.3.rc1-910b", "0.5.6.post1"),
        ("nvcr.io/nvidia/ai-dynamo/sglang-runtime:1.0.1", "0.5.9"),
        ("nvcr.io/nvidia/ai-dynamo/sglang-runtime:1.1.1-cuda13", "0.5.10.post1"),
    ],
)
def test_a_tag_that_says_the_version(reference: str, expected: str, image: Callable[[str], Fact[str]]) -> None:
    version = ENGINE.version(image(reference)).value
    assert (version, str(version)) == (Version.parse(expected, "sglang"), expected)


def test_a_post_release_lies_between_the_releases_that_were_scanned() -> None:
    table = flag_table("sglang")
    parser = table["--tool-call-parser"]
    assert "glm45" not in (parser.choices_at(Version(0, 4, 9)) or ())
    assert "glm45" in (parser.choices_at(Version(0, 4, 9, 6)) or ()), "0.4.10 has it, and 0.4.9.post6 may"
    assert Version(0, 4, 9) < Version(0, 4, 9, 6) < Version(0, 4, 10)
    assert Version.parse("0.4.9.post6+cu126", "sglang") == Version(0, 4, 9, 6), "whatever build it is"
    assert Version.parse("0.8.5.post1") == Version(0, 8, 5), "vLLM's mend builds"


def test_a_post_release_of_the_newest_one_has_what_that_has_and_may_have_more() -> None:
    table = flag_table("sglang")
    newest = table.scanned[-1]
    post, later = Version(*newest, post=1), Version(newest[0], newest[1], newest[2] + 1)
    tensor, gone = table["--tp-size"], table["--enable-flashmla"]
    assert [tensor.presence(version) for version in (newest, post, later)] == [
        Presence.PRESENT, Presence.PRESENT, Presence.UNCERTAIN,
    ]  # fmt: skip
    assert [gone.presence(version) for version in (newest, post, later)] == [
        Presence.ABSENT, Presence.UNCERTAIN, Presence.UNCERTAIN,
    ]  # fmt: skip
    assert tensor.defaults_at(post) == tensor.defaults_at(newest)
    assert table.resolve("--tensor-parallel", post)[0] is tensor


def test_models_of_a_post_release_of_the_newest_one() -> None:
    newest = flag_table("sglang").scanned[-1]
    post = Version(*newest, post=2)
    for name, states in (("Qwen3ForCausalLM", (Presence.PRESENT,) * 2), ("NoModel", (Presence.ABSENT, Presence.UNCERTAIN))):
        assert tuple(model_registry.presence("sglang", name, version) for version in (newest, post)) == states


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("lmsysorg/sglang:latest", "the tag 'latest' does not say it"),
        ("lmsysorg/sglang:dev-cu13", "the tag 'dev-cu13' does not say it"),
        ("lmsysorg/sglang:kimi-k3", "the tag 'kimi-k3' does not say it"),
        ("lmsysorg/sglang", "the image has no tag"),
        ("aibrix/sglang:v0.4.9.post3-cu126-nixl-v0.4.1", "is not SGLang's own version"),
        ("lmsysorg/sglang-router:v0.2.4", "is not SGLang's own version"),
        ("nvcr.io/nvidia/ai-dynamo/sglang-runtime:1.3.0-glm-5.2-dev.1", "is Dynamo's, not the engine's"),
        ("my-registry/sglang-runtime:my-tag", "is Dynamo's, not the engine's"),
    ],
)
def test_a_tag_that_does_not(reference: str, reason: str, image: Callable[[str], Fact[str]]) -> None:
    assert reason in ENGINE.version(image(reference)).reason


# -- how it is started


@pytest.mark.parametrize(
    ("text", "launcher", "model"),
    [
        ("command: [python3, -m, sglang.launch_server]\nargs: [--model, org/name]\n", "python -m sglang.launch_server", "org/name"),
        ("command: [sglang, serve, org/name, --tp=2]\n", "sglang serve", "org/name"),
        ("command: [sglang, serve, --model-path, org/name]\n", "sglang serve", "org/name"),
        ("command: [python, -m, sglang.cli.main, serve, org/name]\n", "python -m sglang.cli.main serve", "org/name"),
        ("command: [sh, -c, 'exec python3 -m sglang.launch_server --model-path org/name']\n", "python -m sglang.launch_server", "org/name"),
        ("command: [python3, /sgl-workspace/sglang/python/sglang/launch_server.py, --model-path=org/name]\n",
         "sglang/launch_server.py", "org/name"),
        ("command: [python3, -m, dynamo.sglang, --model-path, org/name]\n", "python -m dynamo.sglang", "org/name"),
        ("command: [python3, -m, dynamo.sglang.decode_worker, --model-path, org/name]\n", "python -m dynamo.sglang.decode_worker",
         "org/name"),
        ("image: example.com/our-sglang:1\nargs: [--model-path, org/name, --tp, '2']\n", "image", "org/name"),
        ("args: [--model-path=org/name, --hicache-ratio=2]\n", "image", "org/name"),
    ],
)  # fmt: skip
def test_launchers(text: str, launcher: str, model: str, started: Any) -> None:
    read = started(ENGINE, text)
    assert read.command.launcher == launcher
    assert read.values["model"] == model


@pytest.mark.parametrize(
    "text",
    [
        "command: [python3, -m, sglang_router.launch_router, --pd-disaggregation]\n",
        "command: [python3, -m, sglang.bench_serving, --backend, sglang]\n",
        "command: [python3, -m, dynamo.sglang.utils.clear_namespace, --namespace, dynamo]\n",
        "command: [sh, -c, 'pkill -f sglang.launch_server; echo python -m sglang.launch_server']\n",
        "image: lmsysorg/sglang:v0.5.9\nargs: [bash]\n",
        "image: lmsysorg/sglang-router:v0.2\nargs: [--model-path, org/name, --host, 0.0.0.0]\n",
        "command: [vllm, serve, org/name]\n",
        "args: [--model-path=org/name, --host=0.0.0.0, --port=8000]\n",
        "image: example.com/own:1\nargs: [--model-path=org/name, --hicache-ratio=2]\n",
    ],
)
def test_what_runs_no_server(text: str, started: Any) -> None:
    assert started(ENGINE, text).found is None


# -- facts


@pytest.mark.parametrize("path", ["org/name", '"$M"', "'org/name'"])
def test_a_backslash_without_a_blank_before_it_hides_no_option(path: str, started: Any) -> None:
    """The shell makes one word of the two; what was meant is read, and CLI104 says so."""
    read = started(
        ENGINE, f"command: [sh, -c]\nargs:\n- |\n  python -m sglang.launch_server --model-path={path}\\\n  --tp-size 4\n"
    )
    assert read.values["tensor"] == 4
    dashes = "command: [sh, -c]\nargs: ['python -m sglang.launch_server --model-path=org/a--tp-size 4']\n"
    assert "tensor" not in started(ENGINE, dashes).values


@pytest.mark.parametrize("name", ["chat\\\n  --large", '"a \\\n  --tp-size 4"'])
def test_a_value_that_goes_on_in_the_next_line_is_no_option(name: str, started: Any) -> None:
    script = f"python -m sglang.launch_server --model-path=o/m --served-model-name={name}"
    read = started(ENGINE, f"command: [sh, -c]\nargs:\n- |\n  {script}\n")
    assert "tensor" not in read.values
    assert Form.JAMMED not in {argument.form for argument in read.command.arguments}


def test_the_facts_of_a_command_line(started: Any) -> None:
    read = started(
        ENGINE,
        serving(
            "--tp=8",
            "--pipeline-parallel-size=2",
            "--ep",
            "4",
            "--attn-cp-size=2",
            "--nnodes=2",
            "--mem-frac=0.85",
            "--context-length=32768",
            "--max-running-requests=64",
            "--chunked-prefill-size=4096",
            "--kv-cache-dtype=fp8_e4m3",
            "--dtype=bfloat16",
            "--quantization=fp8",
            "--page-size=64",
            "--disable-cuda-graph",
        ),
    )
    assert read.values == {
        "model": "org/name", "tensor": 8, "pipeline": 2, "expert": 4, "prefill_context": 2, "nodes": 2,
        "gpu_memory_utilization": 0.85, "max_model_len": 32768, "max_num_seqs": 64, "max_num_batched_tokens": 4096,
        "chunked_prefill": True, "kv_cache_dtype": "fp8_e4m3", "dtype": "bfloat16", "quantization": "fp8", "block_size": 64,
        "enforce_eager": True,
    }  # fmt: skip
    assert read.text_of("gpu_memory_utilization").strip('"') == "--mem-frac=0.85"
    assert "--tp=4" in read.write("tensor", 4)
    assert '"--ep", "8"' in read.write("expert", 8)


def test_data_parallel_replicas_and_attention_ranks_are_told_apart(started: Any) -> None:
    replicas = started(ENGINE, serving("--tp=8", "--dp=4")).values
    assert replicas["data"] == 4
    assert "attention_data" not in replicas
    attention = started(ENGINE, serving("--tp=8", "--dp-size=4", "--enable-dp-attention"))
    assert (attention.values["attention_data"], attention.values["data"]) == (4, 1)
    assert "--dp-size=8" in attention.write("attention_data", 8)
    modern = started(ENGINE, serving("--tp=8", "--attn-dp-size=8", "--dp-size=2")).values
    assert (modern["attention_data"], modern["data"]) == (8, 2)


def test_what_all_ranks_share_is_divided(started: Any) -> None:
    shared = ("--max-running-requests=64", "--chunked-prefill-size=16384", "--tp=8", "--dp=8")
    attention = started(ENGINE, serving(*shared, "--enable-dp-attention"))
    assert (attention.values["max_num_batched_tokens"], attention.values["max_num_seqs"]) == (2048, 8)
    assert attention.facts["max_num_seqs"].writer is None
    replicas = started(ENGINE, serving(*shared)).values
    assert (replicas["max_num_batched_tokens"], replicas["max_num_seqs"]) == (16384, 8)


def test_no_chunks(started: Any) -> None:
    read = started(ENGINE, serving("--chunked-prefill-size=-1"))
    assert (read.values["chunked_prefill"], read.values["max_num_batched_tokens"]) == (False, 16384)
    assert (
        started(ENGINE, serving("--chunked-prefill-size=-1", "--max-prefill-tokens=8192")).values["max_num_batched_tokens"]
        == 8192
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--tp=8", "--moe-a2a-backend=deepep", "--ep-size=4"), 8),
        (("--tp=8", "--moe-a2a-backend=none", "--ep-size=4"), 4),
        (("--tp=16", "--enable-deepep-moe"), 16),
        (("--enable-ep-moe",), 1),
        (("--tp=8", "--dwdp-size=8"), 8),
    ],
)
def test_the_expert_group(arguments: tuple[str, ...], expected: int, started: Any) -> None:
    assert started(ENGINE, serving(*arguments)).values["expert"] == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--speculative-algorithm=EAGLE", "--speculative-num-steps=3", "--speculative-num-draft-tokens=4"),
         {"method": "eagle", "num_speculative_tokens": 3}),
        (("--speculative-algorithm=NGRAM", "--speculative-num-draft-tokens=8"), {"method": "ngram", "num_speculative_tokens": 8}),
        (("--speculative-algorithm=EAGLE3", "--speculative-draft-model-path=a/b"), {"method": "eagle3", "model": "a/b"}),
    ],
)  # fmt: skip
def test_speculation(arguments: tuple[str, ...], expected: dict[str, Any], started: Any) -> None:
    assert json.loads(started(ENGINE, serving(*arguments)).values["speculative"]) == expected


def test_a_variable_that_nobody_sets_leaves_the_degree_unknown(started: Any) -> None:
    read = started(
        ENGINE,
        "command: [sh, -c, 'python3 -m sglang.launch_server --model-path $MODEL --tp $SIZE --dp 2 --enable-dp-attention']\n",
    )
    assert read.reason("tensor") == "$SIZE is not set in this manifest"
    assert read.reason("model") == "$MODEL is not set in this manifest"
    assert read.values["attention_data"] == 2


def test_without_the_configuration_file_ranks_may_be_attention_ranks(started: Any) -> None:
    read = started(ENGINE, serving("--config=/etc/server.yaml", "--dp=8"))
    assert not read.command.complete
    assert "--enable-dp-attention may come from the file of --config" in read.reason("data")


def test_the_command_line_wins_over_the_file(started: Any) -> None:
    document = read_text(
        SourceText("server.yaml", "tp-size: 8\ndp-size: 8\nenable-dp-attention: true\nmem-fraction-static: 0.8\n")
    ).documents[0]
    read = started(ENGINE, serving("--config", "/etc/server.yaml", "--tp", "4"))
    command = ENGINE.configured(read.command, lambda path: document if path == "/etc/server.yaml" else None)
    facts = ENGINE.facts(command, {})
    assert command.complete
    assert (facts["tensor"].value, facts["attention_data"].value, facts["gpu_memory_utilization"].value) == (4, 8, 0.8)
    assert facts["gpu_memory_utilization"].place == Place.of(document, document.root.get("mem-fraction-static"))  # type: ignore[union-attr,arg-type]


def test_a_section_of_dynamos_file(started: Any) -> None:
    document = read_text(SourceText("disagg.yaml", "prefill: {tp-size: 4}\ndecode: {tp-size: 8}\n")).documents[0]
    text = "command: [python3, -m, dynamo.sglang, --disagg-config, /c.yaml, --disagg-config-key, decode]\n"
    command = ENGINE.configured(started(ENGINE, text).command, lambda _: document)
    assert ENGINE.facts(command, {})["tensor"].value == 8
    assert command.complete


# -- defaults


def pool(**facts: Fact[Any]) -> Pool:
    document = read_text(SourceText("p.yaml", "a: 1\n")).documents[0]
    assert document.root is not None
    return Pool(name="p", place=Place.of(document, document.root)).with_facts(facts)


def test_defaults() -> None:
    origin = Origin(OriginKind.FILE, "x")
    found = ENGINE.defaults(
        pool(version=Fact.known("engine.version", Version(0, 5, 9), origin), tensor=Fact.known("parallelism.tensor", 8, origin))
    )
    assert "tensor" not in found
    assert {name: found[name].value for name in ("data", "attention_data", "kv_cache_dtype", "chunked_prefill", "speculative")} == {
        "data": 1, "attention_data": 1, "kv_cache_dtype": "auto", "chunked_prefill": True, "speculative": "none",
    }  # fmt: skip
    assert found["data"].origin is not None
    assert found["data"].origin.text == "default of SGLang 0.5.9"
    assert "works it out" in found["gpu_memory_utilization"].reason
    assert found["max_num_batched_tokens"].state is FactState.UNKNOWN


@pytest.mark.parametrize(("name", "expected"), [("H100-SXM5-80GB", (8192,)), ("B200", (16384, 8192)), ("L4", (4096, 2048))])
def test_the_chunk_follows_the_gpu(name: str, expected: tuple[int, ...]) -> None:
    from servelint.catalogue import accelerators

    accelerator = Fact.known("accelerator.name", accelerators.find_all(name)[0], Origin(OriginKind.FILE, "x"))
    assert ENGINE.defaults(pool(accelerator=accelerator))["max_num_batched_tokens"].values == expected
    ranks = Fact.known("parallelism.attention_data", 8, Origin(OriginKind.FILE, "x"))
    divided = ENGINE.defaults(pool(accelerator=accelerator, attention_data=ranks))["max_num_batched_tokens"].values
    assert divided == tuple(value // 8 for value in expected)


_WORDS = st.one_of(
    st.text(st.characters(codec="ascii", min_codepoint=32), max_size=12),
    st.sampled_from(
        ["--tp", "--dp=8", "--dp", "--enable-dp-attention", "--chunked-prefill-size", "-1", "0", "8", "--ep=deepep", "$X", "$(X)"]
    ),
)


@given(st.lists(_WORDS, max_size=8))
def test_no_words_break_it(words: list[str]) -> None:
    text = f"command: {json.dumps(['python3', '-m', 'sglang.launch_server', *words])}\n"
    document = read_text(SourceText("pod.yaml", text)).documents[0]
    from servelint.engines import shell

    command = ENGINE.command(shell.programs(document, document.elements_at("command"), (), {}, document.root), "")
    assert command is not None
    assert "model" in ENGINE.facts(command, {})
