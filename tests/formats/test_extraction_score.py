"""The extraction score: how an index is compared, and what it says of the public manifests where they are at hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT.parent / "shared" / "corpus"

POD = """apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}
  containers:
  - {name: c, image: 'vllm/vllm-openai:v0.10.0', args: [--model, org/mixtral, -tp, '2'], resources: {limits: {nvidia.com/gpu: 2}}}
"""


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    from tools.score import extraction

    return extraction


def marks(tool: Any, folder: Path, known: Any = None, **said: Any) -> dict[str, str]:
    (folder / "pod.yaml").write_text(POD, encoding="utf-8")
    (folder / "INDEX.jsonl").write_text(json.dumps({"file": "pod.yaml", "format": "k8s-pod", **said}) + "\n", encoding="utf-8")
    result = tool.score(folder, known or {})
    return {mark.fact: mark.verdict for mark in result.marks if said.get(mark.fact) is not None or mark.verdict == "extra"}


def test_what_agrees_and_what_does_not(tool: Any, tmp_path: Path) -> None:
    said = {"model": "hf://Org/Mixtral", "engine": "vllm-ascend", "tp": 4, "gpus": 2, "nodes": None, "replicas": 1}
    found = marks(tool, tmp_path, **said, gpu_type=["nvidia.com/gpu.product In ['NVIDIA-L4']"])
    assert {fact: found[fact] for fact in ("model", "engine", "tp", "gpus", "replicas", "gpu_type")} == {
        "model": "agrees", "engine": "agrees", "tp": "differs", "gpus": "agrees", "replicas": "agrees", "gpu_type": "agrees",
    }  # fmt: skip
    assert found["nodes"] == "extra", "what the index leaves out is not compared"


@pytest.mark.parametrize(("gpus", "verdict"), [(4, "agrees"), (8, "differs")])
def test_units_of_a_profile_count_as_they_are_written(gpus: int, verdict: str, tool: Any, tmp_path: Path) -> None:
    model = "apiVersion: kubeai.org/v1\nkind: Model\nmetadata: {name: m}\nspec:\n  url: hf://org/m\n  engine: VLLM\n"
    (tmp_path / "model.yaml").write_text(model + "  resourceProfile: google-tpu-v5e-2x2:4\n", encoding="utf-8")
    entry = {"file": "model.yaml", "format": "kubeai-model", "gpus": gpus}
    (tmp_path / "INDEX.jsonl").write_text(json.dumps(entry) + "\n", encoding="utf-8")
    assert [mark.verdict for mark in tool.score(tmp_path, {}).marks if mark.fact == "gpus"] == [verdict]


@pytest.mark.parametrize(
    ("model", "verdict"),
    [
        ("org/mixtral", "agrees"),
        ("org/other", "differs"),
        ("$MODEL", "open"),
        ("/models/Mixtral", "open"),
        ("mix-tral", "open"),
        ("/models/other", "differs"),
    ],
)
def test_texts_that_name_a_model_more_or_less(model: str, verdict: str, tool: Any, tmp_path: Path) -> None:
    assert marks(tool, tmp_path, model=model)["model"] == verdict


@pytest.mark.parametrize(("path", "verdict"), [("/weights/1", "open"), ("/weights/2", "differs")])
def test_a_path_stands_for_what_is_downloaded_to_it(path: str, verdict: str, tool: Any, tmp_path: Path) -> None:
    script = "hf download org/mixtral --local-dir /weights/1 && vllm serve /weights/1"
    container = f"{{name: c, image: 'vllm/vllm-openai:v0.10.0', command: [sh, -c, '{script}']}}"
    pod = f"apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {{containers: [{container}]}}\n"
    (tmp_path / "a.yaml").write_text(pod, encoding="utf-8")
    (tmp_path / "INDEX.jsonl").write_text(json.dumps({"file": "a.yaml", "format": "k8s-pod", "model": path}), encoding="utf-8")
    [mark] = [mark for mark in tool.score(tmp_path, {}).marks if mark.fact == "model"]
    assert (mark.verdict, mark.ours) == (verdict, "org/mixtral")


def test_a_reviewed_disagreement_is_said_to_be_one(tool: Any, tmp_path: Path) -> None:
    known = {
        ("pod.yaml", "tp"): "read: it is 2",
        ("pod.yaml", "pp"): "no longer needed",
        ("other.yaml", "tp"): "of another folder",
    }
    assert marks(tool, tmp_path, known, tp=4)["tp"] == "reviewed"
    result = tool.score(tmp_path, known)
    assert result.stale == [("pod.yaml", "pp")]
    assert result.share() == 1.0
    assert "read: it is 2" in tool.report(result, every_row=True)


def test_a_file_that_is_read_as_nothing_disagrees_in_everything(tool: Any, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: Other\n", encoding="utf-8")
    rows = [{"file": "a.yaml", "format": "x", "tp": 1, "model": "org/m"}, {"file": "gone.yaml", "format": "x", "tp": 1}]
    (tmp_path / "INDEX.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    result = tool.score(tmp_path, {})
    assert result.summary()["facts"]["tp"]["differs"] == 1
    assert result.missing == ["gone.yaml"]


def test_every_review_gives_its_reason(tool: Any) -> None:
    known = tool.reviews(tool.REVIEWED.read_text(encoding="utf-8"))
    assert known
    assert all(len(reason) > 20 for reason in known.values())


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of public manifests (../shared/corpus) is not here")
def test_the_corpus(tool: Any) -> None:
    result = tool.score(CORPUS, tool.reviews(tool.REVIEWED.read_text(encoding="utf-8")))
    assert result.missing == []
    assert result.stale == []
    assert result.share() >= 0.99
    assert result.counts()["reviewed"] <= 30


def test_hosts_that_the_index_counts_otherwise(tool: Any, tmp_path: Path) -> None:
    def verdict(text: str, form: str, fact: str, **said: Any) -> str:
        (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
        (tmp_path / "INDEX.jsonl").write_text(json.dumps({"file": "x.yaml", "format": form, **said}) + "\n", encoding="utf-8")
        return next(mark.verdict for mark in tool.score(tmp_path, {}).marks if mark.fact == fact)

    none = POD.replace(", resources: {limits: {nvidia.com/gpu: 2}}", "")
    assert verdict(none, "k8s-pod", "gpus", gpus=0) == "agrees"
    assert verdict(POD, "k8s-pod", "gpus", gpus=0) == "differs"
    container = "{name: c, image: 'lmsysorg/sglang:v0.5.2', command: [python3, -m, sglang.launch_server, --model-path, org/m, --tp, '4', --nnodes, '2', --node-rank, $(R)], resources: {limits: {nvidia.com/gpu: 2}}}"
    group = f"apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: n}}\nspec: {{replicas: 2, selector: {{matchLabels: {{a: b}}}}, template: {{spec: {{containers: [{container}]}}}}}}\n"
    assert verdict(group, "k8s-statefulset", "replicas", replicas=2) == "agrees"
    assert verdict(group, "k8s-statefulset", "replicas", replicas=4) == "differs"
    recipe = (
        "name: r\nmodel: {path: m, container: c, precision: fp8}\n"
        "resources: {gpu_type: h100, gpus_per_node: 8, agg_nodes: 2, agg_workers: 8}\n"
        "backend: {type: sglang, sglang_config: {aggregated: {model-path: /model, tensor-parallel-size: 2}}}\nbenchmark: {type: manual}\n"
    )
    assert verdict(recipe, "srt-slurm-recipe", "gpus", gpus=8, nodes=2) == "agrees"
    assert verdict(recipe, "srt-slurm-recipe", "nodes", gpus=8, nodes=2) == "agrees"
    assert verdict(recipe, "srt-slurm-recipe", "nodes", gpus=8, nodes=3) == "differs"
