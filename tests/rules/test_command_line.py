"""CLI rules at their edges: how sure they may be, and what they must leave alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servelint.finding import Certainty, Severity
from servelint.fixes.verify import edited
from servelint.run import lint_texts
from servelint.source.text import SourceText
from servelint_rules.command_line import _is_slip

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.finding import Finding
    from servelint.run import Report, Session

MODEL = "--model=Qwen/Qwen3-8B"


def of(report: Report, code: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.code == code]


@pytest.mark.parametrize(
    ("image", "severity", "certainty"),
    [
        ("vllm/vllm-openai:v0.19.1", Severity.ERROR, Certainty.PROVEN),
        ("vllm/vllm-openai:v0.19.0", Severity.ERROR, Certainty.PROVEN),  # between two scanned releases
        ("vllm/vllm-openai:latest", Severity.WARNING, Certainty.HEURISTIC),
        ("vllm/vllm-openai:v0.99.0", Severity.WARNING, Certainty.HEURISTIC),  # newer than any that was scanned
        ("vllm/vllm-openai:v0.4.0", Severity.WARNING, Certainty.HEURISTIC),  # older
    ],
)
def test_an_unknown_flag_is_an_error_only_where_the_release_was_scanned(
    lint: Callable[..., Report], image: str, severity: Severity, certainty: Certainty
) -> None:
    (finding,) = of(lint(MODEL, "--no-such-option=1", image=image), "CLI101")
    assert (finding.severity, finding.certainty) == (severity, certainty)


@pytest.mark.parametrize(
    "args",
    [
        ("--tensor_parallel_size=1",),
        ("--max-model-le", '"4096"'),  # argparse takes an unambiguous beginning
        ("--kv-transfer-config.kv_role=kv_both",),
        ("--no-enable-prefix-caching",),
        ("-tp", '"1"'),
        ("-O3",),
    ],
)
def test_what_the_engine_accepts_is_no_unknown_flag(lint: Callable[..., Report], args: tuple[str, ...]) -> None:
    assert of(lint(MODEL, *args), "CLI101") == []


def test_an_ambiguous_beginning_names_what_it_may_mean(lint: Callable[..., Report]) -> None:
    (finding,) = of(lint(MODEL, "--max-num=4"), "CLI101")
    assert "--max-num-batched-tokens" in finding.label
    assert "--max-num-seqs" in finding.label


@pytest.mark.parametrize("code", ["CLI101", "CLI102"])
@pytest.mark.parametrize("image", ["opea/vllm-gaudi:1.22.0", "vllm/vllm-openai-xpu:nightly"])
def test_forks_for_other_hardware_have_options_of_their_own(lint: Callable[..., Report], image: str, code: str) -> None:
    assert of(lint(MODEL, "--use-padding-aware-scheduling", "--max-seq-len-to-capture=2048", image=image), code) == []


def test_a_name_hidden_in_a_variable_is_not_judged(lint: Callable[..., Report]) -> None:
    assert of(lint(MODEL, "$(EXTRA_FLAG)", "--$(NAME)"), "CLI101") == []


@pytest.mark.parametrize(
    ("image", "severity"),
    [
        ("vllm/vllm-openai:v0.16.0", None),  # still has it
        ("vllm/vllm-openai:v0.17.0", Severity.WARNING),  # between the last with it and the first without
        ("vllm/vllm-openai:v0.17.1", Severity.ERROR),
        ("vllm/vllm-openai:v0.32.0", Severity.ERROR),
        ("vllm/vllm-openai:v0.33.0", None),  # accepted again
        ("registry.example.com/team/vllm-openai:v0.17.1", Severity.WARNING),  # a release by its name only
        ("lmcache/vllm-openai:v0.17.1", None),  # numbers its images itself
    ],
)
def test_removed_is_a_set_of_intervals(lint: Callable[..., Report], image: str, severity: Severity | None) -> None:
    found = of(lint(MODEL, "--disable-log-requests", image=image), "CLI102")
    assert [finding.severity for finding in found] == ([] if severity is None else [severity])
    assert all("0.16.0" in f.arithmetic[0] and "0.17.1" in f.arithmetic[0] and "0.33.0" in f.arithmetic[0] for f in found)


@pytest.mark.parametrize(
    ("image", "option", "code"),
    [
        ("vllm/vllm-openai:latest", "--swap-space=4", "CLI102"),
        ("vllm/vllm-openai", "--swap-space=4", "CLI102"),
        ("acme/vllm-openai:7", "--swap-space=4", "CLI120"),
        ("vllm/vllm-openai:latest", "--disable-log-requests", "CLI120"),  # the newest release has it
        ("registry.example.com/team/vllm-openai:2026-03", "--disable-log-requests", "CLI120"),
    ],
)
def test_a_flag_the_newest_release_lacks_is_a_warning_on_its_own_moving_tag(
    lint: Callable[..., Report], image: str, option: str, code: str
) -> None:
    report = lint(MODEL, option, image=image)
    assert [finding.code for finding in report.findings if finding.code in ("CLI102", "CLI120")] == [code]


def test_options_that_some_releases_lack_are_one_piece_of_advice(lint: Callable[..., Report]) -> None:
    (finding,) = of(lint(MODEL, "--swap-space=4", "--disable-log-requests", image="acme/vllm-openai:7"), "CLI120")
    assert "--swap-space or --disable-log-requests" in finding.label
    assert len(finding.related) == 1
    assert len(finding.arithmetic) == 2


@pytest.mark.parametrize(
    ("image", "severity"),
    [
        ("rayproject/ray-llm:2.52.0-py311-cu128", Severity.WARNING),  # vLLM 0.11 or newer
        ("rayproject/ray-llm:2.46.0-py311-cu124", None),  # 0.8.5 or newer: some of those have it, 0.8.5 too
        ("rayproject/ray-llm:nightly", None),
    ],
)
def test_what_ray_asks_for_is_the_least_release_of_its_image(
    lint: Callable[..., Report], image: str, severity: Severity | None
) -> None:
    report = lint(MODEL, "--device=auto", image=image, command="[vllm, serve]")
    assert [f.severity for f in of(report, "CLI102")] == ([] if severity is None else [severity])


def test_taking_a_removed_flag_out_is_safe_only_where_it_is_surely_gone(lint: Callable[..., Report]) -> None:
    gone = of(lint(MODEL, "--disable-log-requests", image="vllm/vllm-openai:v0.19.1"), "CLI102")[0]
    perhaps = of(lint(MODEL, "--swap-space=4", image="vllm/vllm-openai:latest"), "CLI102")[0]
    assert gone.proposals[0].safe
    assert not perhaps.proposals[0].safe


@pytest.mark.parametrize(
    ("item", "becomes"),
    [
        ("--max-model-len 4096", "--max-model-len=4096"),
        ("'--hf-overrides ''{\"rope_theta\": 1}'''", '--hf-overrides={"rope_theta": 1}'),
        ('" --dtype=half"', None),  # what is meant is the engine's parser's to say
    ],
)
def test_a_jammed_item_is_split_by_an_equals_sign(lint: Callable[..., Report], item: str, becomes: str | None) -> None:
    report = lint(MODEL, item)
    (finding,) = of(report, "CLI104")
    if becomes is not None:
        assert finding.proposals[0].safe
        (text,) = edited(report.sources, finding.proposals[0].edits or ()).values()
        assert becomes in text.text.replace("''", "'")


def test_several_flags_in_one_item_are_one_finding_without_an_edit(lint: Callable[..., Report]) -> None:
    (finding,) = of(lint(MODEL, "--max-model-len 4096 --dtype half"), "CLI104")
    assert finding.proposals[0].edits is None


def test_a_shell_splits_what_looks_jammed(lint: Callable[..., Report]) -> None:
    report = lint("vllm serve Qwen/Qwen3-8B --max-model-len 4096", command="[sh, -c]")
    assert report.deployments
    assert of(report, "CLI104") == []


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("--enforce-eager=true",), "- --enforce-eager\n"),
        (("--enforce-eager", '"False"'), "- --no-enforce-eager\n"),
        (("--no-enable-prefix-caching=true",), "- --no-enable-prefix-caching\n"),
        (("--no-enable-prefix-caching=false",), "- --enable-prefix-caching\n"),
    ],
)
def test_a_switch_keeps_the_sense_its_value_had(lint: Callable[..., Report], args: tuple[str, ...], line: str) -> None:
    report = lint(MODEL, *args)
    (finding,) = of(report, "CLI105")
    (text,) = edited(report.sources, finding.proposals[0].edits or ()).values()
    assert line in text.text
    assert not of(lint(MODEL, line.removeprefix("- ").strip()), "CLI105")


def test_a_value_on_an_option_that_takes_one_is_none_of_ours(lint: Callable[..., Report]) -> None:
    assert of(lint(MODEL, "--max-model-len", '"1"', "--seed=0"), "CLI105") == []


@pytest.mark.parametrize(
    ("written", "meant", "slip"),
    [
        ("--gpu-memory-utilisation", "--gpu-memory-utilization", True),
        ("--max-modellen", "--max-model-len", True),
        ("--enable-metrics", "--enable-mfu-metrics", False),
    ],
)
def test_only_a_slip_of_the_keyboard_is_renamed(written: str, meant: str, slip: bool) -> None:
    assert _is_slip(written, meant) is slip


def test_a_flag_that_is_gone_is_pointed_at_itself_in_a_list(session: Session) -> None:
    text = """
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  containers:
    - name: vllm
      image: vllm/vllm-openai:v0.19.1
      args:
        - --model=Qwen/Qwen3-8B
        - --swap-space
        - "16"
"""
    report = lint_texts([SourceText("pod.yaml", text)], session)
    (finding,) = (f for f in report.findings if f.code == "CLI102")
    start, end = finding.place.span
    assert text[start:end] == "--swap-space"
