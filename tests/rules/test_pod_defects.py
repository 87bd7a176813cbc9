"""Rules about pods that look beyond the container: names, images, storage, volumes, tolerations and what asks a router."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from servelint.finding import Certainty, Severity
from servelint.run import lint_texts
from servelint.source.text import SourceText
from servelint_rules import block_storage, host_dns, image_references, tolerations

if TYPE_CHECKING:
    from servelint.finding import Finding
    from servelint.run import Session

ARGS = "args: [--model=Qwen/Qwen3-8B]"


def pod(container: str, *, spec: str = "", gpus: int = 1, image: str = "vllm/vllm-openai:v0.19.1") -> str:
    """A Deployment around one container, given as flow-style entries; ``spec``: further entries of the pod."""
    return (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n"
        "spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, "
        f"spec: {{{spec}containers: [{{name: engine, image: '{image}', {container}, "
        f"resources: {{limits: {{nvidia.com/gpu: {gpus}}}}}}}]}}}}}}\n"
    )


def findings(text: str, session: Session, code: str) -> list[Finding]:
    return [f for f in lint_texts([SourceText("deploy.yaml", text)], session).findings if f.code == code]


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("master:5000", True), ("master-0.master:5000", True), ("master.default.svc.cluster.local:5000", True),
        ("http://master/v1", True), ("http://master:80", True), ("master.ns.svc", True), ("tcp://master-1.master.ns:1,x", True),
        ("a:1,master:2", True), ("master", False), ("my-master:5000", False), ("master-of:5000", False), ("/models/master:1", False),
        ("webmaster.com:80", False), ('{"a": "master"}', False), ("master:latest", False),
    ],
)  # fmt: skip
def test_what_names_a_host(text: str, host: bool) -> None:
    assert host_dns._is_host(text, "master") is host


HOST = "hostNetwork: true, "
SERVICE = "---\napiVersion: v1\nkind: Service\nmetadata: {name: leader}\nspec: {selector: {a: b}, ports: [{port: 1}]}\n"
NAMED = "args: [--model=Qwen/Qwen3-8B, --data-parallel-address=%s]"


@pytest.mark.parametrize(
    ("container", "spec", "found"),
    [
        (NAMED % "http://leader:1", HOST, True),
        (NAMED % "http://leader:1", f"{HOST}dnsPolicy: ClusterFirst, ", True),
        (NAMED % "http://leader:1", f"{HOST}dnsPolicy: ClusterFirstWithHostNet, ", False),
        (NAMED % "http://leader:1", f"{HOST}dnsConfig: {{nameservers: [10.0.0.10]}}, ", False),
        (NAMED % "http://leader:1", f"{HOST}hostAliases: [{{ip: 10.0.0.9, hostnames: [leader]}}], ", False),
        (NAMED % "http://leader:1", "", False),
        (NAMED % "$(LWS_LEADER_ADDRESS)", HOST, True),
        (NAMED % "$(POD_IP)", HOST, False),
        (f"{ARGS}, env: [{{name: MASTER, value: 'leader:1'}}]", HOST, True),
    ],
)
def test_who_asks_the_wrong_dns(container: str, spec: str, found: bool, session: Session) -> None:
    assert bool(findings(pod(container, spec=spec) + SERVICE, session, "K8S634")) is found


@pytest.mark.parametrize(
    ("reference", "fault"),
    [
        ("vllm/vllm-openai:v0.19.1", ""), ("vllm-openai", ""), ("localhost/vllm:1", ""), ("reg.io:5000/a/b:1", ""), ("a__b/c-d.e:1", ""),
        (f"a/b:1@sha256:{'0' * 64}", ""), ("a/b@sha256:12", "digest"), ("a/b@", "digest"), ("a/b:1:2", "two tags"), ("a/b:", "empty"),
        ("a/b:v1+cu12", "no tag"), ("a/b:-1", "no tag"), ("reg.io/Qwen/vllm:1", "lower case"), ("a//b:1", "empty part"),
        ("a/b-:1", "no part"), ("a___b:1", "no part"), ("YOUR_REPO/vllm:TAG", ""), ("MyRegistry/vllm:1", ""), ("reg.io/myImage:1", ""),
        ("$IMAGE", ""), ("{{ image }}", ""), ("<registry>/vllm:1:2", ""), ("", ""), ("auto", ""),
        ("a:" + "x" * 128, ""), ("a:" + "x" * 129, "no tag"),
    ],
)  # fmt: skip
def test_references(reference: str, fault: str) -> None:
    said = image_references.fault_of(reference)
    assert fault in said
    assert bool(said) is bool(fault)


@given(st.from_regex(r"\A([a-z0-9]+(\.|__?|-+))*[a-z0-9]+(:\w[\w.-]{0,20})?\Z", fullmatch=True))
def test_the_grammar_is_valid(reference: str) -> None:
    assert not image_references.fault_of(reference) or not reference.isascii()


def claim(name: str, modes: str, more: str = "", *, defined: str = "") -> str:
    made = f"---\napiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {{name: {name}}}\nprovisioner: {defined}\n"
    return (
        f"---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: c}}\n"
        f"spec: {{storageClassName: {name}, accessModes: {modes}{more}}}\n{made if defined else ''}"
    )


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        (claim("gp3", "[ReadWriteMany]"), Severity.WARNING),
        (claim("gp3", "[ReadWriteOnce]"), None),
        (claim("gp3", "[ReadWriteOnce, ReadWriteMany]"), None),
        (claim("gp3", "[ReadWriteMany]", ", volumeMode: Block"), None),
        (claim("models", "[ReadWriteMany]"), None),
        (claim("models", "[ReadWriteMany]", defined="ebs.csi.aws.com"), Severity.ERROR),
        (claim("models", "[ReadWriteMany]", defined='"pd.csi.storage.gke.io"'), Severity.ERROR),
        (claim("gp3", "[ReadWriteMany]", defined="efs.csi.aws.com"), None),  # the name is not what it usually is
        (claim("models", "[ReadOnlyMany]", defined="pd.csi.storage.gke.io"), None),
    ],
)
def test_which_storage_one_node_mounts(text: str, severity: Severity | None, session: Session) -> None:
    found = findings(pod(ARGS) + text, session, "K8S636")
    assert [f.severity for f in found] == ([] if severity is None else [severity])
    assert all(f.certainty is (Certainty.PROVEN if severity is Severity.ERROR else Certainty.HEURISTIC) for f in found)


def test_every_class_has_a_known_kind_of_storage() -> None:
    assert set(block_storage._CLASSES.values()) <= set(block_storage._PROVISIONERS.values())


SHM = "volumes: [{name: shm, emptyDir: {medium: Memory}}], "


@pytest.mark.parametrize(
    ("gpus", "args", "code"),
    [(1, ARGS, "K8S637"), (2, "args: [--model=Qwen/Qwen3-8B, --tensor-parallel-size=2]", "K8S601")],
)
def test_a_forgotten_mount_is_one_finding(gpus: int, args: str, code: str, session: Session) -> None:
    text = pod(args, spec=SHM, gpus=gpus)
    assert [c for c in ("K8S601", "K8S637") if findings(text, session, c)] == [code]


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("nvidia/gpu", True), ("nvidia.io/gpu", True), ("nvidia.com/gpus", True), ("nvida.com/gpu", True), ("nvidia.com.gpu", True),
        ("nvidia.com/gpu.product", False), ("nvidia.com/mig", False), ("gpu", False), ("dedicated", False), ("amd.com/gpu", False),
        ("sku", False), ("nvidia.com/gpu-driver", False),
    ],
)  # fmt: skip
def test_keys_near_the_taint(key: str, near: bool) -> None:
    assert tolerations._is_near(key, "nvidia.com/gpu") is near


@pytest.mark.parametrize(
    ("mask", "gpus", "severity"),
    [
        ("0", 1, None), ("1", 1, Severity.WARNING), ("2", 1, Severity.ERROR), ("0.1", 1, None), ("0,1", 2, None),
        ("2,3", 2, Severity.WARNING), ("4,5", 2, Severity.ERROR), ("all", 1, None),
    ],
)  # fmt: skip
def test_masks_of_intels_gpus(mask: str, gpus: int, severity: Severity | None, session: Session) -> None:
    serve = "command: [vllm, serve, Qwen/Qwen3-8B]"
    text = pod(f"{serve}, env: [{{name: ZE_AFFINITY_MASK, value: '{mask}'}}]", image="intel/vllm:0.10.2-xpu", gpus=gpus)
    found = findings(text.replace("nvidia.com/gpu", "gpu.intel.com/xe"), session, "K8S628")
    assert [f.severity for f in found] == ([] if severity is None else [severity])


@pytest.mark.parametrize(
    ("env", "found"),
    [
        ("{name: A, value: '${A}:/b'}", True), ("{name: A, value: '${A}'}", False), ("{name: A, value: '$(A):/b'}", False),
        ("{name: B, value: b}, {name: A, value: 'a/${B}'}", True), ("{name: A, value: 'a/${B}'}", False),
        ("{name: B, value: b}, {name: A, value: 'a/$B/${C}'}", False),
    ],
)  # fmt: skip
def test_variables_in_the_environment(env: str, found: bool, session: Session) -> None:
    assert bool(findings(pod(f"{ARGS}, env: [{env}]"), session, "CLI118")) is found


def test_an_environment_that_a_shell_evaluates(session: Session) -> None:
    text = pod("command: [sh, -c, 'A=$(eval echo $A); vllm serve Qwen/Qwen3-8B'], env: [{name: A, value: '${A}:/b'}]")
    assert not findings(text, session, "CLI118")


@pytest.mark.parametrize(
    ("key", "found"),
    [("labels: {a: b}", True), ("replicas: 2", True), ("Spec: {}", True), ("x-notes: a", False), ("status: {}", False)],
)
def test_keys_of_the_object(key: str, found: bool, session: Session) -> None:
    assert bool(findings(f"{key}\n{pod(ARGS)}", session, "K8S626")) is found


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("[curl, 'localhost:8000/health']", True), ("[sh, -c, 'wget -q http://127.0.0.1:8000/health']", True),
        ("[curl, 'localhost:8001/health']", False), ("[cat, /tmp/ready]", False), ("[curl, 'localhost:8000/live']", False),
    ],
)  # fmt: skip
def test_probes_that_are_commands(command: str, found: bool, session: Session) -> None:
    text = pod(f"{ARGS}, livenessProbe: {{exec: {{command: {command}}}, initialDelaySeconds: 20}}")
    assert bool(findings(text, session, "K8S602")) is found


@pytest.mark.parametrize(("timeout", "found"), [("600", False), ("601", True), ("$(T)", False)])
def test_the_budget_against_the_engines_own(timeout: str, found: bool, session: Session) -> None:
    probe = "startupProbe: {httpGet: {path: /health, port: 8000}, failureThreshold: 60}"
    text = pod(f"{ARGS}, env: [{{name: VLLM_ENGINE_READY_TIMEOUT_S, value: '{timeout}'}}], {probe}")
    assert bool(findings(text, session, "K8S603")) is found


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("", True), ("nodeSelector: {cloud.google.com/compute-class: Accelerator}, ", False),
        ("nodeSelector: {karpenter.sh/nodepool: gpu}, ", False), ("nodeSelector: {cloud.google.com/gke-nodepool: gpu}, ", True),
        ("nodeSelector: {cloud.google.com/compute-class: A, kubernetes.io/hostname: n1}, ", True),
    ],
)  # fmt: skip
def test_nodes_made_on_demand(spec: str, found: bool, session: Session) -> None:
    assert bool(findings(pod(ARGS, spec=spec, gpus=8), session, "K8S604")) is found
