"""Bad plans: one sentence each, at the line and column of what is wrong, and the rest of the plan is read all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from servelint.facts import UnknownFact
from servelint.formats.plan import NativePlan
from servelint.source.edits import apply
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.finding import Verdict

Make = Callable[..., Any]

# The plan of the fixture is: apiVersion 1, kind 2, model 3, accelerator 4, parallelism 5, then what the test adds.


@pytest.mark.parametrize(
    ("rest", "line", "column", "sentence"),
    [
        ("limits: {max_model_len: 0}\n", 6, 25, "`limits.max_model_len` is 0; it must be at least 1"),
        ("limits: {max_model_len: 8k}\n", 6, 25, "`limits.max_model_len` is the text `8k`; it must be a whole number"),
        ("limits: {max_model_len: '8192'}\n", 6, 25, "`limits.max_model_len` is the text `8192`; it must be a whole number: write 8192 without quotes"),
        ("limits: {max_model_len: 819.2}\n", 6, 25, "`limits.max_model_len` is 819.2; it must be a whole number"),
        ("limits: {max_model_len: }\n", 6, 10, "`limits.max_model_len` has no value: give one or remove the key"),
        ("limits: {max_model_len: [1]}\n", 6, 25, "`limits.max_model_len` is a list; it must be a whole number"),
        ("limits: {enforce_eager: on}\n", 6, 25, "`limits.enforce_eager` is the text `on`; it must be true or false"),
        ("limits: [a]\n", 6, 9, "`limits` is a list; it must be a mapping"),
        ("targets: {ttft: 10 GB}\n", 6, 17, "`targets.ttft`: `10 GB` is a memory; here a time is wanted, such as 10 s or 50 ms"),
        ("targets: {ttft: -1}\n", 6, 17, "`targets.ttft`: `-1` is negative: a time is zero or more, such as 10 s or 50 ms"),
        ("targets: {ttft: true}\n", 6, 17, "`targets.ttft` is true; it must be a time such as 10 s or 50 ms"),
        (
            "claims:\n  memory:\n    utilization: 30.2\n", 8, 18,
            "`claims.memory.utilization`: `30.2` without a unit is a ratio, and so 3020 %: write 30.2 % or 0.302",
        ),
        ("claims: {memory: {total: 23}}\n", 6, 26, "`claims.memory.total`: `23` without a unit means bytes: write the unit, such as 23 GB"),
        ("claims: {memory: {total: .inf}}\n", 6, 26, "`claims.memory.total`: `.inf` is not a finite memory: write 64 GB or 80 GiB"),
        ("limits: {gpu_memory_utilization: 0}\n", 6, 34, "`limits.gpu_memory_utilization`: `0` is nothing: it must be more than zero"),
        ("limits: {gpu_memory_utilization: 0 %}\n", 6, 34, "`limits.gpu_memory_utilization`: `0 %` is nothing: it must be more than zero"),
        (
            "limits: {gpu_memory_utilization: 150 %}\n", 6, 34,
            "`limits.gpu_memory_utilization`: `150 %` is more than there is: it is at most 100 %",
        ),
        ("claims: {gpus: 99999999}\n", 6, 16, "`claims.gpus` is 99999999; it must be at most 10000000"),
        ("engine: {name: vlm}\n", 6, 16, "`engine.name` is the text `vlm`; did you mean `vllm`?"),
        ("engine: {name: lmdeploy}\n", 6, 16, "`engine.name` is the text `lmdeploy`; it must be one of generic, vllm, sglang, trtllm, tgi"),
        ("engine: {name: vllm, version: latest}\n", 6, 31, "`engine.version`: `latest` is no version: write two or three numbers, as 0.19.1"),
        ("workload: {arrival: bursty}\n", 6, 21, "`workload.arrival` is the text `bursty`; did you mean `burst`?"),
        ("reasoning: [{decides: {tensor: 2}}]\n", 6, 13, "`reasoning[0]` needs `step`"),
        ("claims: {throughput_per_gpu: {of: output}}\n", 6, 10, "`claims.throughput_per_gpu` needs `value`"),
        ("pools: []\n", 6, 8, "`pools` is empty"),
        ("metadata: {name: ''}\n", 6, 18, "`metadata.name` is empty"),
    ],
)  # fmt: skip
def test_a_violation_is_said_at_its_value(plan: Make, rest: str, line: int, column: int, sentence: str) -> None:
    found = plan(rest)
    assert [(p.code, p.line, p.column, p.text) for p in found.problems] == [("DOC102", line, column, sentence)]
    assert found.deployment.pools[0].tensor.value == 2


@pytest.mark.parametrize(
    ("rest", "line", "column", "sentence"),
    [
        ("workload: {concurency: 4}\n", 6, 12, "there is no `concurency` in `workload`: did you mean `concurrency`?"),
        ("Limits: {}\n", 6, 1, "there is no `Limits` in a plan: did you mean `limits`?"),
        ("zzz: 1\n", 6, 1, "there is no `zzz` in a plan"),
        ("reasoning:\n  - {step: operator, decide: {tensor: 2}}\n", 7, 22, "there is no `decide` in `reasoning[0]`: did you mean `decides`?"),
        ("claims: {throughput_per_gpu: {value: 1, off: input}}\n", 6, 41, "there is no `off` in `claims.throughput_per_gpu`: did you mean `of`?"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_said_at_the_key(plan: Make, rest: str, line: int, column: int, sentence: str) -> None:
    found = plan(rest)
    assert [(p.code, p.line, p.column, p.text) for p in found.problems] == [("DOC103", line, column, sentence)]


def test_the_fix_of_a_misspelt_key_is_the_key_meant(plan: Make) -> None:
    found = plan("workload: {concurency: 4} # requests\n")
    (proposal,) = found.problems[0].verdict.proposals
    assert not proposal.safe
    fixed = apply(found.source.text, proposal.edits)
    assert fixed == found.source.text.replace("concurency", "concurrency")
    assert fixed.endswith("workload: {concurrency: 4} # requests\n")


def test_a_key_is_not_suggested_that_is_there_already(plan: Make) -> None:
    found = plan("limits: {max_num_seqs: 8, max_num_seq: 9}\n")
    assert "did you mean `max_num_seqs`" not in found.problems[0].text


def test_several_violations_come_in_the_order_of_the_text(plan: Make) -> None:
    found = plan("claims: {gpus: 0, gpu: 8}\ntargets: {ttft: soon}\n", parallelism="parallelism: {tensor: 0}\n")
    assert [(p.code, p.line, p.column) for p in found.problems] == [
        ("DOC102", 5, 23), ("DOC102", 6, 16), ("DOC103", 6, 19), ("DOC102", 7, 17),
    ]  # fmt: skip


def test_missing_keys_are_said_at_the_kind(plan: Make) -> None:
    found = plan(model="", accelerator="", parallelism="")
    assert [(p.line, p.text) for p in found.problems] == [
        (2, "a plan needs `model`"), (2, "a plan needs `accelerator`"), (2, "a plan needs `parallelism`"),
    ]  # fmt: skip


def test_without_parallelism_no_degree_is_known(plan: Make) -> None:
    found = plan(parallelism="")
    with pytest.raises(UnknownFact, match="states no parallelism"):
        _ = found.deployment.pools[0].tensor.value


def test_a_model_and_an_accelerator_need_a_name_or_figures(plan: Make) -> None:
    found = plan(model="model: {dtype: float16}\n", accelerator="accelerator: {per_node: 8}\n")
    assert [p.text for p in found.problems] == [
        "`model` needs `id` or `parameters` or `architecture`",
        "`accelerator` needs `name` or `memory`",
    ]
    assert [(p.line, p.column) for p in found.problems] == [(3, 1), (4, 1)]


def test_only_the_fact_of_a_bad_value_is_unknown(plan: Make) -> None:
    found = plan("targets: {ttft: soon, tpot: 50 ms}\n")
    pool = found.deployment.pools[0]
    assert pool.target_tpot_seconds.value == 0.05
    with pytest.raises(UnknownFact) as unknown:
        _ = pool.target_ttft_seconds.value
    assert unknown.value.fact == "targets.ttft"
    assert unknown.value.reason == "cannot be read: `soon` is not a time: write 10 s or 50 ms"


def recognise(text: str) -> tuple[list[Any], list[tuple[str, int, str]]]:
    problems: list[tuple[str, int, str]] = []
    source = SourceText("plan.yaml", text)

    class Here:
        engines = ()

        def problem(self, code: str, verdict: Verdict, deployment: str = "") -> None:
            problems.append((code, source.position(verdict.place.span.start).line, verdict.label))

    deployments = [d for document in read_text(source).documents for d in NativePlan().recognise(document, Here())]
    return deployments, problems


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "DeploymentPlan", "kind: Deployment\n", "kind: DeploymentPlan\napiVersion: other.io/v1\n",
        "kind: [DeploymentPlan]\n", "- kind: DeploymentPlan\n",
    ],
)  # fmt: skip
def test_what_is_no_plan_is_left_alone(text: str) -> None:
    assert recognise(text) == ([], [])


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        ("kind: DeploymentPlan\n", "a plan needs `apiVersion`"),
        (
            "kind: DeploymentPlan\napiVersion: servelint/v2\n",
            "`apiVersion` is the text `servelint/v2`; it must be `servelint/v1`",
        ),
    ],
)
def test_a_plan_of_another_version_is_told_so(head: str, sentence: str) -> None:
    _, problems = recognise(head + "model: {id: a}\naccelerator: {name: H100}\nparallelism: {}\n")
    assert problems == [("DOC102", 1 if "needs" in sentence else 2, sentence)]


def test_a_json_plan_is_a_plan() -> None:
    text = '{"apiVersion": "servelint/v1", "kind": "DeploymentPlan", "model": {"id": "a"}, "accelerator": {"name": "H100"}, "parallelism": {"tensor": 4}}'
    deployments, problems = recognise(text)
    assert problems == []
    assert deployments[0].pools[0].tensor.value == 4


VALID = "apiVersion: servelint/v1\nkind: DeploymentPlan\naccelerator: {name: H100}\nparallelism: {tensor: 1}\n"


def test_an_alias_bomb_is_one_sentence() -> None:
    bomb = "model:\n  id: a\n  architecture:\n    a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 12):
        bomb += f"    a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n"
    deployments, problems = recognise(VALID + bomb)
    assert deployments == []
    assert [(code, line) for code, line, _ in problems] == [("DOC102", 12)]
    assert problems[0][2] == "aliases expand this to more than 20,000 nodes: write it out"


def test_an_alias_inside_its_own_node_is_one_sentence() -> None:
    deployments, problems = recognise(VALID + "model:\n  id: a\n  architecture: &a\n    b: [*a]\n")
    assert deployments == []
    assert problems == [("DOC102", 8, "an alias stands inside the node that it means: write out what is meant")]


def test_aliases_and_merge_keys_mean_what_they_stand_for() -> None:
    text = VALID.replace("{tensor: 1}", "&p {tensor: 4, pipeline: 2}")
    text += "model: {id: a}\nphases:\n  prefill: *p\n  decode: {<<: *p, tensor: 8}\n"
    deployments, problems = recognise(text)
    assert problems == []
    phases = deployments[0].plan.phases
    assert {phase: {k: f.value for k, f in own.items()} for phase, own in phases.items()} == {
        "prefill": {"pipeline": 2, "tensor": 4},
        "decode": {"pipeline": 2, "tensor": 8},
    }


def test_a_key_that_is_no_text_is_said() -> None:
    _, problems = recognise(VALID + "model: {id: a}\n? [a]\n: b\n")
    assert problems == [("DOC102", 6, "a key must be plain text here")]


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    _, problems = recognise(VALID + "model: {id: a}\nclaims: {gpus: " + "9" * 5000 + ", ttft: " + "9" * 5000 + "}\n")
    assert [(code, line) for code, line, _ in problems] == [("DOC102", 6), ("DOC102", 6)]
    assert max(len(text) for _, _, text in problems) < 200


@pytest.mark.parametrize("key", ["memory", "bandwidth", "link", "mfu"])
@pytest.mark.parametrize("zero", ["0", "'0'", "0.0"])
def test_a_gpu_of_nothing_is_refused(plan: Make, key: str, zero: str) -> None:
    figures = {"memory": "64 GB", "bandwidth": "1 TB/s", "link": "1 GB/s", "mfu": "0.5"} | {key: zero}
    found = plan(accelerator="accelerator: {" + ", ".join(f"{k}: {v}" for k, v in figures.items()) + "}\n")
    assert [(p.code, p.line, p.text) for p in found.problems] == [
        ("DOC102", 4, f"`accelerator.{key}`: `0` is nothing: it must be more than zero")
    ]
    with pytest.raises(UnknownFact):
        _ = found.deployment.pools[0].accelerator.value


@pytest.mark.parametrize(
    ("field", "value", "line"),
    [
        ("num_hidden_layers", "0", 3), ("num_hidden_layers", "9999999", 3), ("hidden_size", "-8", 3), ("rope_theta", ".inf", 3),
        ("text_config", "{head_dim: 0}", 3), ("rope_theta", ".nan", 3),
    ],
)  # fmt: skip
def test_a_size_that_no_model_has_makes_the_architecture_unknown(plan: Make, field: str, value: str, line: int) -> None:
    found = plan(model=f"model: {{parameters: 1e9, architecture: {{{field}: {value}}}}}\n")
    assert [(p.code, p.line) for p in found.problems] == [("DOC102", line)]
    assert found.problems[0].text.endswith(" is no size of a model")
    with pytest.raises(UnknownFact, match="is no size of a model"):
        _ = found.deployment.pools[0].architecture.value
    assert found.deployment.pools[0].parameters.value == 1e9


@pytest.mark.parametrize("degree", ["0", "-1", "1025", "9999999"])
def test_an_absurd_degree_is_unknown(plan: Make, degree: str) -> None:
    found = plan(parallelism=f"parallelism: {{tensor: 2, pipeline: {degree}}}\n")
    assert [(p.code, p.line, p.column) for p in found.problems] == [("DOC102", 5, 36)]
    with pytest.raises(UnknownFact, match=r"parallelism\.pipeline"):
        _ = found.deployment.pools[0].pipeline.value
    assert found.deployment.pools[0].tensor.value == 2


def test_a_pasted_configuration_may_hold_nulls_and_lists(plan: Make) -> None:
    found = plan(
        model="model: {architecture: {num_hidden_layers: 2, head_dim: null, intermediate_size: [1, 2], pad_token_id: -1}}\n"
    )
    assert found.problems == []
    assert found.deployment.pools[0].architecture.is_known


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("apiVersion: servelint/v1\nkind: DeploymntPlan\n", [("DOC102", 2, 7)]),
        ("apiVersion: servelint/v1\nmodel: {repo: Qwen/Qwen3-8B}\n", [("DOC102", 1, 13)]),
        ("apiVersion: servelint.example.com/v1\nkind: DeploymntPlan\n", []),  # an API group that only begins alike
    ],
)
def test_a_kind_that_there_is_not_is_said(recognised: Callable[[str], Any], text: str, said: list[tuple[str, int, int]]) -> None:
    found = recognised(text)
    assert found.deployments == []
    assert [(problem.code, problem.line, problem.column) for problem in found.problems] == said
