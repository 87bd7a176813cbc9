"""Manifests of every format with a part that is not what it should be: linting and deriving raise nothing, whatever it is.

The exhaustive tests of single formats (test_broken_clusters, test_broken_job_files) read them alone; here rules and
derivations run on what was read.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings, strategies as st

from servelint.config import Config
from servelint.formats import kind_shapes
from servelint.judge import pool_cases
from servelint.reports import derivation
from servelint.run import Report, Session, lint_texts, open_session
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.source.nodes import Node

FIXTURES = Path(__file__).parents[2] / "fixtures"
FILES = tuple(
    sorted(
        path
        for path in FIXTURES.rglob("*")
        if path.suffix in {".yaml", ".yml", ".json"}
        and not {"hostile", "rules", "ground_truth"} & set(path.relative_to(FIXTURES).parts)
    )
)
# In place of a whole node.
WRONG = (
    "null", '""', "x", "-1", "0", "true", "1e400", "2.5", "'2'", "99999999999999999999", "[]", "[null]", "[x, {}]", "{}", "{x: y}",
    "{x: [y]}", '"{{ .Values.x }}"', "$X", "${X:-3}", "[--model, x]", '"--tensor-parallel-size ${X}"',
)  # fmt: skip
# In place of a word inside a text: a command line, a script, a configuration in a string.
WORDS = (
    "x", "-1", "0", "$X", "$(X)", "${X:-3}", "'", '"', "|", "&&", ";", "--model", "=", "{", "[", "1e9", "99999999999999999999",
    "--tensor-parallel-size=x", "\\", "#", "$((1/0))", "$((", "(", "`x`",
)  # fmt: skip


class Parts(NamedTuple):
    """A file's text, the places of its nodes, and of the words in its scalars."""

    text: str
    nodes: list[tuple[int, int]]
    words: list[tuple[int, int]]


def walk(node: Node) -> Iterator[Node]:
    yield node
    if isinstance(node, MappingNode):
        for key, value in node.entries:
            yield key
            yield from walk(value)
    elif isinstance(node, SequenceNode):
        for item in node.items:
            yield from walk(item)


@cache
def parts(path: Path) -> Parts:
    text = path.read_text(encoding="utf-8")
    roots = [document.root for document in read_text(SourceText(path.name, text)).documents if document.root is not None]
    every = [node for root in roots for node in walk(root)]
    words = []
    for node in every:
        if isinstance(node, ScalarNode):
            start, end = node.span
            words += [(start + m.start(), start + m.end()) for m in re.finditer(r"[^\s,=\"']+", text[start:end])]
    return Parts(text, [tuple(node.span) for node in every], words)


@st.composite
def broken(draw: st.DrawFn) -> tuple[str, str]:
    """(name of the file, its text with one to three parts replaced)."""
    path = draw(st.sampled_from(FILES))
    whole = parts(path)
    edits = []
    for _ in range(draw(st.integers(1, 3))):
        inside = draw(st.booleans()) and whole.words
        start, end = draw(st.sampled_from(whole.words if inside else whole.nodes))
        edits.append((start, end, draw(st.sampled_from(WORDS if inside else WRONG))))
    text, before = whole.text, len(whole.text)
    for start, end, new in sorted(edits, reverse=True):
        if end <= before:
            text, before = text[:start] + new + text[end:], start
    return path.name, text


@cache
def session() -> Session:
    return open_session(Config(profile="strict", default_accelerator="H100"))


def lint(text: str, name: str = "x.yaml") -> Report:
    return lint_texts([SourceText(name, text)], session())


@settings(max_examples=250, deadline=None)
@given(broken())
def test_nothing_that_is_written_is_an_exception(manifest: tuple[str, str]) -> None:
    name, text = manifest
    report = lint(text, name)
    for finding in report.findings:
        span, source = finding.place.span, finding.place.document.source
        assert 0 <= span.start <= span.end <= len(source.text)
    shown = [derivation.Derivation(d, [pool_cases(pool, d)[0] for pool in d.pools]) for d in report.deployments]
    assert isinstance(derivation.text(shown) + derivation.json(shown), str)
    for deployment in report.deployments:
        assert deployment.name
        for pool in deployment.pools:
            for path, fact in pool.facts():
                assert fact.values or fact.reason, path


KINDS = [(*kind, shapes) for kind, shapes in {**kind_shapes._OWN, **kind_shapes._PLAIN}.items()]


@pytest.mark.parametrize(("group", "kind", "shapes"), KINDS, ids=lambda value: str(value)[:40])
def test_a_text_where_a_map_belongs_is_said(group: str, kind: str, shapes: str) -> None:
    for path in shapes.split():
        *outer, last = path.split(".")
        inner = "text of vllm" if last != "containers" else "{name: vllm, image: vllm/vllm-openai}"
        lines = [f"apiVersion: {group}/v1" if group else "apiVersion: v1", f"kind: {kind}", "metadata: {name: broken}"]
        lines += [f"{'  ' * depth}{key}:" for depth, key in enumerate(outer)]
        lines += [f"{'  ' * len(outer)}{last}: {inner}"]
        text = "\n".join(lines) + "\n# containers headGroupSpec serveConfigV2 vllm\n"
        found = [f for f in lint(text).findings if f.code == "DOC102"]
        assert [(f.deployment, f.place.document.source.text[f.place.span.start : f.place.span.end]) for f in found] == [
            ("broken", inner)
        ], path
        # what is filled in before it is applied, or left out, is no fault
        for filled in ('"{{ .Values.x }} # vllm"', "null # vllm", "$VLLM"):
            assert [f.code for f in lint(text.replace(inner, filled)).findings if f.code == "DOC102"] == []


LONG = "9" * 5000  # digits, more than Python reads
LONG_NUMBERS = """\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: llm}
spec:
  replicas: 2
  selector: {matchLabels: {app: llm}}
  template:
    metadata: {labels: {app: llm}}
    spec:
      containers:
        - name: llm
          image: IMAGE
          args: [--model-path, m/m, --model=m/m, --port=LONG, --nnodes=LONG, --dist-init-addr=a:LONG, --enable-lora, --max-loras=LONG,
            --mm-processor-cache-gb=4, --api-server-count=LONG, "--limit-mm-per-prompt=image=LONG,video=²"]
          env: [{name: PORT, value: 'LONG'}, {name: NIM_TENSOR_PARALLEL_SIZE, value: 'LONG'}, {name: B, value: 'http://localhost:LONG/v1'}]
          ports: [{containerPort: LONG}]
          resources: {limits: {nvidia.com/gpu: 1}}
---
apiVersion: v1
kind: Service
metadata: {name: llm}
spec: {selector: {app: llm}, ports: [{port: 80, targetPort: LONG}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: llm}
spec: {minAvailable: LONG, selector: {matchLabels: {app: llm}}}
"""
COMPOSE_NUMBERS = """\
services:
  llm:
    image: IMAGE
    command: --model m/m
    ports: ["LONG:8000"]
    healthcheck: {test: "curl http://localhost:LONG/health"}
"""


@pytest.mark.parametrize("text", [LONG_NUMBERS, COMPOSE_NUMBERS], ids=["kubernetes", "compose"])
@pytest.mark.parametrize(
    "image",
    [
        "vllm/vllm-openai:v0.19.1",
        "vllm/vllm-openai:v0.LONG.1",
        "lmsysorg/sglang:v0.5.LONG",
        "lmsysorg/sglang:v0.5.5.postLONG",
        "ghcr.io/huggingface/text-generation-inference:3.3.4",
        "nvcr.io/nim/meta/llama-3.1-8b-instruct:1.LONG",
    ],
)
def test_a_number_of_more_digits_than_python_reads_is_no_exception(text: str, image: str) -> None:
    lint(text.replace("IMAGE", image).replace("LONG", LONG))


WORKSPACE = """\
apiVersion: kaito.sh/v1beta1
kind: Workspace
metadata: {name: wrapped}
spec:
  resource: {instanceType: Standard_NC24ads_A100_v4}
  inference: {preset: {name: phi-4}}
"""


def test_a_spec_around_the_fields_of_a_kind_without_one_is_said() -> None:
    report = lint(WORKSPACE)
    assert report.deployments == ()
    [finding] = report.findings
    assert (finding.code, finding.deployment, WORKSPACE[finding.place.span.start : finding.place.span.end]) == (
        "DOC102",
        "wrapped",
        "spec",
    )
    assert lint(WORKSPACE.replace("inference:", "labels:")).findings == ()
    beside = WORKSPACE + "inference: {preset: {name: phi-4}}\nresource: {instanceType: Standard_NC24ads_A100_v4}\n"
    assert [f.code for f in lint(beside).findings if f.code == "DOC102"] == []


def test_other_peoples_objects_are_not_ours_to_judge() -> None:
    text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: text}}}\n"
    assert lint(text).findings == ()
    # one whose own words are an engine's, beside one that is broken and of which nothing is known
    ours = (FIXTURES / "kubernetes" / "pod.yaml").read_text(encoding="utf-8")
    assert [f.code for f in lint(f"{ours}---\n{text}").findings if f.code.startswith("DOC")] == []


POD = """\
apiVersion: v1
kind: Pod
metadata: {name: one-pod}
spec:
  containers:
    - name: first
      image: ghcr.io/huggingface/text-generation-inference:3.3.4
      args: [--model-id, Qwen/Qwen2.5-7B-Instruct, --num-shard, "4"]
      env: [{name: NUM_SHARD, value: "2"}, {name: MODEL_ID, value: Qwen/Qwen2.5-14B-Instruct}]
      resources: {limits: {nvidia.com/gpu: "4"}}
    - name: second
      image: vllm/vllm-openai:v0.19.1
      args: [--model, Qwen/Qwen3-8B, --port, "8001"]
      resources: {limits: {nvidia.com/gpu: 1}}
"""


def test_two_engines_in_one_pod_are_two_pools() -> None:
    [deployment] = lint(POD).deployments
    assert [(p.name, p.engine.value, p.model.value, p.gpus_per_node.value) for p in deployment.pools] == [
        ("first", "tgi", "Qwen/Qwen2.5-7B-Instruct", 4),
        ("second", "vllm", "Qwen/Qwen3-8B", 1),
    ]


def test_where_flag_and_variable_disagree_the_engine_takes_the_flag() -> None:
    """text-generation-launcher (clap): the command line wins over the environment."""
    [deployment] = lint(POD).deployments
    tensor = deployment.pools[0].tensor
    assert tensor.value == 4
    assert tensor.place is not None
    assert POD[tensor.place.span.start : tensor.place.span.end] == '"4"'
    without = POD.replace(', --num-shard, "4"', "")
    assert lint(without).deployments[0].pools[0].tensor.value == 2


def test_a_command_that_is_not_the_engines_leaves_its_facts_unknown() -> None:
    text = (FIXTURES / "kubernetes" / "pod.yaml").read_text(encoding="utf-8")
    text = text.replace('["vllm", "serve", "Qwen/Qwen3-8B"]', '["python3", "/app/own_server.py"]')
    report = lint(text)
    [deployment] = report.deployments
    [pool] = deployment.pools
    assert pool.engine.value == "vllm"
    for fact in (pool.model, pool.tensor, pool.max_model_len):
        assert not fact.is_known
        assert "program of its own" in fact.reason
    assert report.not_checked


def test_numbers_as_texts_are_numbers_where_the_reader_of_the_file_takes_them() -> None:
    text = (FIXTURES / "kubernetes" / "pod.yaml").read_text(encoding="utf-8")
    for written in ("1", '"1"', "'1'"):
        [deployment] = lint(text.replace("nvidia.com/gpu: 1", f"nvidia.com/gpu: {written}")).deployments
        assert deployment.pools[0].gpus_per_node.value == 1
    [deployment] = lint(text.replace("nvidia.com/gpu: 1", "nvidia.com/gpu: one")).deployments
    assert not deployment.pools[0].gpus_per_node.is_known
    assert "one" in deployment.pools[0].gpus_per_node.reason


RULES = FIXTURES / "rules"
# Files in which one change once made a rule or a figure fail.
ONCE = (
    (RULES / "HWQ511" / "bad" / "act-order-in-0-31.yaml", "hidden_size: 4096", "hidden_size: 2.5"),
    (RULES / "HWQ511" / "bad" / "act-order-in-0-31.yaml", "group_size: 128", "group_size: {x: [y]}"),
    (RULES / "PLN910" / "good" / "one_expert_is_dense.yaml", "{num_experts: 1}", "x"),
    (RULES / "DIS708" / "good" / "statefulset.yaml", "nvidia.com/gpu:", "nvidia.com/gpu: 0 #"),
    (RULES / "MEM409" / "good" / "on-cpus.yaml", 'value: "16"', "value: 1e400"),
    (FIXTURES / "srt-slurm" / "trtllm.yaml", "max_num_tokens: 16384", "max_num_tokens: 99999999999999999999"),
    (FIXTURES / "ray" / "llm-config-alone.yaml", "model_id: deepseek-r1", 'model_id: ""'),
)


@pytest.mark.parametrize(("path", "old", "new"), ONCE, ids=lambda value: getattr(value, "stem", str(value)[:24]))
def test_what_once_failed(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    report = lint(text.replace(old, new))
    shown = [derivation.Derivation(d, [pool_cases(pool, d)[0] for pool in d.pools]) for d in report.deployments]
    assert derivation.text(shown)
