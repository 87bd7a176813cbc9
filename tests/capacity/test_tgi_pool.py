"""TGI's cache: what each generation of releases leaves for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from servelint.capacity.layout import Layout
from servelint.capacity.limits import step_limits
from servelint.capacity.memory import memory_of
from servelint.capacity.tgi_pool import prefill_tokens
from servelint.catalogue import accelerators
from servelint.facts import Fact

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.catalogue.accelerators import Accelerator
    from servelint.deployment import Pool

GIB = 2**30
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


@pytest.mark.parametrize(
    ("model", "version", "device", "ranks", "prefill", "tokens", "off"),
    [
        (LLAMA, "2.2.0", "A10G", 1, None, 19056, 0.9),  # its defaults
        ("meta-llama/Llama-2-7b-hf", "0.9.2", "A10G", 1, 4096, 16224, 0.4),  # issue 653
        ("meta-llama/Llama-3.1-70B-Instruct", "2.4.0", "A100-SXM4-80GB", 2, 10049, 30816, 0.8),  # issue 2744
    ],
)
def test_logged(
    pool: Callable[..., Pool], model: str, version: str, device: str, ranks: int, prefill: int | None, tokens: int, off: float
) -> None:
    """What ``Setting max batch total tokens to`` said; the releases of the last two are those of the day. ``off``: GiB."""
    accelerator = accelerators.find(device)
    assert accelerator is not None
    facts = {"max_num_batched_tokens": prefill} if prefill else {}
    made = pool(engine="tgi", architecture=model, version=version, tensor=ranks, **facts)
    budget = memory_of(made, accelerator, Layout("tgi", tensor=ranks))
    measured = tokens * budget.kv_bytes_per_token
    assert budget.kv_pool_bytes.low < measured < budget.kv_pool_bytes.high
    assert budget.kv_pool_bytes.mid / GIB == pytest.approx(measured / GIB, abs=off)


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


@pytest.mark.parametrize(
    ("facts", "flags", "environment", "tokens"),
    [
        ({"version": "2.2.0"}, {}, {}, 4145),
        ({"version": "2.2.0", "max_model_len": 1024}, {}, {}, 1074),
        ({"version": "2.2.0"}, {"--max-input-tokens": "2000"}, {}, 2050),
        ({}, {}, {"MAX_INPUT_LENGTH": "1000"}, 1050),
        ({}, {"--max-input-tokens": "$N"}, {}, 4145),
        ({"version": "3.3.0"}, {"--max-input-tokens": "2000"}, {}, 4096),
    ],
)
def test_the_largest_prefill(
    pool: Callable[..., Pool], facts: dict[str, Any], flags: dict[str, str], environment: dict[str, str], tokens: int
) -> None:
    arguments = {name: SimpleNamespace(value=value, value_is_unknown="$" in value) for name, value in flags.items()}
    variables = {name: Fact.known(name, value, None) for name, value in environment.items()}
    container: Any = SimpleNamespace(command=SimpleNamespace(last=arguments.get), variable=variables.get, environment={})
    made = pool(engine="tgi", architecture=LLAMA, **facts)._replace(containers=(container,))
    assert prefill_tokens(made) == tokens
    device = accelerators.find("A10G")
    assert device is not None
    assert step_limits(made, device)[0].mid == tokens
