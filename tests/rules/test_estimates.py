"""PAR, MEM and LIM rules at their edges: who may be sure of what, and what they must leave alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, strategies as st

from servelint.capacity.model_length import derived_length
from servelint.catalogue.architecture import Architecture
from servelint.engines.versions import Version
from servelint.estimate import Estimate
from servelint.finding import Certainty, Severity
from servelint_rules.changes import Hosts, hosts_for
from servelint_rules.memory import longest_fitting
from servelint_rules.parallelism import largest_tensor_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.finding import Finding
    from servelint.run import Report, Session

EIGHT, SEVENTY = "--model=meta-llama/Llama-3.1-8B-Instruct", "--model=meta-llama/Llama-3.1-70B-Instruct"


def of(report: Report, code: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.code == code]


def architecture(**config: Any) -> Architecture:
    return Architecture("some/model", config, {}, None, "test")


# -- changes


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 64))
def test_hosts_hold_exactly_the_gpus_asked_for(gpus: int, nodes: int, wanted: int) -> None:
    hosts = hosts_for(Hosts(gpus, nodes), wanted)
    if hosts is not None:
        assert hosts.gpus * hosts.nodes == wanted
        assert hosts.nodes <= max(nodes, -(-wanted // gpus))


def test_whole_hosts_go_before_parts_of_them() -> None:
    assert hosts_for(Hosts(8, 2), 8) == Hosts(8, 1)
    assert hosts_for(Hosts(8, 2), 4) == Hosts(4, 1)
    assert hosts_for(Hosts(4, 1), 2) == Hosts(2, 1)
    assert hosts_for(Hosts(8, 1), 16) is None, "a pod does not grow beyond a host"
    assert hosts_for(Hosts(8, 2), 12) is None


@given(st.sampled_from([16, 28, 32, 40, 64]), st.sampled_from([1, 2, 4, 8]), st.integers(1, 64))
def test_the_size_proposed_divides_the_model(heads: int, kv_heads: int, most: int) -> None:
    model = architecture(num_attention_heads=heads, num_key_value_heads=kv_heads, vocab_size=152064, intermediate_size=18944)
    size = largest_tensor_size(model, most)
    assert 1 <= size <= most
    assert heads % size == 0
    assert 152064 % size == 0
    assert kv_heads % size == 0 or size % kv_heads == 0


def test_seven_divides_28_heads_but_not_the_vocabulary() -> None:
    model = architecture(num_attention_heads=28, num_key_value_heads=4, vocab_size=152064, intermediate_size=18944)
    assert largest_tensor_size(model, 8) == 4


# -- model length

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}


@pytest.mark.parametrize(
    ("config", "version", "tokens"),
    [
        ({"max_position_embeddings": 32768}, None, 32768),
        ({"max_position_embeddings": 32768, "n_positions": 2048}, None, 2048),
        ({"max_position_embeddings": 131072, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, None, 131072),
        ({"max_position_embeddings": 131072, "rope_scaling": {"type": "longrope", "factor": 32.0}}, None, 131072),
        ({"max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 2}}, None, 8192),
        ({"max_position_embeddings": 32768, "rope_scaling": YARN}, Version(0, 29, 0), 131072),
        ({"max_position_embeddings": 32768, "rope_scaling": YARN}, Version(0, 30, 0), 32768),
        ({"max_position_embeddings": 32768, "rope_scaling": YARN}, Version(0, 29, 1), 131072),  # in the gap: the more favourable
        ({"max_position_embeddings": 32768, "rope_scaling": YARN}, None, 131072),
        ({"max_position_embeddings": 131072, "rope_parameters": {"full_attention": {"rope_type": "linear"}}}, None, 131072),
    ],
)
def test_the_length_is_what_the_version_derives(config: dict[str, Any], version: Version | None, tokens: int) -> None:
    length = derived_length(architecture(**config), version)
    assert length is not None
    assert length.tokens == tokens


def test_without_a_length_nothing_is_derived() -> None:
    assert derived_length(architecture(hidden_size=4096), None) is None


def test_a_length_from_the_catalogue_is_at_most_a_warning(lint: Callable[..., Report]) -> None:
    (finding,) = of(lint("--model=Qwen/Qwen2.5-7B-Instruct", "--max-model-len=64k"), "LIM301")
    assert (finding.severity, finding.certainty) == (Severity.WARNING, Certainty.ESTIMATED)


@pytest.mark.parametrize("value", ["auto", "-1"])
def test_a_length_that_fits_itself_exceeds_nothing(lint: Callable[..., Report], value: str) -> None:
    report = lint(EIGHT, f"--max-model-len={value}", image="vllm/vllm-openai:v0.33.0")
    assert of(report, "LIM301") + of(report, "MEM402") == []


def test_the_operator_may_allow_longer_sequences(lint: Callable[..., Report]) -> None:
    args = ("--model=Qwen/Qwen2.5-7B-Instruct", "--max-model-len=65536")
    assert of(lint(*args, environment=('VLLM_ALLOW_LONG_MAX_MODEL_LEN="0"',)), "LIM301")
    assert not of(lint(*args, environment=('VLLM_ALLOW_LONG_MAX_MODEL_LEN="1"',)), "LIM301")


# -- memory


class _Budget(NamedTuple):
    kv_pool_bytes: Estimate
    per_token: float

    def request_bytes(self, tokens: int) -> float:
        return tokens * self.per_token


@given(st.floats(-1e9, 1e11), st.floats(1.0, 1e6), st.integers(1, 10**6), st.sampled_from([16, 64, 128]))
def test_the_longest_that_fits_is_the_longest(low: float, per_token: float, most: int, block: int) -> None:
    budget: Any = _Budget(Estimate(low, max(low, 0.0), max(low, 0.0)), per_token)
    tokens = longest_fitting(budget, most, block)
    assert tokens % block == 0
    assert tokens <= most
    assert tokens == 0 or budget.request_bytes(tokens) <= low
    assert tokens + block > most or budget.request_bytes(tokens + block) > low


def test_weights_beyond_the_budget_are_proven_not_to_fit(lint: Callable[..., Report]) -> None:
    (finding,) = of(lint(SEVENTY, "--max-model-len=4096"), "MEM401")
    assert (finding.severity, finding.certainty) == (Severity.ERROR, Certainty.PROVEN)
    assert not of(lint(SEVENTY, "--max-model-len=4096"), "MEM402"), "one fault, one finding"


def test_a_stated_cache_bypasses_the_budget_but_not_the_device(lint: Callable[..., Report]) -> None:
    assert of(lint(SEVENTY, "--max-model-len=4096", "--kv-cache-memory-bytes=8G"), "MEM401")
    too_small = of(lint(EIGHT, "--max-model-len=16384", "--kv-cache-memory-bytes=1G"), "MEM402")
    assert [(f.severity, f.certainty) for f in too_small] == [(Severity.ERROR, Certainty.PROVEN)]


def test_a_cache_of_less_than_nothing_has_no_size(lint: Callable[..., Report]) -> None:
    """The middle is below nothing, the upper half is not (MEM401 is silent): "−0.87 GiB is there" was said."""
    (finding,) = of(
        lint(
            "--model=Qwen/Qwen3-32B-AWQ", "--tensor-parallel-size=2", "--enable-lora", "--max-loras=15", "--max-lora-rank=64",
            "--gpu-memory-utilization=0.85", "--max-model-len=32768", gpus=2, image="vllm/vllm-openai:latest",
            selector="nvidia.com/gpu.product: NVIDIA-GeForce-RTX-4090",
        ),
        "MEM402",
    )  # fmt: skip
    assert finding.label == "one sequence needs 4.0 GiB of KV cache per GPU; hardly any is there"


def test_a_length_nobody_stated_is_at_most_a_warning(lint: Callable[..., Report]) -> None:
    (finding,) = of(lint(EIGHT, selector="nvidia.com/gpu.product: NVIDIA-L4"), "MEM402")
    assert finding.severity is Severity.WARNING
    assert "the model's own length" in finding.arithmetic[0]


@pytest.mark.parametrize(
    "args",
    [
        ("--cpu-offload-gb=80",),
        ("'--hf-overrides={\"num_hidden_layers\": 2}'",),
    ],
)
def test_what_no_estimate_knows_is_not_checked(lint: Callable[..., Report], args: tuple[str, ...]) -> None:
    report = lint(SEVENTY, "--max-model-len=4096", *args)
    assert not of(report, "MEM401")
    assert any("MEM401" in item.codes for item in report.not_checked)


def test_overrides_of_positions_change_no_memory(lint: Callable[..., Report]) -> None:
    assert of(lint(SEVENTY, "--max-model-len=4096", "'--hf-overrides={\"rope_theta\": 1000000}'"), "MEM401")


def test_an_engine_on_cpus_has_no_gpu_memory(lint: Callable[..., Report]) -> None:
    report = lint(SEVENTY, "--max-model-len=4096", image="vllm/vllm-openai-cpu:v0.19.1")
    assert not of(report, "MEM401")


@pytest.mark.parametrize(
    ("image", "utilization", "gpus", "found"),
    [
        ("vllm/vllm-openai:v0.19.1", "0.95", 2, False),  # measured to start on H100
        ("vllm/vllm-openai:v0.19.1", "0.98", 2, True),
        ("vllm/vllm-openai:v0.30.0", "0.97", 1, False),  # graphs are inside the budget
        ("vllm/vllm-openai:v0.30.0", "0.995", 1, True),
    ],
)
def test_what_is_left_outside_the_budget_decides(
    lint: Callable[..., Report], image: str, utilization: str, gpus: int, found: bool
) -> None:
    report = lint(EIGHT, f"--tensor-parallel-size={gpus}", f"--gpu-memory-utilization={utilization}", image=image, gpus=gpus)
    assert bool(of(report, "MEM403")) is found


@pytest.mark.parametrize(
    ("image", "gpus", "more", "found"),
    [
        ("v0.19.0", 2, (), True),  # logged: out of memory while the sampler was warmed up
        ("v0.19.0", 2, ("--max-num-seqs=256",), False),
        ("v0.19.0", 2, ("--enforce-eager",), False),
        ("v0.19.0", 1, (), False),  # without a second GPU there are no communicators
        ("v0.22.1", 2, (), False),  # graphs are inside the budget
    ],
)
def test_the_warm_up_of_the_sampler_needs_room(
    lint: Callable[..., Report], image: str, gpus: int, more: tuple[str, ...], found: bool
) -> None:
    args = ("--model=openai/gpt-oss-20b", f"--tensor-parallel-size={gpus}", "--gpu-memory-utilization=0.95", *more)
    said = of(lint(*args, image=f"vllm/vllm-openai:{image}", gpus=gpus), "MEM403")
    assert bool(said) is found
    assert not found or "1024 × 201088 × 4 bytes = 0.77 GiB" in said[0].arithmetic[0]


@pytest.mark.parametrize(("utilization", "asked"), [("0.92", False), ("0.95", True)])
def test_without_a_gpu_a_high_utilization_is_not_checked(lint: Callable[..., Report], utilization: str, asked: bool) -> None:
    """A share says nothing without the memory it is a share of: 5 % of a B300 are 13 GiB, more than any release needs."""
    report = lint(EIGHT, f"--gpu-memory-utilization={utilization}", selector="pool: gpu")
    assert not of(report, "MEM403")
    assert any("MEM403" in item.codes for item in report.not_checked) is asked


@pytest.mark.parametrize(("product", "found"), [("NVIDIA-B200", False), ("NVIDIA-L4", True)])
def test_five_percent_are_enough_on_large_gpus_only(lint: Callable[..., Report], product: str, found: bool) -> None:
    report = lint(EIGHT, "--gpu-memory-utilization=0.95", selector=f"nvidia.com/gpu.product: {product}")
    assert bool(of(report, "MEM403")) is found


def test_layers_nobody_names_are_not_counted_as_attention(lint: Callable[..., Report]) -> None:
    """Most layers of LFM2 keep a state of constant size; this one's entry in the catalogue does not say which."""
    report = lint("--model=LiquidAI/LFM2-8B-A1B", selector="nvidia.com/gpu.product: NVIDIA-L4")
    assert not of(report, "MEM401") + of(report, "MEM402")
    assert any("MEM402" in item.codes and item.fact == "model.architecture.layer_types" for item in report.not_checked)


def test_a_checkpoint_released_in_4_bits_is_not_counted_at_16(lint: Callable[..., Report]) -> None:
    """Four bits and what is left of 16 are about 72 GiB on each of 8, which the 71 of an H100's share may not hold."""
    report = lint("--model=moonshotai/Kimi-K2.6", "--tensor-parallel-size=8", gpus=8)
    (finding,) = of(report, "MEM401")
    assert finding.severity is Severity.WARNING
    assert not of(lint("--model=moonshotai/Kimi-K2.6", "--tensor-parallel-size=16", gpus=16), "MEM401")


# -- pipeline


def test_a_pipeline_that_makes_the_model_fit_is_needed(lint: Callable[..., Report]) -> None:
    args = (SEVENTY, "--tensor-parallel-size=1", "--max-model-len=8192")
    assert not of(lint(*args, "--pipeline-parallel-size=4", gpus=4), "PAR207")


def test_the_fix_of_an_unneeded_pipeline_is_withheld_where_the_gpus_do_not_match(lint: Callable[..., Report]) -> None:
    (finding,) = of(lint(EIGHT, "--pipeline-parallel-size=2", "--max-model-len=8192", gpus=3), "PAR207")
    assert finding.proposals[0].edits is None


def test_workload_rules_are_silent_without_a_workload(lint: Callable[..., Report]) -> None:
    report = lint(EIGHT, "--max-model-len=8192", "--max-num-seqs=4096")
    for code in ("MEM405", "MEM406", "SLO801", "SLO802"):
        assert not of(report, code)
        assert not any(code in item.codes for item in report.not_checked), "not applicable is not unchecked"


def test_a_default_accelerator_is_none_of_another_makers_devices(session: Session, manifest: Callable[..., str]) -> None:
    from servelint.config import Config
    from servelint.run import lint_texts
    from servelint.source.text import SourceText

    text = manifest(SEVENTY, "--max-model-len=4096", "--dtype=bfloat16", selector="pool: gaudi").replace(
        "nvidia.com/gpu", "habana.ai/gaudi"
    )
    defaulted = session._replace(config=Config(default_accelerator="T4"))
    report = lint_texts([SourceText("llm.yaml", text)], defaulted)
    assert not of(report, "MEM401") + of(report, "HWQ501")
    assert any({"MEM401", "HWQ501"} <= set(item.codes) for item in report.not_checked)
