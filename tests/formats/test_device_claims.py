"""Devices that pods claim through dynamic resource allocation: what is counted, which accelerator is meant, and what stays open."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import pytest

from format_reading import written
from servelint.config import Config
from servelint.facts import Fact, FactState
from servelint.formats.device_selectors import parsed, selection
from servelint.run import lint_texts, open_session
from servelint.source.nodes import Document, ScalarNode
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from typing import Any

    from servelint.deployment import Pool

PRODUCT = "device.attributes['gpu.nvidia.com'].productName"
PROFILE = "device.attributes['gpu.nvidia.com'].profile"
MEMORY = "device.capacity['gpu.nvidia.com'].memory"
H100 = f"{PRODUCT} == 'NVIDIA H100 80GB HBM3'"

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: llm}
spec:
  nodeSelector: {NODES}
  resourceClaims: [CLAIMS]
  containers:
    - name: engine
      image: vllm/vllm-openai:v0.19.1
      args: [--model=Qwen/Qwen3-8B]
      resources: {claims: [USED]}
"""


def claim(name: str, *requests: str, api: str = "v1", kind: str = "ResourceClaimTemplate") -> str:
    spec = f"{{devices: {{requests: [{', '.join(requests)}]}}}}"
    spec = f"{{spec: {spec}}}" if kind == "ResourceClaimTemplate" else spec
    return f"---\napiVersion: resource.k8s.io/{api}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"


def request(*expressions: str, name: str = "gpu", of: str = "gpu.nvidia.com", more: str = "", exactly: bool = True) -> str:
    selectors = ", ".join(f'{{cel: {{expression: "{expression}"}}}}' for expression in expressions)
    inner = f"deviceClassName: {of}, selectors: [{selectors}]{more}"
    return f"{{name: {name}, exactly: {{{inner}}}}}" if exactly else f"{{name: {name}, {inner}}}"


def device_class(name: str, expression: str) -> str:
    return (
        f"---\napiVersion: resource.k8s.io/v1\nkind: DeviceClass\nmetadata: {{name: {name}}}\n"
        f'spec: {{selectors: [{{cel: {{expression: "{expression}"}}}}]}}\n'
    )


def pool(
    *objects: str, nodes: str = "", claims: str = "{name: a, resourceClaimTemplateName: a}", used: str = "{name: a}"
) -> Pool:
    text = POD.replace("NODES", nodes).replace("CLAIMS", claims).replace("USED", used) + "".join(objects)
    report = lint_texts([SourceText("llm.yaml", text)], open_session(Config(select=("DOC101",))))
    [deployment] = report.deployments
    return deployment.pools[0]


def names(fact: Fact[Any]) -> list[str]:
    return [value.name for value in fact.values]


@pytest.mark.parametrize("api", ["v1alpha3", "v1beta1", "v1beta2", "v1"])
def test_a_product_is_read_where_it_is_compared(api: str) -> None:
    exactly = api not in {"v1alpha3", "v1beta1"}
    found = pool(claim("a", request(f"has({PRODUCT}) && {H100}", more=", count: 4", exactly=exactly), api=api))
    assert names(found.accelerator) == ["H100-SXM5-80GB"]
    assert written(found.accelerator) == H100
    assert found.gpus_per_node.value == 4
    assert written(found.gpus_per_node) == "4"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (f"{PRODUCT} == 'H100'", ["H100-SXM5-80GB", "H100-PCIE-80GB", "H100-NVL-94GB"]),
        (f"{PRODUCT} in ['NVIDIA L4', 'NVIDIA L40S']", ["L4", "L40S"]),
        (f"{PRODUCT}.lowerAscii().matches('^.*a100.*$') && {MEMORY}.isGreaterThan(quantity('40Gi'))",
         ["A100-SXM4-80GB", "A100-PCIE-80GB"]),
        (f"{PRODUCT}.contains('A100') && {MEMORY}.compareTo(quantity('60Gi')) < 0", ["A100-SXM4-40GB", "A100-PCIE-40GB"]),
        (f"({PRODUCT}.matches('H200') || {PRODUCT}.matches('MI300X'))", ["H200-SXM-141GB", "H200-NVL-141GB"]),
        (f"{PRODUCT}.matches('NVIDIA (H200|B200).*')", ["H200-SXM-141GB", "H200-NVL-141GB", "B200"]),
        (f"{PRODUCT}.startsWith('NVIDIA L40') && !{PRODUCT}.contains('L40S')", ["L40"]),
        ("device.attributes['gpu.nvidia.com'].?productName.orValue('') == 'NVIDIA B200'", ["B200"]),
        (f"{PRODUCT} == 'NVIDIA L4' && device.attributes['gpu.nvidia.com'].architecture == 'Ada Lovelace'", ["L4"]),
    ],
)  # fmt: skip
def test_what_the_selector_does_not_refuse_are_alternatives(expression: str, expected: list[str]) -> None:
    assert names(pool(claim("a", request(expression))).accelerator) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "device.attributes['gpu.nvidia.com'].architecture == 'Hopper'",
        f"{MEMORY}.compareTo(quantity('80Gi')) >= 0",
        f"{PRODUCT} != 'Tesla T4'",
        f"!{PRODUCT}.contains('T4')",
        f"{H100} || device.attributes['gpu.nvidia.com'].index == 0",
        "device.attributes['gpu.nvidia.com'].brand == 'Nvidia'",
        f"has({PRODUCT}) && 'productName' in device.attributes['gpu.nvidia.com']",
    ],
)
def test_conditions_that_name_no_product_leave_it_open(expression: str) -> None:
    found = pool(claim("a", request(expression)))
    assert found.accelerator.reason == "the manifest names no GPU type"  # so that default_accelerator may say it
    assert found.gpus_per_node.value == 1


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        (f"{PRODUCT}.matches('H[12]00')", "not understood"),
        (f"true ? {H100} : false", "not understood"),
        (f"['H100'].exists(p, {PRODUCT}.contains(p))", "not understood"),
        (f"{'(' * 60}{H100}{')' * 60}", "not understood"),
        (f"{PRODUCT} == 'NVIDIA RTX A2000'", "no accelerator of the catalogue satisfies"),
        (f"{H100} && {MEMORY}.compareTo(quantity('100Gi')) > 0", "no accelerator of the catalogue satisfies"),
        ("device.attributes['gpu.nvidia.com'].type == 'mig'", "a MIG slice of any size"),
        (f"{PROFILE} == '1g.10gb'", "a MIG slice 1g.10gb of any GPU"),
    ],
)
def test_what_is_not_certain_is_unknown_with_the_reason(expression: str, reason: str) -> None:
    fact = pool(claim("a", request(expression))).accelerator
    assert fact.state is FactState.UNKNOWN
    assert reason in fact.reason


def test_a_slice_is_one_of_the_gpu_that_the_claim_or_the_node_names() -> None:
    both = pool(claim("a", request(f"{PROFILE} == '1g.10gb' && {H100}", of="mig.nvidia.com")))
    assert names(both.accelerator) == ["H100-SXM5-80GB MIG 1g.10gb"]
    assert both.gpus_per_node.state is FactState.UNKNOWN
    assert "parts of a GPU" in both.gpus_per_node.reason
    profile = claim("a", request(f"{PROFILE} in ['2g.20gb', '3g.40gb']", of="mig.nvidia.com"))
    found = pool(profile, nodes="nvidia.com/gpu.product: NVIDIA-A100-SXM4-80GB")
    assert names(found.accelerator) == ["A100-SXM4-80GB MIG 2g.20gb", "A100-SXM4-80GB MIG 3g.40gb"]


def test_node_selector_and_claim_hold_together() -> None:
    wanted = claim("a", request(f"{PRODUCT}.contains('H100')"))
    assert names(pool(wanted, nodes="nvidia.com/gpu.product: NVIDIA-H100-PCIe").accelerator) == ["H100-PCIE-80GB"]
    conflict = pool(wanted, nodes="nvidia.com/gpu.product: NVIDIA-L4").accelerator
    assert conflict.state is FactState.CONFLICT
    assert conflict.reason == "the nodes have L4, and the claim asks for H100-SXM5-80GB"
    unread = pool(claim("a", request(f"{PRODUCT}.matches('H[12]00')")), nodes="nvidia.com/gpu.product: NVIDIA-L4")
    assert names(unread.accelerator) == ["L4"]


def test_a_class_of_ones_own_counts_where_it_says_that_it_has_whole_gpus() -> None:
    wanted = claim("a", request(of="fast-gpu", more=", count: 2"))
    whole = f"device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'gpu' && {H100}"
    found = pool(wanted, device_class("fast-gpu", whole))
    assert (found.gpus_per_node.value, names(found.accelerator)) == (2, ["H100-SXM5-80GB"])
    found = pool(wanted, device_class("fast-gpu", f"device.driver == 'gpu.nvidia.com' && {H100}"))
    assert names(found.accelerator) == ["H100-SXM5-80GB"]
    assert found.gpus_per_node.reason == "the DeviceClass fast-gpu does not say that its devices are whole GPUs"
    found = pool(wanted)
    assert found.gpus_per_node.reason == "the DeviceClass fast-gpu is not at hand"


def test_the_first_that_is_there_is_one_of_the_alternatives() -> None:
    one = request(f"{PRODUCT} == 'NVIDIA L40S'", name="x", exactly=False)
    two = request(f"{PRODUCT} == 'NVIDIA L4'", name="y", exactly=False, more=", count: 2")
    found = pool(claim("a", f"{{name: gpu, firstAvailable: [{one}, {two}]}}"))
    assert names(found.accelerator) == ["L40S", "L4"]
    assert found.gpus_per_node.values == (1, 2)
    any_other = request(name="y", exactly=False)
    found = pool(claim("a", f"{{name: gpu, firstAvailable: [{one}, {any_other}]}}"))
    assert found.accelerator.state is FactState.UNKNOWN
    assert found.gpus_per_node.value == 1


def test_the_container_gets_what_it_names_and_requests_add_up() -> None:
    two = claim("a", request(H100, name="x", more=", count: 2"), request(H100, name="y", more=", count: 4"))
    assert pool(two).gpus_per_node.value == 6
    assert pool(two, used="{name: a, request: y}").gpus_per_node.value == 4
    mixed = claim("a", request(H100, name="x"), request(f"{PRODUCT} == 'NVIDIA L4'", name="y"))
    assert pool(mixed).accelerator.state is FactState.UNKNOWN


def test_claims_of_the_network_are_not_gpus() -> None:
    network = claim("b", request(name="nic", of="dranet", more=", count: 8"))
    claims = "{name: a, resourceClaimTemplateName: a}, {name: b, resourceClaimTemplateName: b}"
    found = pool(claim("a", request(more=", count: 8")), network, claims=claims, used="{name: a}, {name: b}")
    assert found.gpus_per_node.value == 8
    missing = pool(claim("a", request(more=", count: 8")), claims=claims, used="{name: a}, {name: b}")
    assert missing.gpus_per_node.state is FactState.UNKNOWN  # what is not at hand may ask for more of them


def test_a_claim_itself_belongs_to_all_pods_that_name_it() -> None:
    shared = claim("a", request(H100, more=", count: 2"), kind="ResourceClaim")
    found = pool(shared, claims="{name: a, resourceClaimName: a}")
    assert (found.gpus_per_node.value, names(found.accelerator)) == (2, ["H100-SXM5-80GB"])
    deployment = POD.replace("NODES", "").replace("CLAIMS", "{name: a, resourceClaimName: a}").replace("USED", "{name: a}")
    body = deployment.partition("spec:\n")[2].replace("\n", "\n    ")
    head = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: llm}\nspec:\n  replicas: 2\n  selector: {}\n"
    text = f"{head}  template:\n    spec:\n    {body.rstrip()}\n{shared}"
    [read] = lint_texts([SourceText("llm.yaml", text)], open_session(Config(select=("DOC101",)))).deployments
    assert read.pools[0].gpus_per_node.reason == "all pods share the devices of one ResourceClaim"


@pytest.mark.parametrize("more", [", allocationMode: All", ", count: many", ", count: 0"])
def test_counts_that_are_none(more: str) -> None:
    assert pool(claim("a", request(H100, more=more))).gpus_per_node.state is FactState.UNKNOWN


def test_hostile_expressions_end_soon() -> None:
    for text in (
        "(" * 1000,
        "!" * 1900,
        f"{PRODUCT} in [" + " " * 1900,
        "a && " * 390,
        f"{PRODUCT}.matches('" + ".*a" * 600 + "')",
    ):
        assert parsed(text).holds is not None
        assert parsed(text * 40).kind == "one"


def test_a_place_in_a_block_scalar_is_the_comparison() -> None:
    source = SourceText("a.yaml", f"e: |\n  true &&\n    {H100}\n")
    document = read_text(source).documents[0]
    node = document.root.get("e") if document.root is not None else None
    assert isinstance(document, Document)
    assert isinstance(node, ScalarNode)
    place = selection([(document, node, node.text)]).place
    assert place is not None
    assert source.text[place.span.start : place.span.end] == H100


def test_many_claims_of_one_file_are_not_asked_one_by_one() -> None:
    count = 1500
    parts = [claim(f"c{number}", request(more=f", count: {number % 4 + 1}")) for number in range(count)]
    for number in range(count):
        pod = POD.replace("NODES", "").replace("USED", "{name: g}").replace("name: llm", f"name: l{number}")
        parts.append("---\n" + pod.replace("CLAIMS", f"{{name: g, resourceClaimTemplateName: c{number}}}"))
    begin = perf_counter()
    report = lint_texts([SourceText("a.yaml", "".join(parts))], open_session(Config(select=("DOC101",))))
    found = [deployment.pools[0].gpus_per_node.value for deployment in report.deployments]
    assert found == [number % 4 + 1 for number in range(count)]
    assert perf_counter() - begin < 5  # one second where nothing else runs; ten and more where each pod asks every claim
