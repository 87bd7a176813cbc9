"""MEM409-MEM411, MEM418 and K8S611 at their edges: what a host must hold, and what nobody can tell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from servelint.finding import Certainty, Severity
from servelint.run import lint_texts
from servelint.source.text import SourceText
from servelint_rules.host_resources import _compose_bytes
from servelint_rules.memory_reserves import _bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.finding import Finding
    from servelint.run import Report, Session

EIGHT, SEVENTY = "--model=meta-llama/Llama-3.1-8B-Instruct", "--model=meta-llama/Llama-3.1-70B-Instruct"
GIB = 1 << 30


def of(report: Report, code: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.code == code]


@pytest.fixture(scope="session")
def limited(session: Session, manifest: Callable[..., str]) -> Callable[..., Report]:
    """Lints a Deployment whose container has these limits beside its GPUs, and volumes."""

    def run(*args: str, limits: str, mounts: str = "", volumes: str = "", **others: Any) -> Report:
        text = manifest(*args, **others)
        text = text.replace("limits: {nvidia.com/gpu:", f"limits: {{{limits}, nvidia.com/gpu:")
        if mounts:
            text += f"          volumeMounts: [{mounts}]\n"
        if volumes:
            text += f"      volumes: [{volumes}]\n"
        return lint_texts([SourceText("llm.yaml", text)], session)

    return run


# -- memory


@pytest.mark.parametrize(("limit", "found"), [("129Gi", True), ("135Gi", False), ("138G", True), ("145G", False)])
def test_the_weights_pass_through_the_page_cache(limited: Callable[..., Report], limit: str, found: bool) -> None:
    report = limited(SEVENTY, "--tensor-parallel-size=4", limits=f"memory: {limit}", gpus=4)
    assert bool(of(report, "MEM419")) is found
    assert not of(report, "MEM409"), "its pages can be given up"


@pytest.mark.parametrize(("limit", "code"), [("43Gi", "MEM409"), ("44Gi", "MEM419")])
def test_below_a_third_of_the_weights_it_is_a_fault(limited: Callable[..., Report], limit: str, code: str) -> None:
    report = limited(SEVENTY, "--tensor-parallel-size=4", limits=f"memory: {limit}", gpus=4)
    assert [f.code for f in report.findings if f.code in ("MEM409", "MEM419")] == [code]


def test_advice_on_the_page_cache_is_no_warning(limited: Callable[..., Report]) -> None:
    (finding,) = of(limited(SEVENTY, "--tensor-parallel-size=4", limits="memory: 100Gi", gpus=4), "MEM419")
    assert finding.severity is Severity.INFO


@pytest.mark.parametrize(
    ("path", "found"),
    [("/models/Qwen3-32B", True), ("/models/Qwen3-32B/", True), ("/models/qwen3-32b", True), ("/models/current", False)],
)
def test_a_path_may_name_the_model(limited: Callable[..., Report], path: str, found: bool) -> None:
    report = limited(f"--model={path}", "--tensor-parallel-size=2", limits="memory: 16Gi", gpus=2)
    assert [f.certainty for f in of(report, "MEM409")] == [Certainty.HEURISTIC] * found
    assert any("MEM409" in item.codes for item in report.not_checked) is not found


def test_a_path_proves_nothing(limited: Callable[..., Report]) -> None:
    report = limited("--model=/models/Qwen3-32B", "--tensor-parallel-size=3", limits="memory: 16Gi", gpus=3)
    assert not of(report, "PAR202"), "which model it is, is a guess"


def test_on_gpus_the_limit_is_never_an_error(limited: Callable[..., Report]) -> None:
    (finding,) = of(limited(SEVENTY, "--tensor-parallel-size=4", limits="memory: 8Gi", gpus=4), "MEM409")
    assert (finding.severity, finding.certainty) == (Severity.WARNING, Certainty.HEURISTIC)


def test_on_cpus_the_weights_stay(limited: Callable[..., Report]) -> None:
    image = "vllm/vllm-openai-cpu:v0.19.1"
    (finding,) = of(limited(EIGHT, limits="memory: 14Gi", image=image), "MEM409")
    assert (finding.severity, finding.certainty) == (Severity.ERROR, Certainty.ESTIMATED)
    assert not of(limited(EIGHT, limits="memory: 16Gi", image=image), "MEM409")
    assert of(limited(EIGHT, limits="memory: 16Gi", image=image, environment=('VLLM_CPU_KVCACHE_SPACE="8"',)), "MEM409")


def test_a_simulator_holds_no_weights(limited: Callable[..., Report]) -> None:
    report = limited(SEVENTY, limits="memory: 1Gi", image="ghcr.io/llm-d/llm-d-inference-sim:v0.5.0", command='["vllm", "serve"]')
    assert not of(report, "MEM409")


def test_an_unknown_model_is_not_checked(limited: Callable[..., Report]) -> None:
    report = limited("--model=some-house/model", limits="memory: 4Gi")
    assert any("MEM409" in item.codes for item in report.not_checked)
    assert not any("MEM409" in item.codes for item in limited("--model=some-house/model", limits="cpu: 4").not_checked)


@pytest.mark.parametrize(("size", "found"), [(63, False), (65, True)])
def test_one_buffer_for_all_tensor_parallel_ranks(limited: Callable[..., Report], size: int, found: bool) -> None:
    args = (EIGHT, "--tensor-parallel-size=4", f"--kv-offloading-size={size}")
    assert bool(of(limited(*args, limits="memory: 64Gi", gpus=4), "MEM410")) is found


@pytest.mark.parametrize(("ranks", "found"), [(2, False), (4, True)])
def test_a_buffer_for_each_rank_of_lmcache(limited: Callable[..., Report], ranks: int, found: bool) -> None:
    environment = ('LMCACHE_MAX_LOCAL_CPU_SIZE="20"',)
    report = limited(EIGHT, f"--tensor-parallel-size={ranks}", limits="memory: 64Gi", gpus=ranks, environment=environment)
    assert bool(of(report, "MEM410")) is found


def test_offloaded_weights_are_at_most_the_models(limited: Callable[..., Report]) -> None:
    assert not of(limited(EIGHT, "--cpu-offload-gb=100", limits="memory: 24Gi"), "MEM410"), "15 GiB is all there is"
    assert of(limited(SEVENTY, "--cpu-offload-gb=100", limits="memory: 64Gi"), "MEM410")
    (finding,) = of(limited("--model=some-house/model", "--cpu-offload-gb=100", limits="memory: 64Gi"), "MEM410")
    assert finding.severity is Severity.WARNING


@pytest.mark.parametrize(("tag", "found"), [("v0.6.3", True), ("v0.8.5", False)])
def test_v0_pins_four_gib_of_swap_for_each_gpu(limited: Callable[..., Report], tag: str, found: bool) -> None:
    report = limited(EIGHT, "--tensor-parallel-size=8", limits="memory: 24Gi", gpus=8, image=f"vllm/vllm-openai:{tag}")
    assert bool(of(report, "MEM410")) is found
    assert not of(report, "MEM409"), "one fault, one finding"


SHM = "{name: shm, mountPath: /dev/shm}"


@pytest.mark.parametrize(("size", "found"), [("15Gi", False), ("16Gi", True), ("17179869184", True)])
def test_a_volume_in_memory_is_memory(limited: Callable[..., Report], size: str, found: bool) -> None:
    volume = f"{{name: shm, emptyDir: {{medium: Memory, sizeLimit: {size}}}}}"
    assert bool(of(limited(EIGHT, limits="memory: 16Gi", mounts=SHM, volumes=volume), "MEM411")) is found


def test_a_volume_on_disk_is_no_memory(limited: Callable[..., Report]) -> None:
    volume = "{name: shm, emptyDir: {sizeLimit: 100Gi}}"
    assert not of(limited(EIGHT, limits="memory: 16Gi", mounts=SHM, volumes=volume), "MEM411")


@pytest.mark.parametrize(
    ("text", "size"), [("32g", 32 * GIB), ("512m", 512 << 20), ("1024", 1024), ("2GB", 2 * GIB), ("much", 0), ("${MEMORY}", 0)]
)
def test_byte_values_of_compose(text: str, size: float) -> None:
    assert _compose_bytes(text) == size


@pytest.mark.parametrize(("text", "size"), [("16G", 16 * GIB), ("512M", 512 << 20), ("1024", 1024), ("auto", None)])
def test_sizes_of_a_symmetric_heap(text: str, size: float | None) -> None:
    assert _bytes(text) == size


# -- storage


@pytest.mark.parametrize(("limit", "severity"), [("100Gi", Severity.ERROR), ("132Gi", Severity.WARNING), ("160Gi", None)])
def test_the_containers_own_file_system(limited: Callable[..., Report], limit: str, severity: Severity | None) -> None:
    found = of(limited(SEVENTY, "--tensor-parallel-size=4", limits=f"ephemeral-storage: {limit}", gpus=4), "K8S611")
    assert [finding.severity for finding in found] == ([] if severity is None else [severity])


CACHE = "{name: cache, mountPath: /root/.cache/huggingface}"


@pytest.mark.parametrize(
    ("mounts", "environment", "found"),
    [
        ("", (), True),
        (CACHE, (), False),  # what the claim holds is not in this file
        ("{name: cache, mountPath: /models}", (), True),  # the image's own default lies elsewhere
        ("{name: cache, mountPath: /models}", ("HF_HOME=/models",), False),
        ("{name: cache, mountPath: /models}", ("HF_HOME=/elsewhere",), True),
        ("", ("HF_HUB_OFFLINE='1'",), False),
    ],
)
def test_the_limit_counts_where_the_model_lies_in_the_container(
    limited: Callable[..., Report], mounts: str, environment: tuple[str, ...], found: bool
) -> None:
    claim = "{name: cache, persistentVolumeClaim: {claimName: elsewhere}}" if mounts else ""
    report = limited(EIGHT, limits="ephemeral-storage: 8Gi", mounts=mounts, volumes=claim, environment=environment)
    assert bool(of(report, "K8S611")) is found


def test_another_user_has_a_home_that_nobody_knows(session: Session, manifest: Callable[..., str]) -> None:
    text = manifest(EIGHT).replace("limits: {", "limits: {ephemeral-storage: 8Gi, ")
    text += "          volumeMounts: [{name: cache, mountPath: /home/user}]\n          securityContext: {runAsUser: 1000}\n"
    text += "      volumes: [{name: cache, persistentVolumeClaim: {claimName: elsewhere}}]\n"
    assert not of(lint_texts([SourceText("llm.yaml", text)], session), "K8S611")


@pytest.mark.parametrize(("mode", "severity"), [("ReadWriteOnce", Severity.ERROR), ("ReadWriteMany", Severity.WARNING)])
def test_shared_file_systems_may_have_more_than_they_say(
    session: Session, manifest: Callable[..., str], mode: str, severity: Severity
) -> None:
    text = manifest(SEVENTY, "--tensor-parallel-size=4", gpus=4) + f"          volumeMounts: [{CACHE}]\n"
    text += "      volumes: [{name: cache, persistentVolumeClaim: {claimName: models}}]\n"
    text += "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: models}\n"
    text += f"spec: {{accessModes: [{mode}], resources: {{requests: {{storage: 50Gi}}}}}}\n"
    (finding,) = of(lint_texts([SourceText("llm.yaml", text)], session), "K8S611")
    assert finding.severity is severity


def test_a_patch_does_not_say_what_is_not_mounted(session: Session) -> None:
    text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: llm}\nspec:\n  template:\n    spec:\n      containers:\n"
    text += f"        - {{name: engine, image: 'vllm/vllm-openai:v0.19.1', args: [{SEVENTY!r}],\n"
    text += "           resources: {limits: {ephemeral-storage: 8Gi}}}\n"
    report = lint_texts([SourceText("base/patch.yaml", text)], session)
    assert report.deployments
    assert not of(report, "K8S611")


def test_a_cache_of_nims_may_hold_a_profile_of_fewer_bits(session: Session) -> None:
    text = (Path(__file__).parents[2] / "fixtures/rules/K8S611/bad/nim-cache.yaml").read_text()
    found = {
        size: of(lint_texts([SourceText("nim.yaml", text.replace("20Gi", size))], session), "K8S611")
        for size in ("20Gi", "100Gi")
    }
    assert [f.severity for f in found["20Gi"]] == [Severity.ERROR]
    assert "and would have 32.9 GiB even in 4 bits" in found["20Gi"][0].label
    assert found["100Gi"] == []
