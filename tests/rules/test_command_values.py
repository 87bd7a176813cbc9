"""CLI rules about releases, values, variables and pairs of options at their edges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from servelint.engines.arguments import number
from servelint.finding import Certainty, Severity
from servelint.fixes.verify import edited
from servelint.run import lint_texts
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.finding import Finding
    from servelint.run import Report, Session

FIXTURES = Path(__file__).parents[2] / "fixtures" / "rules"
MODEL = "--model=Qwen/Qwen3-8B"
SGLANG = "[python3, -m, sglang.launch_server]"
UNKNOWN = "registry.example.com/serving/vllm-openai:stable"


def of(report: Report, code: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.code == code]


def severities(report: Report, code: str) -> list[Severity]:
    return [finding.severity for finding in of(report, code)]


def fixed(report: Report, code: str) -> str:
    """The text after the first proposal with edits of the only finding of ``code``."""
    (finding,) = of(report, code)
    proposal = next(p for p in finding.proposals if p.edits)
    (source,) = edited(report.sources, proposal.edits or ()).values()
    return source.text


@pytest.mark.parametrize(
    ("version", "found"),
    [("0.11.2", True), ("0.12.0", True), ("0.12.1", False), ("0.13.0", False), ("0.33.0", False), ("0.99.0", False)],
)
def test_newer_than_the_image_only_where_both_neighbours_lack_it(lint: Callable[..., Report], version: str, found: bool) -> None:
    report = lint(MODEL, "--attention-backend=FLASHINFER", image=f"vllm/vllm-openai:v{version}")
    assert severities(report, "CLI103") == ([Severity.ERROR] if found else [])
    assert of(report, "CLI102") == [], "what was never there was not removed"


def test_what_was_removed_and_comes_back_is_removed_and_not_newer(lint: Callable[..., Report]) -> None:
    report = lint(MODEL, "--disable-log-requests", image="vllm/vllm-openai:v0.19.1")
    assert of(report, "CLI103") == []
    assert len(of(report, "CLI102")) == 1


def test_a_newer_spelling_is_written_as_the_older_one(lint: Callable[..., Report]) -> None:
    assert "--gpu-memory-utilization=0.85" in fixed(lint(MODEL, "--device-memory-utilization=0.85"), "CLI103")


def test_keys_of_a_newer_option_are_found_too(lint: Callable[..., Report]) -> None:
    report = lint(MODEL, "--attention-config.backend=FLASHINFER", image="vllm/vllm-openai:v0.11.0")
    assert severities(report, "CLI103") == [Severity.ERROR]


@pytest.mark.parametrize(
    ("image", "value", "expected"),
    [
        ("vllm/vllm-openai:v0.9.0", "bfloat16", [Severity.ERROR]),
        ("vllm/vllm-openai:v0.10.5", "bfloat16", []),  # between two scanned releases of which one has it
        ("vllm/vllm-openai:v0.11.0", "bfloat16", []),
        ("vllm/vllm-openai:v0.13.0", "int3", [Severity.ERROR]),
        ("vllm/vllm-openai:v0.13.5", "int3", []),  # from here on any text may be accepted
        (UNKNOWN, "int3", []),
    ],
)
def test_choices_are_those_of_the_release(lint: Callable[..., Report], image: str, value: str, expected: list[Severity]) -> None:
    assert severities(lint(MODEL, f"--kv-cache-dtype={value}", image=image), "CLI110") == expected


def test_a_choice_of_no_release_is_a_warning_where_the_version_is_unknown(lint: Callable[..., Report]) -> None:
    (finding,) = of(lint(MODEL, "--scheduling-policy=lifo", image=UNKNOWN), "CLI110")
    assert (finding.severity, finding.certainty) == (Severity.WARNING, Certainty.HEURISTIC)


def test_a_choice_in_another_case_is_corrected(lint: Callable[..., Report]) -> None:
    assert "--dtype=bfloat16" in fixed(lint(MODEL, "--dtype=BFloat16"), "CLI110")


@pytest.mark.parametrize("value", ["$(DTYPE)", "'{{ .Values.dtype }}'", "__DTYPE__", "'###ZARF_VAR_DTYPE###'"])
def test_what_is_filled_in_later_is_not_judged(lint: Callable[..., Report], value: str) -> None:
    report = lint(MODEL, "--dtype", value, "--max-num-seqs", value)
    assert of(report, "CLI110") == []
    assert of(report, "CLI111") == []


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        ("--gpu-memory-utilization=0", True),
        ("--gpu-memory-utilization=1", False),
        ("--gpu-memory-utilization=1.01", True),
        ("--max-num-seqs=1", False),
        ("--max-num-seqs=1.5", True),
        ("--max-model-len=-1", False),
        ("--max-model-len=-2", True),
        ("--max-model-len=1.5K", True),  # no decimals of a power of 1024
        ("--max-model-len=1.5k", False),
        ("--tensor-parallel-size=0", True),
        ("--seed=None", False),
        ("--tensor-parallel-size=", True),
        ("'--gpu-memory-utilization='", True),
        ("--data-parallel-size-local=", False),  # may be left out
    ],
)
def test_numbers_keep_their_bounds(lint: Callable[..., Report], argument: str, found: bool) -> None:
    assert severities(lint(MODEL, argument), "CLI111") == ([Severity.ERROR] if found else [])


def test_a_percentage_becomes_a_fraction(lint: Callable[..., Report]) -> None:
    assert "--gpu-memory-utilization=0.9\n" in fixed(lint(MODEL, "--gpu-memory-utilization=90"), "CLI111")


@pytest.mark.parametrize(
    ("text", "kinds", "expected"),
    [
        ("32k", ("int",), None),
        ("32k", ("int", "size"), 32000.0),
        ("32K", ("size",), 32768.0),
        ("0.9", ("int",), None),
        ("0.9", ("float",), 0.9),
        ("nine", ("int", "size", "float"), None),
    ],
)
def test_a_number_is_read_as_its_kind(text: str, kinds: tuple[str, ...], expected: float | None) -> None:
    assert number(text, kinds) == expected


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("vllm/vllm-openai:v0.9.2", []),  # read with a warning
        ("vllm/vllm-openai:v0.10.0", [Severity.ERROR]),
        (UNKNOWN, [Severity.WARNING]),
    ],
)
def test_pairs_instead_of_json_were_accepted_once(lint: Callable[..., Report], image: str, expected: list[Severity]) -> None:
    report = lint(MODEL, "--limit-mm-per-prompt=image=4,video=1", image=image)
    assert severities(report, "CLI113") == expected
    if expected:
        assert '{"image": 4, "video": 1}' in fixed(report, "CLI113").replace("\\", "")


def test_json_without_its_quotes_says_that_the_shell_took_them(lint: Callable[..., Report]) -> None:
    script = """'exec vllm serve Qwen/Qwen3-8B --kv-transfer-config {"kv_connector":"NixlConnector"}'"""
    (finding,) = of(lint(script, command="[sh, -c]"), "CLI113")
    assert "double quotes" in finding.arithmetic[0]


def test_quotes_that_no_shell_takes_away_are_taken_out(lint: Callable[..., Report]) -> None:
    text = fixed(lint(MODEL, "--compilation-config", '''"'{\\"mode\\": 3}'"'''), "CLI113")
    assert """'{"mode": 3}'""" in text or '''"{\\"mode\\": 3}"''' in text


@pytest.mark.parametrize("value", ["3", "'{\"mode\": 3}'", "None", "'{\"a\": ${LEVEL}}'"])
def test_what_parses_or_is_not_finished_is_left_alone(lint: Callable[..., Report], value: str) -> None:
    assert of(lint(MODEL, "--compilation-config", value), "CLI113") == []


@pytest.mark.parametrize(
    ("option", "found"),
    [
        ("--moe-backend=of_next_month", False),  # the list grows from release to release
        ("--moe-backend=Marlin", True),  # a slip
        ("--scheduling-policy=lifo", True),  # the same list in all of them
    ],
)
def test_a_list_that_grows_is_not_held_against_an_unknown_release(lint: Callable[..., Report], option: str, found: bool) -> None:
    assert bool(of(lint(MODEL, option, image=UNKNOWN), "CLI110")) is found


@pytest.mark.parametrize(
    ("image", "environment", "args", "expected"),
    [
        ("vllm/vllm-openai:v0.14.1", "VLLM_ATTENTION_BACKEND=FLASHINFER", (), []),
        ("vllm/vllm-openai:v0.15.0", "VLLM_ATTENTION_BACKEND=FLASHINFER", (), []),  # between two scanned releases
        ("vllm/vllm-openai:v0.16.0", "VLLM_ATTENTION_BACKEND=FLASHINFER", (), [Severity.ERROR]),
        ("vllm/vllm-openai:v0.16.0", "VLLM_ATTENTION_BACKEND=FLASHINFER", ("--attention-backend=FLASHINFER",), []),
        ("vllm/vllm-openai:latest", "VLLM_ATTENTION_BACKEND=FLASHINFER", (), [Severity.WARNING]),
        (UNKNOWN, "VLLM_ATTENTION_BACKEND=FLASHINFER", (), []),
        ("vllm/vllm-openai:v0.16.0", 'VLLM_USE_V1="1"', (), []),  # what happens anyway
        ("acme/vllm-openai:v0.16.0-nixl", "VLLM_ATTENTION_BACKEND=FLASHINFER", (), [Severity.WARNING]),
        (UNKNOWN, "WILM_USE_TRITON_FLASH_ATTENTION=0", (), [Severity.WARNING]),
        (UNKNOWN, "LLM_USE_TRITON_FLASH_ATTN=0", (), []),  # a word of its own
        (UNKNOWN, "TRANSFORMER_CACHE=/cache", (), [Severity.WARNING]),
        (UNKNOWN, "TRANSFORMERS_CACHES=/cache", (), [Severity.WARNING]),
        (UNKNOWN, "HCCL_SOCKET_IFNAME=eth0", (), []),  # of another library
        (UNKNOWN, "NCCL_IB_TC=106", (), []),  # not listed, and near to nothing
        (UNKNOWN, "HF_HOMES_2=/cache", (), []),
        ("vllm/vllm-openai:v0.16.0", 'VLLM_USE_V1="0"', (), [Severity.WARNING]),
        ("vllm/vllm-openai:v0.19.1", 'VLLM_USE_V1="1"', ("--fail-on-environ-validation",), [Severity.ERROR]),
        ("vllm/vllm-openai:v0.19.1", "VLLM_SERVICE_PORT=8000", (), []),
        ("vllm/vllm-openai:v0.19.1", "VLLM_SPYRE_USE_CB=1", (), []),
        ("vllm/vllm-openai:v0.19.1", "VLLM_ATENTION_BACKEND=FLASHINFER", (), [Severity.WARNING]),
        (UNKNOWN, "VLLM_USE_TRITON_FLASH_ATTENTION=0", (), [Severity.WARNING]),
        (UNKNOWN, "VLLM_MOE_CHUNK_SIZE=64", (), []),  # one word less than a variable that exists: another one
        ("opea/vllm-gaudi:1.22.0", "VLLM_USE_TRITON_FLASH_ATTENTION=0", (), []),
    ],
)
def test_variables_that_are_not_read(
    lint: Callable[..., Report], image: str, environment: str, args: tuple[str, ...], expected: list[Severity]
) -> None:
    assert severities(lint(MODEL, *args, image=image, environment=(environment,)), "CLI109") == expected


@pytest.mark.parametrize(
    ("environment", "args"), [('VLLM_USE_V1="1"', ()), ("VLLM_ATTENTION_BACKEND=A", ("--attention-backend=A",))]
)
def test_variables_that_change_nothing_are_advice(lint: Callable[..., Report], environment: str, args: tuple[str, ...]) -> None:
    report = lint(MODEL, *args, image="vllm/vllm-openai:v0.16.0", environment=(environment,))
    assert severities(report, "CLI121") == [Severity.INFO]


def test_a_later_value_wins_and_the_finding_names_it(lint: Callable[..., Report]) -> None:
    report = lint(MODEL, "-tp=1", "--tensor-parallel-size=2", gpus=2)
    (finding,) = of(report, "CLI106")
    assert "--tensor-parallel-size 2" in finding.label
    assert "-tp=1" not in fixed(report, "CLI106")


def test_a_switch_and_its_opposite_differ(lint: Callable[..., Report]) -> None:
    report = lint(MODEL, "--enable-prefix-caching", "--no-enable-prefix-caching")
    assert severities(report, "CLI106") == [Severity.WARNING]


@pytest.mark.parametrize(
    ("version", "name", "expected"),
    [
        ("0.5.5", "qwen3:8b", []),
        ("0.5.6", "qwen3:8b", [Severity.ERROR]),
        ("0.5.6", "s3://bucket/qwen3", []),
        ("0.5.6", "$(NAME)", []),
    ],
)
def test_colons_in_served_names(lint: Callable[..., Report], version: str, name: str, expected: list[Severity]) -> None:
    image = f"lmsysorg/sglang:v{version}"
    report = lint("--model-path=Qwen/Qwen3-8B", f"--served-model-name={name}", image=image, command=SGLANG)
    assert severities(report, "CLI115") == expected


def test_a_model_is_not_missing_where_more_may_come(lint: Callable[..., Report]) -> None:
    assert severities(lint("--max-model-len=4096"), "CLI114") == [Severity.WARNING]
    assert of(lint("--max-model-len=4096", "--config=/etc/vllm.yaml"), "CLI114") == []
    assert of(lint('"vllm serve $MODEL --max-model-len 4096"', command="[sh, -c]"), "CLI114") == []


def test_a_served_default_is_named_by_its_release(lint: Callable[..., Report]) -> None:
    old = of(lint("--max-model-len=2048", image="vllm/vllm-openai:v0.9.0"), "CLI114")[0]
    new = of(lint("--max-model-len=2048", image="vllm/vllm-openai:v0.19.1"), "CLI114")[0]
    assert "facebook/opt-125m" in old.label
    assert "Qwen/Qwen3-0.6B" in new.label


def test_a_key_set_by_a_dot_excludes_the_option_too(lint: Callable[..., Report]) -> None:
    report = lint(MODEL, "--attention-backend=FLASHINFER", "--attention-config.backend=FLASH_ATTN")
    assert severities(report, "CLI112") == [Severity.ERROR]


def test_options_that_are_off_exclude_nothing(lint: Callable[..., Report]) -> None:
    args = (MODEL, "--attention-backend=FLASHINFER", "'--attention-config={\"backend\": null}'")
    assert of(lint(*args), "CLI112") == []


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ('A=1; vllm serve m/m --override-generation-config \'{"a": "$A"}\'', True),
        ('A=1; vllm serve m/m --override-generation-config "{\\"a\\": \\"$A\\"}"', False),
        ('vllm serve m/m --override-generation-config \'{"a": "$A"}\'', False),  # nothing in the manifest sets it
        ('A=1; vllm serve m/m --override-generation-config \'{"a": "\'"$A"\'"}\'', False),
    ],
)
def test_single_quotes_keep_a_variable_from_expanding(session: Session, script: str, found: bool) -> None:
    text = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n    - name: vllm\n"
        f"      image: vllm/vllm-openai:v0.19.1\n      command: [sh, -c]\n      args:\n        - |\n          {script}\n"
    )
    report = lint_texts([SourceText("pod.yaml", text)], session)
    assert report.deployments
    assert bool(of(report, "CLI118")) is found


@pytest.mark.parametrize("text", ["swap-space: 4", "swap_space: 4"])
def test_a_configuration_file_is_pointed_at_its_key_and_has_no_image(session: Session, text: str) -> None:
    content = f"model: Qwen/Qwen3-8B\nmax-model-len: 16384\ngpu-memory-utilization: 0.9\n{text}\n"
    report = lint_texts([SourceText("vllm.yaml", content)], session)
    (finding,) = of(report, "CLI120")
    start, end = finding.place.span
    assert content[start:end] == text.partition(":")[0]
    assert "the image" not in finding.label
    assert any("engine_versions" in line for line in finding.help)


def test_a_slip_in_a_mapping_of_variables_is_marked_at_its_name(session: Session) -> None:
    text = (FIXTURES / "CLI109" / "bad" / "slip-of-the-engine.yaml").read_text(encoding="utf-8")
    found = [f.place.span for f in lint_texts([SourceText("compose.yaml", text)], session).findings if f.code == "CLI109"]
    assert [text[span.start : span.end] for span in found] == ["WLLM_USE_TRITON_FLASH_ATTENTION", "VLLM_WORKER_MULTIPROC_METOD"]
