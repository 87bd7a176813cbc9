"""Names that connect the files of one run: which object is meant, what follows from it, and what a fix is verified against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import servelint_rules
from servelint import builtin
from servelint.config import Config
from servelint.fixes.apply import fix_all
from servelint.fixes.verify import with_fixes
from servelint.plugins import Registry
from servelint.run import Session, lint_again, lint_paths, lint_texts, model_lookup
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from servelint.deployment import Pool
    from servelint.run import Report

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      containers:
        - name: engine
          image: vllm/vllm-openai:v0.19.1
          args: [--model=Qwen/Qwen3-8B, ARGS]
          resources: {RESOURCES}
          volumeMounts: [{name: c, mountPath: /etc/vllm}]
      volumes: [{name: c, configMap: {name: settings}}]
"""
CONFIG = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data:
  serve.yaml: "max-model-len: LENGTH"
"""
SCALER = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: scaler}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: llm}
  minReplicas: 2
  maxReplicas: MOST
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: vllm
spec:
  selector: {app: llm}
  ports: [{port: 8000}]
"""


def session(**settings: object) -> Session:
    config = Config(**settings)  # type: ignore[arg-type]  # names of its fields
    return Session(config, Registry([("builtin", builtin), ("rules", servelint_rules)]), model_lookup(config))


def deployment(name: str = "llm", *args: str, resources: str = "limits: {nvidia.com/gpu: 1}") -> str:
    written = ", ".join(args) or "--port=8000"
    return DEPLOYMENT.replace("NAME", name).replace("ARGS", written).replace("RESOURCES", resources)


def lint(files: Mapping[str, str], beside: Mapping[str, str] | None = None, **settings: object) -> Report:
    others = [SourceText(path, text) for path, text in (beside or {}).items()]
    return lint_texts([SourceText(path, text) for path, text in files.items()], session(**settings), others)


def pool(report: Report, path: str) -> Pool:
    [found] = [d for d in report.deployments if d.document.source.path == path]
    return found.pools[0]


CONFIGURED = deployment("llm", "--config=/etc/vllm/serve.yaml")


def length(files: Mapping[str, str], path: str = "app/llm.yaml") -> int | None:
    return pool(lint(files), path).max_model_len.get(None)


def test_a_mounted_file_may_stand_in_another_file_of_the_directory() -> None:
    files = {"app/llm.yaml": CONFIGURED, "app/settings.yaml": CONFIG.replace("LENGTH", "4096")}
    fact = pool(lint(files), "app/llm.yaml").max_model_len
    assert fact.value == 4096
    assert fact.place is not None
    assert fact.place.document.source.path == "app/settings.yaml"


def test_a_configuration_that_another_file_reads_is_judged_there_alone() -> None:
    config = CONFIG.replace(
        '"max-model-len: LENGTH"',
        '"max-model-len: 4096\\nmax-num-sqs: 4\\ngpu-memory-utilization: 0.8\\ntensor-parallel-size: 1"',
    )
    files = {"app/settings.yaml": config, "app/llm.yaml": CONFIGURED}
    report = lint(files)
    assert [(d.name, d.format) for d in report.deployments] == [("llm", "kubernetes")]
    [finding] = [f for f in report.findings if f.code == "CLI101"]
    assert (finding.path, finding.deployment) == ("app/settings.yaml", "llm")
    assert not [n for n in report.not_checked if n.path == "app/settings.yaml"]
    alone = lint({**files, "app/llm.yaml": deployment("llm")})
    assert [(d.name, d.format) for d in alone.deployments] == [("settings/serve.yaml", "engine-config"), ("llm", "kubernetes")]


def test_a_comment_covers_what_a_deployment_of_another_file_finds() -> None:
    config = CONFIG.replace('"max-model-len: LENGTH"', "|\n    max-model-len: 4096\n    max-num-sqs: 4\n")
    covered = config.replace("serve.yaml:", "# servelint: ignore[CLI101] we know\n  serve.yaml:")
    for beside in (False, True):
        for text, found in ((config, ["CLI101"]), (covered, [])):
            other = {"app/settings.yaml": text}
            report = lint({"app/llm.yaml": CONFIGURED}, other) if beside else lint({"app/llm.yaml": CONFIGURED, **other})
            assert [f.code for f in report.findings if f.code in {"CLI101", "DOC104"}] == found


def test_the_own_file_comes_first() -> None:
    own = CONFIGURED + "---\n" + CONFIG.replace("LENGTH", "1024")
    assert length({"app/llm.yaml": own, "app/settings.yaml": CONFIG.replace("LENGTH", "4096")}) == 1024


def test_of_two_directories_the_nearer_one_is_meant() -> None:
    files = {
        "team/a/llm.yaml": CONFIGURED,
        "team/b/settings.yaml": CONFIG.replace("LENGTH", "2048"),
        "other/settings.yaml": CONFIG.replace("LENGTH", "4096"),
    }
    assert length(files, "team/a/llm.yaml") == 2048


def test_directories_that_share_only_the_top_of_the_run_are_two_projects() -> None:
    files = {"all/a/llm.yaml": CONFIGURED, "all/b/settings.yaml": CONFIG.replace("LENGTH", "2048")}
    assert length(files, "all/a/llm.yaml") is None
    assert length({**files, "other.yaml": SERVICE}, "all/a/llm.yaml") == 2048, "now they share a directory below the top"


def test_an_object_above_or_below_is_meant() -> None:
    settings = CONFIG.replace("LENGTH", "2048")
    assert length({"all/a/llm.yaml": CONFIGURED, "all/settings.yaml": settings}, "all/a/llm.yaml") == 2048
    assert length({"all/llm.yaml": CONFIGURED, "all/a/settings.yaml": settings}, "all/llm.yaml") == 2048


def test_two_that_are_equally_near_are_none() -> None:
    files = {
        "team/a/llm.yaml": CONFIGURED,
        "team/b/settings.yaml": CONFIG.replace("LENGTH", "2048"),
        "team/c/settings.yaml": CONFIG.replace("LENGTH", "4096"),
    }
    assert length(files, "team/a/llm.yaml") is None


def test_an_object_of_another_namespace_is_not_meant() -> None:
    files = {
        "app/llm.yaml": CONFIGURED.replace("{name: llm}", "{name: llm, namespace: production}"),
        "app/settings.yaml": CONFIG.replace("LENGTH", "4096").replace("{name: settings}", "{name: settings, namespace: staging}"),
    }
    assert length(files) is None


def test_a_file_that_is_read_for_its_objects_only_answers_too() -> None:
    report = lint({"app/llm.yaml": CONFIGURED}, {"app/settings.yaml": CONFIG.replace("LENGTH", "4096")})
    assert pool(report, "app/llm.yaml").max_model_len.value == 4096
    assert (report.files, report.documents) == (1, 1)


def test_a_broken_file_beside_is_none_of_our_business() -> None:
    report = lint({"app/llm.yaml": CONFIGURED}, {"app/settings.yaml": "kind: ConfigMap\nname: settings\n  x: [}"})
    assert report.errors == ()
    assert [f.code for f in report.findings if f.code.startswith("DOC")] == []


def test_an_autoscaler_of_another_file_says_how_many_replicas() -> None:
    report = lint({"a/llm.yaml": deployment(), "a/scaler.yaml": SCALER.replace("MOST", "6")})
    found = pool(report, "a/llm.yaml")
    assert (found.replicas_min.value, found.replicas_max.value) == (2, 6)
    assert found.replicas_max.place is not None
    assert found.replicas_max.place.document.source.path == "a/scaler.yaml"


def test_an_autoscaler_in_a_list_says_so_as_well() -> None:
    objects = (deployment("other"), deployment(), SCALER.replace("MOST", "6"))
    items = "".join("- " + each.replace("\n", "\n  ").rstrip() + "\n" for each in objects)
    report = lint({"a/list.yaml": "apiVersion: v1\nkind: List\nitems:\n" + items})
    found = {d.name: d.pools[0] for d in report.deployments}
    assert (found["llm"].replicas_min.value, found["llm"].replicas_max.value) == (2, 6)
    assert found["other"].replicas_max.value == 1


def test_an_autoscaler_of_a_nearer_directory_wins() -> None:
    files = {
        "a/llm.yaml": deployment(),
        "b/scaler.yaml": SCALER.replace("MOST", "9"),
        "a/scaler.yaml": SCALER.replace("MOST", "6"),
    }
    assert pool(lint(files), "a/llm.yaml").replicas_max.value == 6


def test_two_autoscalers_of_one_target_say_nothing() -> None:
    files = {"a/llm.yaml": deployment(), "a/1.yaml": SCALER.replace("MOST", "9"), "a/2.yaml": SCALER.replace("MOST", "6")}
    assert pool(lint(files), "a/llm.yaml").replicas_max.value == 1


def test_keda_scales_to_zero_by_default() -> None:
    keda = """\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: scaler}
spec: {scaleTargetRef: {name: llm}, maxReplicaCount: 3}
"""
    found = pool(lint({"a/llm.yaml": deployment(), "a/keda.yaml": keda}), "a/llm.yaml")
    assert (found.replicas_min.value, found.replicas_max.value) == (0, 3)


CLAIM = """\
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: four-gpus}
spec: {spec: {devices: {requests: [REQUEST]}}}
"""


@pytest.mark.parametrize(
    ("request_", "gpus"),
    [
        ("{name: gpus, exactly: {deviceClassName: gpu.nvidia.com, count: 4}}", 4),
        ("{name: gpus, deviceClassName: gpu.nvidia.com}", 1),
        ("{name: gpus, exactly: {deviceClassName: gpu.nvidia.com, allocationMode: All}}", None),
        ("{name: gpus, exactly: {deviceClassName: mig.nvidia.com, count: 4}}", None),
        ("{name: gpus, firstAvailable: [{name: a, deviceClassName: gpu.nvidia.com}]}", 1),
    ],
)
def test_a_claim_is_counted_where_its_devices_are_whole_gpus(request_: str, gpus: int | None) -> None:
    claimed = deployment(resources="claims: [{name: gpus}]").replace(
        "      volumes:", "      resourceClaims: [{name: gpus, resourceClaimTemplateName: four-gpus}]\n      volumes:"
    )
    report = lint({"a/llm.yaml": claimed, "a/claim.yaml": CLAIM.replace("REQUEST", request_)})
    assert pool(report, "a/llm.yaml").gpus_per_node.get(None) == gpus


# -- findings in the files of others


def collisions(report: Report) -> list[str]:
    return [f.path for f in report.findings if f.code == "CLI108"]


def test_a_service_of_a_file_that_no_format_is_asked_about_is_found_there() -> None:
    assert collisions(lint({"a/llm.yaml": deployment()}, {"a/service.yaml": SERVICE})) == ["a/service.yaml"]
    assert collisions(lint({"a/llm.yaml": deployment()}, {"b/service.yaml": SERVICE})) == []


def test_a_comment_in_that_file_suppresses_it() -> None:
    quiet = SERVICE.replace("  name: vllm", "  name: vllm  # servelint: ignore[CLI108] links are off in the cluster")
    assert collisions(lint({"a/llm.yaml": deployment()}, {"a/service.yaml": quiet})) == []


def test_that_a_comment_covers_nothing_is_only_said_where_every_file_is_at_hand() -> None:
    text = deployment().replace("metadata: {name: llm}", "metadata: {name: llm}  # servelint: ignore[CLI108] shared")
    files = {"a/llm.yaml": text, "a/service.yaml": SERVICE.replace("vllm", "vllm-chat")}
    assert [f for f in lint(files).findings if f.code == "DOC104"] == []
    assert [f.code for f in lint(files, complete=True).findings if f.code == "DOC104"] == ["DOC104"]


def test_a_fix_in_one_file_removes_the_finding_in_another() -> None:
    every = session()
    texts = [SourceText("a/llm.yaml", deployment())]
    report = with_fixes(lint_texts(texts, every, [SourceText("a/service.yaml", SERVICE)]), every)
    [finding] = [f for f in report.findings if f.code == "CLI108"]
    assert [fix.title for fix in finding.fixes] == ["set enableServiceLinks: false in the pod's spec"]
    applied = fix_all(report, every, unsafe=False)
    assert "enableServiceLinks: false" in applied.texts["a/llm.yaml"].text
    assert collisions(applied.report) == []


def test_linting_again_is_linting_the_changed_files() -> None:
    every = session()
    before = {
        "a/llm.yaml": CONFIGURED,
        "a/settings.yaml": CONFIG.replace("LENGTH", "4096"),
        "a/scaler.yaml": SCALER.replace("MOST", "6"),
    }
    changed = {"a/settings.yaml": CONFIG.replace("LENGTH", "1024"), "a/scaler.yaml": SCALER.replace("MOST", "3")}
    again = lint_again(lint(before), {path: SourceText(path, text) for path, text in changed.items()}, every)
    fresh = lint({**before, **changed})
    found = pool(again, "a/llm.yaml")
    assert (found.max_model_len.value, found.replicas_max.value) == (1024, 3)
    assert [f.identity for f in again.findings] == [f.identity for f in fresh.findings]


def test_linting_again_reads_a_changed_file_beside() -> None:
    every = session()
    report = lint_texts([SourceText("a/llm.yaml", deployment())], every, [SourceText("a/service.yaml", SERVICE)])
    renamed = SourceText("a/service.yaml", SERVICE.replace("name: vllm", "name: llm"))
    assert collisions(report) == ["a/service.yaml"]
    assert collisions(lint_again(report, {renamed.path: renamed}, every)) == []


def test_a_run_over_a_directory_joins_its_files(tmp_path: Path) -> None:
    (tmp_path / "llm.yaml").write_text(deployment())
    (tmp_path / "service.yaml").write_text(SERVICE)
    (tmp_path / "scaler.yaml").write_text(SCALER.replace("MOST", "6"))
    report = lint_paths([str(tmp_path)], session())
    assert [path.rpartition("/")[2] for path in collisions(report)] == ["service.yaml"]
    assert report.deployments[0].pools[0].replicas_max.value == 6
    assert report.files == 3
