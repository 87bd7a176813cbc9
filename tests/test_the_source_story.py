"""The story the product was made for, end to end: a plan of 8 GPUs that needs 4, in a plan and in manifests.

The arithmetic: 16 layers × 16 KV heads × 32 × 2 (K, V) × 2 B = 32 KiB of KV cache per token. 128 requests of 10496 tokens over
DP 2 are 64 per rank; over TP 2 that is 64 × 10496 × 16 KiB = 10.25 GiB, and 10e9 × 2 B / 2 = 9.3 GiB of weights: about 20 GiB
of the 59.6 GiB (64 GB) at PP 1, so PP 2 is not needed. 23.19 GB of 64 GB is 36.2 %. 400e12 / (2 × 10e9) = 20,000 tokens/s per
GPU and 400e12 / (2 × 42e6) = 4.8e6 for the shape: 19e6 is beyond both. 19e6 / 1000 = 19,000 is below the first.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from servelint.compare import compare_texts
from servelint.config import Config
from servelint.fixes.apply import fix_all
from servelint.fixes.verify import with_fixes
from servelint.run import Report, Session, lint_paths, open_session
from servelint.source.reader import read_text

FIXTURES = Path(__file__).parents[1] / "fixtures"
PREVIOUS = FIXTURES / "plans" / "ten-billion.yaml"
OPTIMIZED = FIXTURES / "plans" / "ten-billion-optimized.yaml"


@pytest.fixture(scope="module")
def session() -> Session:
    return open_session(Config())


def linted(path: Path, session: Session) -> Report:
    return with_fixes(lint_paths([str(path)], session), session)


def codes(report: Report) -> list[str]:
    return sorted(finding.code for finding in report.findings)


def test_the_previous_plan_and_what_fixing_leaves_of_it(session: Session) -> None:
    before = linted(PREVIOUS, session)
    # SLO802 and PLN909 are faults of the task itself (its target, its model) that no layout can mend.
    assert codes(before) == ["MEM405", "PAR207", "PLN901", "PLN909", "SLO802"]
    applied = fix_all(before, session, unsafe=True)
    assert [finding.code for finding, _ in applied.done] == ["PLN901", "PAR207"]
    assert set(codes(applied.report)) < set(codes(before))
    assert not {"PAR207", "PLN901"} & set(codes(applied.report))
    (document,) = read_text(applied.texts[str(PREVIOUS)]).documents
    assert document.text_at("parallelism", "pipeline") == "1"
    assert document.text_at("claims", "gpus") == "4"
    assert document.text_at("claims", "memory", "weights") == "10.00 GB"
    assert document.text_at("claims", "memory", "total") == "38.91 GB"  # 10.00 + 21.44 + 5.36 + 2.11
    assert document.text_at("claims", "memory", "utilization") == "60.8 %"  # 38.91 / 64
    assert "leaves room for the KV cache" in (document.text_at("reasoning", 1, "because") or "")


def test_the_optimized_plan_claims_the_impossible(session: Session) -> None:
    report = linted(OPTIMIZED, session)
    # MEM405: 2 GPUs would do (TP 1 × DP 2: 18.6 GiB of weights and 20.5 of KV cache in 59.6).
    assert codes(report) == ["MEM405", "PLN905", "PLN909", "PLN916", "SLO802"]


@pytest.mark.parametrize("name", ["lws-ten-billion-like.yaml", "deployment-ten-billion-like.yaml"])
def test_the_same_as_a_manifest(name: str, session: Session) -> None:
    before = linted(FIXTURES / "kubernetes" / name, session)
    assert codes(before) == ["PAR207"]
    (layout,) = (deployment.pools[0] for deployment in before.deployments)
    assert (layout.tensor.value, layout.pipeline.value, layout.replicas_min.value) == (2, 2, 2)
    applied = fix_all(before, session, unsafe=True)
    assert applied.report.findings == ()
    pool = applied.report.deployments[0].pools[0]
    assert (pool.pipeline.value, pool.gpus_per_node.value * pool.nodes.value * pool.replicas_min.value) == (1, 4)


def test_the_comparison_says_8_to_4(session: Session) -> None:
    before = linted(PREVIOUS, session)
    after = fix_all(before, session, unsafe=True).texts[str(PREVIOUS)]
    comparison = compare_texts(before.sources[str(PREVIOUS)], after, session)
    assert (comparison.old_gpus, comparison.new_gpus) == (8, 4)
    assert {finding.code for finding in comparison.solved} == {"PAR207", "PLN901"}
    assert comparison.introduced == ()
    assert {check.name: check.met for check in comparison.targets}["TTFT"] is True
