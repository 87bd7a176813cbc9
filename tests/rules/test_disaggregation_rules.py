"""Workers, transports and addresses of disaggregated serving: boundaries of DIS716 to DIS726, K8S615 and MEM408."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

import servelint_rules
from servelint import builtin
from servelint.config import Config
from servelint.plugins import Registry
from servelint.run import Session, lint_texts, model_lookup
from servelint.source.text import SourceText
from servelint_rules.rdma_settings import _meant
from servelint_rules.service_targets import _is_slip

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.finding import Finding

NIXL = """'{"kv_connector": "NixlConnector", "kv_role": "kv_both"}'"""


def lint(text: str, code: str, path: str = "deploy.yaml", *, complete: bool = False) -> list[Finding]:
    config = Config(complete=complete, profile="strict")
    session = Session(config, Registry([("builtin", builtin), ("rules", servelint_rules)]), model_lookup(config))
    return [f for f in lint_texts([SourceText(path, text)], session).findings if f.code == code]


def graph(engine: str, image: str, prefill: str, decode: str, env: str = "") -> str:
    """A Dynamo graph with a prefill and a decode worker that are started with these further arguments."""
    lines = ["apiVersion: nvidia.com/v1alpha1", "kind: DynamoGraphDeployment", "metadata: {name: g}", "spec:", "  services:"]
    for role, args in (("prefill", prefill), ("decode", decode)):
        lines += [f"    {role}:", "      componentType: worker", f"      subComponentType: {role}"]
        lines += ['      resources: {limits: {gpu: "1"}}', "      extraPodSpec:", "        mainContainer:"]
        lines += [f"          image: nvcr.io/nvidia/ai-dynamo/{image}", f"          command: [python3, -m, dynamo.{engine}]"]
        lines += [f"          args: [--model-path=Qwen/Qwen3-8B{args}]", *([f"          env: [{env}]"] if env else [])]
    return "\n".join(lines) + "\n"


VLLM, SGLANG = ("vllm", "vllm-runtime:0.8.0"), ("sglang", "sglang-runtime:1.1.1")
TRTLLM = ("trtllm", "tensorrtllm-runtime:1.1.1")


@pytest.mark.parametrize(
    ("runtime", "prefill", "decode", "env", "labels"),
    [
        (VLLM, ", --is-prefill-worker", "", "", []),
        (VLLM, "", "", "", ["declared a prefill worker"]),
        (VLLM, ", --disaggregation-mode=$MODE", "", "", []),
        (VLLM, "", "", "{name: DYN_VLLM_DISAGGREGATION_MODE, value: prefill}", []),
        (VLLM, ", --is-prefill-worker", ", --is-prefill-worker", "", ["no worker decodes"]),
        (SGLANG, ", --disaggregation-mode=prefill", ", --disaggregation-mode=decode", "", []),
        (SGLANG, ", --disaggregation-mode=prefill", "", "", ["declared a decode worker"]),
        (SGLANG, ", --disaggregation-mode=decode", ", --disaggregation-mode=decode", "", ["says --disaggregation-mode decode"]),
        (TRTLLM, ", --extra-engine-args=a.yaml", ", --disaggregation-mode=decode", "", ["declared a prefill worker"]),
        (SGLANG, ", --config=a.yaml", ", --disaggregation-mode=decode", "", []),
    ],
)
def test_a_worker_is_what_its_command_line_says(
    runtime: tuple[str, str], prefill: str, decode: str, env: str, labels: list[str]
) -> None:
    findings = lint(graph(*runtime, prefill, decode, env), "DIS716")
    assert len(findings) == len(labels)
    for finding, label in zip(findings, labels, strict=True):
        assert label in finding.label
        assert finding.severity.label == ("error" if "no worker decodes" in label else "warning")


def test_the_option_is_the_one_of_the_runtime() -> None:
    titles = [
        lint(graph("vllm", f"vllm-runtime:{tag}", "", ""), "DIS716")[0].proposals[0].title for tag in ("0.8.0", "1.1.1", "x")
    ]
    assert titles[0].startswith("start it with --is-prefill-worker")
    assert titles[1].startswith("start it with --disaggregation-mode prefill,")
    assert "before Dynamo 1.0" in titles[2]


@pytest.mark.parametrize(
    ("args", "found"),
    [
        (("--disaggregation-transfer-backend=nixl",), True),
        (("--disaggregation-transfer-backend=nixl", "--disaggregation-mode=null"), True),
        (("--disaggregation-transfer-backend=nixl", "--disaggregation-mode=decode"), False),
        (("--disaggregation-transfer-backend=nixl", "--disaggregation-mode=$MODE"), False),
        (("--disaggregation-transfer-backend=nixl", "--encoder-only"), False),
        (("--disaggregation-ib-device=mlx5_0",), False),  # a storage back end may read it
    ],
)
def test_options_of_a_mode_need_the_mode(manifest: Callable[..., str], args: tuple[str, ...], found: bool) -> None:
    command = '["python3", "-m", "sglang.launch_server"]'
    text = manifest("--model-path=Qwen/Qwen3-8B", *args, image="lmsysorg/sglang:v0.5.10", command=command)
    assert bool(lint(text, "DIS717")) is found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("rc,cuda_copy", True),
        ("cuda_copy,cuda_ipc", True),
        ("rc,tcp", False),
        ("all", False),
        ("^gga", False),
        ("rc,brandnew", False),
    ],
)
def test_a_transport_must_leave_the_host(manifest: Callable[..., str], value: str, found: bool) -> None:
    args = ("--model=Qwen/Qwen3-8B", "--kv-transfer-config", NIXL)
    text = manifest(*args).replace("          env:\n", f"          env:\n            - {{name: UCX_TLS, value: '{value}'}}\n")
    assert bool(lint(text, "DIS720")) is found
    racks = text.replace("NVIDIA-H100-80GB-HBM3", "NVIDIA-GB200")
    assert lint(racks, "DIS720") == []
    assert (
        lint(text.replace("      containers:", "      hostNetwork: true\n      containers:"), "DIS720") == [] or "rc" not in value
    )
    assert lint(text.replace("NixlConnector", "MooncakeConnector"), "DIS720") == []


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("mlxl5_7", "mlx5_7"),
        ("mlx_7", "mlx5_7"),
        ("mxl5_7", "mlx5_7"),
        ("mlx5-7", "mlx5_7"),
        ("mlx6_7", "mlx5_7"),
        ("mlx4_0", None),
        ("mlx5", None),
        ("mlx5_bond_0", None),
        ("bnxt_re0", None),
        ("eth0", None),
        ("ib0", None),
        ("rocep8s0f0", None),
        ("", None),
    ],
)
def test_names_that_are_almost_the_drivers(word: str, meant: str | None) -> None:
    assert _meant(word) == meant


@given(st.integers(0, 999))
def test_no_name_of_the_driver_is_misspelled(number: int) -> None:
    assert _meant(f"mlx5_{number}") is None
    assert _meant(f"mlx{number}") is None


def two(prefill: tuple[str, ...], decode: tuple[str, ...], manifest: Callable[..., str]) -> str:
    def named(text: str, name: str) -> str:
        return text.replace("{name: llm}", f"{{name: {name}}}").replace("{app: llm}", f"{{app: {name}}}")

    transfer = ("--model=Qwen/Qwen3-8B", "--kv-transfer-config")
    ends = [NIXL.replace("kv_both", role) for role in ("kv_producer", "kv_consumer")]
    first = named(manifest(*transfer, ends[0], *prefill), "llm-prefill")
    return first + "---\n" + named(manifest(*transfer, ends[1], *decode), "llm-decode")


EAGLE = ("--speculative-config", """'{"method": "eagle3", "model": "x/y", "num_speculative_tokens": 3}'""")
NGRAM = ("--speculative-config", """'{"method": "ngram", "num_speculative_tokens": 3}'""")


@pytest.mark.parametrize(
    ("prefill", "decode", "found"),
    [
        ((), EAGLE, True),
        (EAGLE, (), True),
        (EAGLE, EAGLE, False),
        ((), NGRAM, False),
        ((), (), False),
        (("--pipeline-parallel-size=2",), EAGLE, False),
        (("--speculative-config=$SPECULATION",), EAGLE, False),
    ],
)
def test_both_pools_draft_or_none(
    manifest: Callable[..., str], prefill: tuple[str, ...], decode: tuple[str, ...], found: bool
) -> None:
    text = two(prefill, decode, manifest)
    assert bool(lint(text, "DIS721")) is found
    assert lint(text.replace("NixlConnector", "LMCacheConnectorV1"), "DIS721") == []


def group(leader: str, worker: str) -> str:
    """A group of two pods whose leader and worker have these further arguments."""
    lines = ["apiVersion: leaderworkerset.x-k8s.io/v1", "kind: LeaderWorkerSet", "metadata: {name: g}", "spec:", "  replicas: 1"]
    lines += ["  leaderWorkerTemplate:", "    size: 2"]
    for key, args in (("leaderTemplate", leader), ("workerTemplate", worker)):
        lines += [
            f"    {key}:",
            "      spec:",
            "        containers:",
            "          - name: e",
            "            image: vllm/vllm-openai:v0.19.1",
        ]
        lines += ["            command: [vllm, serve]", "            args: [Qwen/Qwen3-32B, --tensor-parallel-size=8"]
        lines[-1] += f", --nnodes=2, --node-rank=$(LWS_WORKER_INDEX){args}]"
        lines += ['            resources: {limits: {nvidia.com/gpu: "8"}}']
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("leader", "worker", "flags"),
    [
        (", --max-model-len=8192", ", --max-model-len=8192, --port=9000", []),
        (", --max-model-len=8192", ", --max-model-len=4096", ["--max-model-len"]),
        (", --enforce-eager", "", ["--enforce-eager"]),
        (", --enable-prefix-caching", "", []),  # on by default
        (", --kv-cache-dtype=auto", "", []),  # the default, stated
        (", --kv-cache-dtype=fp8", "", ["--kv-cache-dtype"]),
        (", --max-model-len=$(LWS_WORKER_INDEX)", ", --max-model-len=4096", []),
        (""", --eplb-config={"a": 1}""", """, '--eplb-config={"a":1}'""", []),
    ],
)
def test_the_pods_of_a_group_have_the_same_options(leader: str, worker: str, flags: list[str]) -> None:
    leader = leader.replace("""--eplb-config={"a": 1}""", """'--eplb-config={"a": 1}'""")
    assert [f.identity.split("|")[5] for f in lint(group(leader, worker), "DIS722")] == flags


@pytest.mark.parametrize(
    ("one", "other", "slip"),
    [
        ("lm", "llm", True),
        ("qwen_chat", "qwen-chat", True),
        ("Qwen", "qwen", True),
        ("vllm-0", "vllm-1", False),
        ("router", "vllm", False),
        ("prefill", "decode", False),
        ("mistral-serving", "mistral-servnig", True),
        ("chat-a", "chat-b", True),
    ],
)
def test_labels_that_are_almost_the_same(one: str, other: str, slip: bool) -> None:
    assert _is_slip(one, other) is slip


def service(selector: str, name: str = "chat") -> str:
    return f"---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{{selector}}}, ports: [{{port: 8000}}]}}\n"


@pytest.mark.parametrize(
    ("selector", "name", "found"),
    [
        ("app: llm", "chat", False),
        ("app: llm-chat", "chat", False),  # may be another workload
        ("app: llm-chat", "llm", True),  # the Service is called like this one
        ("app.kubernetes.io/name: llm", "chat", True),
        ("app: lllm", "chat", True),
        ("app: lllm, tier: gpu", "chat", False),
        ("leaderworkerset.sigs.k8s.io/name: llm", "chat", False),
        ("app: '${APP}'", "llm", False),
    ],
)
def test_a_service_that_almost_selects_the_engine(manifest: Callable[..., str], selector: str, name: str, found: bool) -> None:
    text = manifest("--model=Qwen/Qwen3-8B") + service(selector, name)
    findings = lint(text, "K8S615")
    assert bool(findings) is found
    assert all(finding.severity.label == "warning" for finding in findings)
    elsewhere = manifest("--model=Qwen/Qwen3-8B").replace("app: llm", "app: other") + service("app: llm")
    assert lint(elsewhere, "K8S615") == []


def test_two_engines_of_one_file_leave_open_which_is_meant(manifest: Callable[..., str]) -> None:
    other = manifest("--model=Qwen/Qwen3-8B").replace("llm}", "lllm2}")
    assert lint(manifest("--model=Qwen/Qwen3-8B") + "---\n" + other + service("app: lllm"), "K8S615") == []


def compose(*services: tuple[str, str]) -> str:
    """Services with these further lines, each with 0.6 of every GPU that it uses."""
    lines = ["services:"]
    for name, more in services:
        lines += [f"  {name}:", "    image: vllm/vllm-openai:v0.19.1"]
        lines += ["    command: --model Qwen/Qwen3-8B --gpu-memory-utilization 0.6"]
        lines += [f"    {line}" for line in more.split(";") if line]
    return "\n".join(lines) + "\n"


ALL = "deploy: {resources: {reservations: {devices: [{driver: nvidia, capabilities: [gpu]}]}}}"
IDS = "deploy: {{resources: {{reservations: {{devices: [{{driver: nvidia, device_ids: [{0}], capabilities: [gpu]}}]}}}}}}"
CUDA = "environment: {{CUDA_VISIBLE_DEVICES: '{0}'}}"


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (f"{ALL};{CUDA.format(0)}", f"{ALL};{CUDA.format(0)}", True),
        (f"{ALL};{CUDA.format(0)}", f"{ALL};{CUDA.format(1)}", False),
        (f"{ALL};{CUDA.format('${GPU:-0}')}", f"{ALL};{CUDA.format(0)}", True),
        (f"{ALL};{CUDA.format('${GPU}')}", f"{ALL};{CUDA.format(0)}", False),
        (ALL, f"{ALL};{CUDA.format(0)}", True),  # the first GPU
        (IDS.format("'1'"), f"{ALL};{CUDA.format(1)}", True),
        (f"{IDS.format(chr(39) + '2' + chr(39) + ',' + chr(39) + '3' + chr(39))};{CUDA.format(1)}", IDS.format("'3'"), True),
        (f"{ALL};profiles: [a]", ALL, True),
        (f"{ALL};profiles: [a]", f"{ALL};profiles: [b]", False),
        (f"{ALL};profiles: [a, b]", f"{ALL};profiles: [b]", False),  # they may be alternatives
        (ALL, "", False),  # no GPU
    ],
)
def test_services_on_one_gpu(one: str, other: str, found: bool) -> None:
    findings = lint(compose(("one", one), ("other", other)), "MEM408", "compose.yaml")
    assert len(findings) == found
    assert all("ask for 1.2 of GPU" in finding.label for finding in findings)


def test_what_fits_beside_each_other_is_not_said_of_three() -> None:
    three = compose(("a", ALL), ("b", f"{ALL};profiles: [x]"), ("c", f"{ALL};profiles: [x]"))
    [finding] = lint(three, "MEM408", "compose.yaml")
    assert finding.arithmetic == ("0.6 + 0.6 + 0.6 = 1.8",)
