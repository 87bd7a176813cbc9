"""Every model of the catalogue under some layout of every engine: an estimate in order, or the fact that is missing."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from servelint.capacity.layout import GROUP_LAWS, Layout
from servelint.capacity.memory import memory_of
from servelint.capacity.weights import weights_of
from servelint.catalogue import models
from servelint.facts import UnknownFact

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.catalogue.accelerators import Accelerator
    from servelint.deployment import Pool

TENSOR, PIPELINE = (1, 2, 3, 8, 16), (1, 1, 2, 7)


@pytest.mark.parametrize("engine", sorted(GROUP_LAWS))
def test_an_estimate_or_the_missing_fact(pool: Callable[..., Pool], h100: Accelerator, engine: str) -> None:
    estimated = 0
    for index, name in enumerate(models.names()[::3]):
        architecture = models.find(name)
        if architecture is None:
            continue
        layout = Layout(
            engine, tensor=TENSOR[index % 5], pipeline=PIPELINE[index % 4], data=1 + index % 2, expert=1 + 7 * (index % 2),
            attention_data=1 + index % 3 % 2, decode_context=1 + index % 7 % 2,
        )  # fmt: skip
        made = pool(engine=engine, architecture=architecture, dtype="bfloat16")
        with suppress(UnknownFact):
            for stage in weights_of(made, layout).stages:
                assert 0 < stage.low <= stage.mid <= stage.high, name
            budget = memory_of(made, h100, layout)
            for interval in (
                budget.activation_bytes,
                budget.overhead_bytes,
                budget.kv_pool_bytes,
                budget.kv_tokens,
                budget.used_bytes,
            ):
                assert interval.low <= interval.mid <= interval.high, name
            estimated += 1
    assert estimated > 150
