"""Every model of the catalogue under some layout of every engine: an estimate in order, or the fact that is missing."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from servelint.capacity.layout import GROUP_LAWS, Layout
from servelint.capacity.memory import memory_of
from servelint.capacity.weights import weights_of
from servelint.catalogue import accelerators, models
from servelint.facts import Fact, Origin, OriginKind, UnknownFact

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.deployment import Pool

DEVICES = ("H100-SXM5-80GB", "L4", "MI300X", "B200", "DGX Spark GB10", "RTX 5090", "A100-SXM4-80GB")
VERSIONS = {
    "vllm": ("", "0.6.0", "0.10.0", "0.16.0", "0.18.0", "0.19.5", "0.21.0", "0.24.0", "0.26.5", "0.27.1", "0.29.0"),
    "sglang": ("", "0.4.3", "0.5.3", "0.5.12", "0.5.20"),
    "tgi": ("", "2.2.0", "3.0.0", "3.3.0"),
    "trtllm": ("", "1.2.0"),
}
TERMS = (
    "budget_bytes", "weights_bytes", "activation_bytes", "overhead_bytes", "graphs_bytes", "kv_pool_bytes", "kv_tokens",
    "used_bytes",
)  # fmt: skip
TENSOR, PIPELINE = (1, 2, 3, 8, 16), (1, 1, 2, 7)


@pytest.mark.parametrize("engine", sorted(GROUP_LAWS))
def test_an_estimate_or_the_missing_fact(pool: Callable[..., Pool], engine: str) -> None:
    estimated = 0
    devices = [found for name in DEVICES if (found := accelerators.find(name)) is not None]
    assert len(devices) == len(DEVICES)
    for index, name in enumerate(models.names()[::3]):
        architecture = models.find(name)
        if architecture is None:
            continue
        layout = Layout(
            engine, tensor=TENSOR[index % 5], pipeline=PIPELINE[index % 4], data=1 + index % 2, expert=1 + 7 * (index % 2),
            attention_data=1 + index % 3 % 2, decode_context=1 + index % 7 % 2,
        )  # fmt: skip
        device, version = devices[index % len(devices)], VERSIONS.get(engine, ("",))[index % len(VERSIONS.get(engine, ("",)))]
        made = pool(
            engine=engine, architecture=architecture, dtype="bfloat16", accelerator=device,
            max_num_seqs=Fact.either("limits.max_num_seqs", (256, 1024), Origin(OriginKind.FILE, "test")),
            **({"version": version} if version else {}),
        )  # fmt: skip
        with suppress(UnknownFact):
            for stage in weights_of(made, layout).stages:
                assert 0 < stage.low <= stage.mid <= stage.high, name
            budget = memory_of(made, device, layout)
            for term in TERMS:
                low, mid, high = getattr(budget, term)
                assert low <= mid <= high, f"{term} of {name} on {device.name}, {engine} {version}"
            estimated += 1
    assert estimated > 150
