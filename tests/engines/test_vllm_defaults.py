from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from servelint.deployment import Container, Pool
from servelint.engines import shell
from servelint.engines.versions import Version
from servelint.engines.vllm import Vllm
from servelint.engines.vllm_batch import Device, batch_defaults
from servelint.estimate import Estimate
from servelint.facts import Fact, FactState, Origin, OriginKind, Place
from servelint.source.reader import read_text
from servelint.source.text import SourceText

ENGINE = Vllm()
GIB = 2.0**30
STATED = Origin(OriginKind.FILE, "here")
DOCUMENT = read_text(SourceText("f", "a: 1\n")).documents[0]
assert DOCUMENT.root is not None
PLACE = Place.of(DOCUMENT, DOCUMENT.root)
H100 = ("H100-SXM5-80GB", "NVIDIA", 79.2)
A100 = ("A100-SXM4-80GB", "NVIDIA", 79.3)
L4 = ("L4", "NVIDIA", 22.2)
B200 = ("B200", "NVIDIA", 178.4)
GB10 = ("GB10", "NVIDIA", 121.6)
TPU = ("TPU v6e", "Google", 31.0)


def accelerator(*which: tuple[str, str, float]) -> Fact[Any]:
    values = tuple(SimpleNamespace(name=n, vendor=v, visible_bytes=Estimate.exact(g * GIB)) for n, v, g in which)
    return Fact.either("accelerator.name", values, STATED)


def pool(
    version: str = "", which: tuple[str, str, float] | None = None, args: str = "[m/n]", image: str = "", **facts: Any
) -> Pool:
    document = read_text(SourceText("f", f"command: [vllm, serve]\nargs: {args}\n")).documents[0]
    programs = shell.programs(document, document.elements_at("command"), document.elements_at("args"), {})
    command = ENGINE.command(programs, "")
    assert command is not None
    assert document.root is not None
    container = Container("main", document, document.root, "vllm", Fact.known("engine.image", image, STATED), command=command)
    for name, value in facts.items():
        facts[name] = value if isinstance(value, Fact) else Fact.known(name, value, STATED)
    if version:
        facts["version"] = Fact.known("engine.version", Version.parse(version), STATED)
    if which is not None:
        facts["accelerator"] = accelerator(which)
    return Pool(name="p", place=PLACE, containers=(container,), **facts)


def default(field: str, **arguments: Any) -> Fact[Any]:
    return ENGINE.defaults(pool(**arguments))[field]


def test_degrees_are_one_and_say_so() -> None:
    found = ENGINE.defaults(pool("0.19.1"))
    for field in ("tensor", "pipeline", "data", "expert", "sequence", "prefill_context", "decode_context", "attention_data"):
        assert found[field].value == 1
        origin = found[field].origin
        assert origin is not None
        assert (origin.kind, origin.text) == (OriginKind.DEFAULT, "default of vLLM 0.19.1")


def test_what_is_stated_has_no_default() -> None:
    found = ENGINE.defaults(pool(tensor=8, gpu_memory_utilization=0.8, max_num_seqs=4, chunked_prefill=False))
    assert not {"tensor", "gpu_memory_utilization", "max_num_seqs", "chunked_prefill"} & set(found)
    unreadable: Fact[int] = Fact("parallelism.pipeline", FactState.UNKNOWN, reason="$PP is not set in this manifest")
    assert "pipeline" not in ENGINE.defaults(pool(pipeline=unreadable))


def test_an_incomplete_command_line_has_no_defaults() -> None:
    found = ENGINE.defaults(pool("0.19.1", H100, args="[m/n, --config, c.yaml]"))
    for field in ("tensor", "gpu_memory_utilization", "max_num_seqs", "kv_cache_dtype"):
        assert found[field].reason == "arguments come from elsewhere: the file of --config"


def test_without_a_container_there_are_defaults() -> None:
    found = ENGINE.defaults(Pool(name="p", place=PLACE))
    assert found["tensor"].value == 1


@pytest.mark.parametrize(
    ("version", "expected", "text"),
    [
        ("0.19.1", (0.9,), "default of vLLM 0.19.1"),
        ("0.20.2", (0.92,), "default of vLLM 0.20.2"),
        ("0.20.0", (0.92, 0.9), "default of vLLM 0.20.0"),
        ("0.40.0", (0.92,), "default of vLLM 0.33.0, the newest version scanned"),
        ("", (0.92, 0.9), "default of vLLM, by version (the image does not say which)"),
    ],
)
def test_gpu_memory_utilization(version: str, expected: tuple[float, ...], text: str) -> None:
    fact = default("gpu_memory_utilization", version=version)
    assert fact.values == expected
    assert fact.origin is not None
    assert fact.origin.text == text


def test_constants() -> None:
    found = ENGINE.defaults(pool())
    values = {name: found[name].value for name in ("kv_cache_dtype", "dtype", "block_size", "enforce_eager", "speculative")}
    assert values == {"kv_cache_dtype": "auto", "dtype": "auto", "block_size": 16, "enforce_eager": False, "speculative": "none"}
    assert found["dtype"].origin is not None
    assert found["dtype"].origin.text == "default of vLLM (every version scanned)"
    assert found["chunked_prefill"].value is True
    assert "by the model's length" in default("chunked_prefill", version="0.7.3").reason


@pytest.mark.parametrize(
    ("version", "which", "tokens", "sequences"),
    [
        ("0.19.1", H100, (8192,), (1024,)),
        ("0.19.1", A100, (2048,), (256,)),
        ("0.19.1", L4, (2048,), (256,)),
        ("0.8.5", A100, (8192,), (1024,)),
        ("0.8.0", A100, (2048,), (1024,)),
        ("0.8.0", H100, (8192,), (1024,)),
        ("0.8.2", A100, (8192, 2048), (1024,)),
        ("0.27.1", B200, (8192,), (1024,)),
        ("0.28.0", B200, (16384,), (1024,)),
        ("0.27.5", B200, (16384, 8192), (1024,)),
        ("0.32.0", GB10, (8192,), (1024,)),
        ("0.33.0", GB10, (2048,), (256,)),
        ("0.50.0", B200, (16384,), (1024,)),
        ("", H100, (8192,), (1024,)),
        ("", L4, (2048,), (256, 1024)),
        ("", B200, (16384, 8192, 2048), (1024,)),
        ("0.19.1", None, (8192, 2048), (1024, 256)),
        ("0.33.0", None, (16384, 8192, 2048), (1024, 256)),
    ],
)
def test_batch_limits(
    version: str, which: tuple[str, str, float] | None, tokens: tuple[int, ...], sequences: tuple[int, ...]
) -> None:
    assert default("max_num_batched_tokens", version=version, which=which).values == tokens
    assert default("max_num_seqs", version=version, which=which).values == sequences


def test_several_gpus_leave_several_defaults() -> None:
    found = ENGINE.defaults(pool("0.19.1", accelerator=accelerator(H100, L4)))
    assert found["max_num_seqs"].values == (1024, 256)


def test_the_first_engine_took_its_batch_from_the_model() -> None:
    assert default("max_num_seqs", version="0.7.3", which=H100).value == 256
    assert "derives it from the model's length" in default("max_num_batched_tokens", version="0.7.3", which=H100).reason


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"which": TPU}, "platform's own"),
        ({"image": "vllm/vllm-openai-cpu:v0.19.0"}, "the defaults on cpu"),
        ({"image": "opea/vllm-gaudi:1"}, "the defaults on gaudi"),
        ({"gpu_resource": "google.com/tpu"}, "the defaults on google.com/tpu"),
    ],
)
def test_other_platforms_have_their_own(arguments: dict[str, Any], reason: str) -> None:
    resource = arguments.pop("gpu_resource", "nvidia.com/gpu")
    made = pool("0.19.1", **arguments)._replace(gpu_resource=resource)
    assert reason in ENGINE.defaults(made)["max_num_seqs"].reason


def test_limits_bound_each_other() -> None:
    assert default("max_num_seqs", version="0.19.1", which=H100, max_num_batched_tokens=512).value == 512
    assert default("max_num_batched_tokens", version="0.19.1", which=H100, max_num_seqs=4, max_model_len=1024).value == 4096
    assert "max_model_len" in default("max_num_batched_tokens", version="0.19.1", which=H100, max_num_seqs=4).reason
    long = default("max_num_batched_tokens", version="0.19.1", which=H100, chunked_prefill=False, max_model_len=32768)
    assert long.value == 32768
    assert "chunked" in default("max_num_batched_tokens", version="0.19.1", which=H100, chunked_prefill=False).reason
    unreadable: Fact[int] = Fact("limits.max_num_batched_tokens", FactState.UNKNOWN, reason="$N is not set in this manifest")
    assert "$N" in default("max_num_seqs", version="0.19.1", which=H100, max_num_batched_tokens=unreadable).reason


def test_modes_that_change_the_batch() -> None:
    throughput = "[m/n, --performance-mode, throughput]"
    assert default("max_num_seqs", version="0.19.1", which=H100, args=throughput).value == 2048
    experts = "[m/n, --all2all-backend, deepep_low_latency]"
    found = {
        v: default("max_num_batched_tokens", version=v, which=H100, args=experts, data=8, expert=8).value
        for v in ("0.19.1", "0.20.2")
    }
    assert found == {"0.19.1": 8192, "0.20.2": 256}
    assert default("max_num_batched_tokens", version="0.20.2", which=H100, args=experts).value == 8192


def test_the_rules_of_the_releases() -> None:
    device = Device(79.2 * GIB, "h100")
    assert batch_defaults(Version(0, 33, 0), device) == (8192, 1024)
    assert batch_defaults(Version(0, 33, 0), device, batched_experts=True).tokens == 256
