"""SGLang's automatic ``mem_fraction_static``: the values its releases work out, by hand from their source."""

from __future__ import annotations

from typing import Any

import pytest

from servelint.capacity.layout import Layout
from servelint.capacity.sglang_fraction import automatic_fraction
from servelint.capacity.step import GIB
from servelint.catalogue import models
from servelint.deployment import Pool
from servelint.engines.versions import Version
from servelint.estimate import Estimate
from servelint.facts import Fact


def _fraction(model: str, version: str | None, gib: float, tensor: int = 1, **more: Any) -> Estimate:
    values = {"architecture": models.find(model), "version": Version.parse(version) if version else None, **more}
    facts = {name: Fact.known(name, value, None) for name, value in values.items() if value is not None}
    pool = Pool(name="x", place=None, **facts)  # type: ignore[arg-type]
    return automatic_fraction(pool, Layout(engine="sglang", tensor=tensor), Estimate.exact(gib * GIB))


@pytest.mark.parametrize(
    ("version", "gib", "tensor", "expected"),
    [
        ("0.4.7", 79.6, 1, 0.88),  # by ranks
        ("0.4.7", 79.6, 8, 0.81),
        ("0.5.2", 79.6, 1, 1 - 10 / 79.6),  # 9.5 GiB and half a GiB for each rank
        ("0.5.2", 140.4, 8, 1 - 16 / 140.4),
        ("0.5.6", 79.6, 1, 1 - (0.5 + 12 + 0.125 + 0.5) / 79.6),  # 8192 tokens, 256 graphs
        ("0.5.6", 79.6, 8, 1 - (0.5 + 12 + 1 + 1) / 79.6),  # 512 graphs
        ("0.5.6", 179.0, 1, 1 - (0.5 + 24 + 0.125 + 1) / 179),  # 16384 tokens
    ],
)
def test_releases(version: str, gib: float, tensor: int, expected: float) -> None:
    assert _fraction("Qwen/Qwen3-8B", version, gib, tensor).mid == pytest.approx(expected, abs=1e-3)


def test_a_small_chunk_leaves_ten_gib_of_a_large_device() -> None:
    assert _fraction("Qwen/Qwen3-8B", "0.5.6", 79.6, max_num_batched_tokens=2048).mid == pytest.approx(1 - 10 / 79.6)


def test_latent_attention_reserves_more_for_graphs() -> None:
    plain, latent = (_fraction(model, "0.5.20", 140.4, 8) for model in ("Qwen/Qwen3-8B", "deepseek-ai/DeepSeek-V3"))
    assert latent.mid == pytest.approx(plain.mid - (1.5 - 0.45) / 140.4, abs=1e-6)


def test_image_processing_takes_part_of_the_share() -> None:
    text, seeing = (_fraction(model, "0.5.6", 79.6) for model in ("Qwen/Qwen3-8B", "google/gemma-3-27b-it"))
    tower = 27 * 1152**2 / (24 * 1024**2)
    assert seeing.mid == pytest.approx(text.mid * 0.95 * (1 - 0.1 * (tower - 1)))
    assert seeing.high == pytest.approx(text.high)  # with --language-only


def test_an_unknown_release_spans_them() -> None:
    found = _fraction("Qwen/Qwen3-8B", None, 79.6)
    assert found.low < 0.84  # 0.5.23
    assert found.high > 0.87  # 0.5.2
