"""Rules on pools that belong together and on objects of several files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import servelint_rules
from servelint import builtin
from servelint.config import Config
from servelint.plugins import Registry
from servelint.run import Session, lint_texts, model_lookup
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.finding import Finding
    from servelint.run import Report

PRODUCER = """'{"kv_connector": "NixlConnector", "kv_role": "kv_producer"}'"""
CONSUMER = """'{"kv_connector": "NixlConnector", "kv_role": "kv_consumer"}'"""


def lint(*files: tuple[str, str], complete: bool = False) -> Report:
    config = Config(complete=complete)
    session = Session(config, Registry([("builtin", builtin), ("rules", servelint_rules)]), model_lookup(config))
    return lint_texts([SourceText(path, text) for path, text in files], session)


def found(report: Report, code: str) -> list[Finding]:
    return [f for f in report.findings if f.code == code]


def named(text: str, name: str) -> str:
    return text.replace("{name: llm}", f"{{name: {name}}}").replace("{app: llm}", f"{{app: {name}}}")


def pair(manifest: Callable[..., str], prefill: str, decode: str) -> tuple[str, str]:
    """A prefill and a decode Deployment of these models, called llm-prefill and llm-decode."""
    return (
        named(manifest(f"--model={prefill}", "--kv-transfer-config", PRODUCER), "llm-prefill"),
        named(manifest(f"--model={decode}", "--kv-transfer-config", CONSUMER), "llm-decode"),
    )


def test_two_files_of_one_directory_are_one_group(manifest: Callable[..., str]) -> None:
    prefill, decode = pair(manifest, "Qwen/Qwen3-0.6B", "Qwen/Qwen3-8B")
    [finding] = found(lint(("a/p.yaml", prefill), ("a/d.yaml", decode)), "DIS702")
    assert (finding.path, finding.severity.label, finding.deployment) == ("a/d.yaml", "error", "llm-decode")
    assert finding.related[0].place.document.source.path == "a/p.yaml"
    assert "their names differ in the role alone" in finding.arithmetic[-1]


def test_two_directories_are_not_mixed(manifest: Callable[..., str]) -> None:
    prefill, decode = pair(manifest, "Qwen/Qwen3-0.6B", "Qwen/Qwen3-8B")
    assert found(lint(("a/p.yaml", prefill), ("b/d.yaml", decode)), "DIS702") == []
    other = pair(manifest, "Qwen/Qwen3-8B", "Qwen/Qwen3-8B")
    files = (("a/p.yaml", other[0]), ("a/d.yaml", other[1]), ("b/p.yaml", prefill))
    assert found(lint(*files), "DIS702") == []


def test_names_that_leave_two_partners_are_no_group(manifest: Callable[..., str]) -> None:
    prefill, decode = pair(manifest, "Qwen/Qwen3-0.6B", "Qwen/Qwen3-8B")
    assert found(lint(("a/p.yaml", prefill), ("a/d.yaml", decode), ("a/d2.yaml", decode)), "DIS702") == []


def test_an_inference_pool_joins_what_it_selects(manifest: Callable[..., str]) -> None:
    prefill, decode = pair(manifest, "Qwen/Qwen3-0.6B", "Qwen/Qwen3-8B")
    prefill = (
        named(prefill, "x").replace("llm-prefill", "first").replace("labels: {app: first}", "labels: {app: first, pool: chat}")
    )
    decode = decode.replace("llm-decode", "second").replace("labels: {app: second}", "labels: {app: second, pool: chat}")
    selecting = "apiVersion: inference.networking.k8s.io/v1\nkind: InferencePool\nmetadata: {name: chat}\nspec: {selector: {matchLabels: {pool: chat}}}\n"
    assert found(lint(("a/p.yaml", prefill), ("a/d.yaml", decode)), "DIS702") == []
    [finding] = found(lint(("a/p.yaml", prefill), ("a/d.yaml", decode), ("a/pool.yaml", selecting)), "DIS702")
    assert "InferencePool chat selects them all" in finding.arithmetic[-1]


def test_two_quantisations_of_one_model_are_one_model(manifest: Callable[..., str]) -> None:
    prefill, decode = pair(manifest, "Qwen/Qwen3-32B", "Qwen/Qwen3-32B-FP8")
    assert found(lint(("a/p.yaml", prefill), ("a/d.yaml", decode)), "DIS702") == []


def test_a_lonely_role_is_only_wrong_where_every_file_is_at_hand(manifest: Callable[..., str]) -> None:
    prefill, decode = pair(manifest, "Qwen/Qwen3-8B", "Qwen/Qwen3-8B")
    assert found(lint(("a/p.yaml", prefill)), "DIS703") == []
    [finding] = found(lint(("a/p.yaml", prefill), complete=True), "DIS703")
    assert "has a decode instance" in finding.label
    assert found(lint(("a/p.yaml", prefill), ("b/d.yaml", decode), complete=True), "DIS703") == []


def test_one_end_of_a_transfer(manifest: Callable[..., str]) -> None:
    prefill, decode = pair(manifest, "Qwen/Qwen3-8B", "Qwen/Qwen3-8B")
    bare = named(manifest("--model=Qwen/Qwen3-8B"), "llm-prefill")
    assert found(lint(("a/p.yaml", prefill), ("a/d.yaml", decode)), "DIS703") == []
    assert found(lint(("a/p.yaml", bare), ("a/d.yaml", decode)), "DIS703") == [], "its role does not show"


AUTOSCALER = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: scaler}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: NAME}
  maxReplicas: 4
"""


def test_an_autoscaler_without_target_is_only_wrong_where_every_file_is_at_hand(manifest: Callable[..., str]) -> None:
    files = (("a/llm.yaml", manifest("--model=Qwen/Qwen3-8B")), ("a/s.yaml", AUTOSCALER.replace("NAME", "lm")))
    assert found(lint(*files), "K8S615") == []
    [finding] = found(lint(*files, complete=True), "K8S615")
    assert (finding.path, finding.severity.label) == ("a/s.yaml", "error")
    assert "no file of the run defines a Deployment lm" in finding.label


def test_a_service_without_pods_is_only_wrong_where_every_file_is_at_hand(manifest: Callable[..., str]) -> None:
    service = (
        "---\napiVersion: v1\nkind: Service\nmetadata: {name: chat}\nspec: {selector: {app: LABEL}, ports: [{port: 8000}]}\n"
    )
    text = manifest("--model=Qwen/Qwen3-8B")
    assert found(lint(("a/llm.yaml", text + service.replace("LABEL", "router"))), "K8S615") == []
    [finding] = found(lint(("a/llm.yaml", text + service.replace("LABEL", "router")), complete=True), "K8S615")
    assert "no pod of the run has the labels app=router" in finding.label
    assert found(lint(("a/llm.yaml", text + service.replace("LABEL", "llm")), complete=True), "K8S615") == []
    jobs = "apiVersion: jobset.x-k8s.io/v1alpha2\nkind: JobSet\nmetadata: {name: llm}\nspec: {replicatedJobs: [{name: a, template: {spec: %s}}]}\n"
    pod = "{template: {metadata: {labels: {app: llm}}, spec: {containers: [{name: a, image: 'vllm/vllm-openai:v0.19.1', args: [--model, a/b]}]}}}"
    assert found(lint(("a/llm.yaml", jobs % pod + service.replace("LABEL", "llm")), complete=True), "K8S615") == []
    assert len(found(lint(("a/llm.yaml", jobs % pod + service.replace("LABEL", "else")), complete=True), "K8S615")) == 1
    given = service.replace("app: LABEL", "job-name: llm-a-0")  # by the controller of Jobs
    assert given != service
    assert found(lint(("a/llm.yaml", jobs % pod + given), complete=True), "K8S615") == []


def test_a_claim_of_another_file_is_counted_over_all_its_users(manifest: Callable[..., str]) -> None:
    claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: cache}\nspec: {accessModes: [ReadWriteOnce]}\n"
    volume = "      volumes: [{name: cache, persistentVolumeClaim: {claimName: cache}}]\n"
    one, two = (named(manifest("--model=Qwen/Qwen3-8B") + volume, name) for name in ("one", "two"))
    assert found(lint(("a/one.yaml", one), ("a/claim.yaml", claim)), "K8S605") == []
    [finding] = found(lint(("a/one.yaml", one), ("a/two.yaml", two), ("a/claim.yaml", claim)), "K8S605")
    assert "2 pods of 2 workloads" in finding.label
    assert finding.severity.label == "warning"
    assert found(lint(("a/one.yaml", one), ("b/two.yaml", two), ("a/claim.yaml", claim), ("b/claim.yaml", claim)), "K8S605") == []


def test_an_autoscaler_means_the_nearest_object_of_its_name(manifest: Callable[..., str]) -> None:
    text = manifest("--model=Qwen/Qwen3-8B")
    scaler = AUTOSCALER.replace("NAME", "llm")
    files = (("s/a/llm.yaml", text), ("s/a/scaler.yaml", scaler), ("s/b/llm.yaml", text), ("t/llm.yaml", text))
    assert [f.path for f in found(lint(*files), "K8S615")] == ["s/a/llm.yaml"]


def test_several_autoscalers_of_one_engine_are_one_finding(manifest: Callable[..., str]) -> None:
    text = manifest("--model=Qwen/Qwen3-8B")
    scalers = [(f"a/{name}.yaml", AUTOSCALER.replace("NAME", "llm").replace("scaler}", f"{name}}}")) for name in ("x", "y")]
    [finding] = found(lint(("a/llm.yaml", text), *scalers), "K8S615")
    assert "x (and 1 other autoscaler) made of it" in finding.label
    assert len(finding.related) == 2
