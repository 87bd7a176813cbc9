"""TGI's cache: what each generation of releases leaves for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servelint.capacity.layout import Layout
from servelint.capacity.memory import memory_of
from servelint.catalogue import accelerators

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.catalogue.accelerators import Accelerator
    from servelint.deployment import Pool

GIB = 2**30
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


def test_logged_by_2_2(pool: Callable[..., Pool]) -> None:
    """19056 tokens of 128 KiB on an A10G, the defaults of 2.2.0."""
    device = accelerators.find("A10G")
    assert device is not None
    budget = memory_of(pool(engine="tgi", architecture=LLAMA, version="2.2.0"), device, Layout("tgi"))
    assert budget.kv_pool_bytes.low < 19056 * 131072 < budget.kv_pool_bytes.high
    assert budget.kv_pool_bytes.mid / GIB == pytest.approx(19056 * 131072 / GIB, abs=0.6)


def test_the_margin_is_of_the_share_since_3(pool: Callable[..., Pool], h100: Accelerator) -> None:
    def budget(version: str | None) -> tuple[float, float]:
        made = pool(engine="tgi", architecture=LLAMA, max_num_batched_tokens=4096, **({"version": version} if version else {}))
        found = memory_of(made, h100, Layout("tgi"))
        return found.budget_bytes.mid / found.device_bytes.mid, found.kv_pool_bytes.mid / GIB

    old, new, either = budget("2.2.0"), budget("3.3.0"), budget(None)
    assert (old[0], new[0]) == (1.0, pytest.approx(0.9))
    assert either == new, "the newest where the release is not known"
    assert old[1] < 62
    assert new[1] < 56


def test_a_longer_prefill_leaves_less(pool: Callable[..., Pool], h100: Accelerator) -> None:
    short, long = (
        memory_of(pool(engine="tgi", architecture=LLAMA, version="2.2.0", max_num_batched_tokens=n), h100, Layout("tgi"))
        for n in (2048, 8192)
    )
    assert long.kv_pool_bytes.mid < short.kv_pool_bytes.mid - 3 * GIB
    bounded = memory_of(pool(engine="tgi", architecture=LLAMA, version="2.2.0", max_model_len=1024), h100, Layout("tgi"))
    assert bounded.activation_bytes.mid < short.activation_bytes.mid


def test_both_accounts_of_an_open_release(pool: Callable[..., Pool], h100: Accelerator) -> None:
    spans = [
        memory_of(pool(engine="tgi", architecture=LLAMA, **facts), h100, Layout("tgi")).kv_pool_bytes
        for facts in ({}, {"version": "2.2.0"}, {"version": "3.3.0"})
    ]
    assert spans[0].low <= min(spans[1].low, spans[2].low)
    assert spans[0].high >= max(spans[1].high, spans[2].high)
