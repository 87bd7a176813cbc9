"""Pools for the estimates: facts as a manifest would give them, without a manifest."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from measured_rows import ROOT
from servelint.catalogue import accelerators, models
from servelint.catalogue.architecture import Architecture
from servelint.deployment import Pool
from servelint.engines.versions import Version
from servelint.estimate import Estimate
from servelint.facts import Fact, Origin, OriginKind, Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.catalogue.accelerators import Accelerator

ORIGIN = Origin(OriginKind.FILE, "test")


def make_pool(**facts: Any) -> Pool:
    """A pool whose facts are known with these values; degrees not given are 1. A ``Fact`` is taken as it is."""
    values: dict[str, Any] = {"engine": "vllm", "tensor": 1, "pipeline": 1, "data": 1, **facts}
    if isinstance(values.get("version"), str):
        values["version"] = Version.parse(values["version"])
    if isinstance(values.get("architecture"), str):
        values["architecture"] = models.find(values["architecture"])
        assert values["architecture"] is not None
    place: Place = None  # type: ignore[assignment]
    made: dict[str, Any] = {
        name: value if isinstance(value, Fact) else Fact.known(name, value, ORIGIN) for name, value in values.items()
    }
    return Pool(name="test", place=place, **made)


def make_architecture(**config: Any) -> Architecture:
    """A dense model of llama's kind; ``parameters`` and ``vision`` are the record's, all else its configuration."""
    parameters, vision = config.pop("parameters", None), config.pop("vision", None)
    shape = {
        "model_type": "llama", "num_hidden_layers": 8, "hidden_size": 1024, "num_attention_heads": 16, "num_key_value_heads": 8,
        "intermediate_size": 2816, "vocab_size": 32000, "max_position_embeddings": 4096, "tie_word_embeddings": False,
    }  # fmt: skip
    return Architecture("test/model", {**shape, **config}, {}, parameters, "test", None, vision)


@pytest.fixture
def pool() -> Callable[..., Pool]:
    return make_pool


@pytest.fixture
def architecture() -> Callable[..., Architecture]:
    return make_architecture


@pytest.fixture
def h100() -> Accelerator:
    found = accelerators.find("H100-SXM5-80GB")
    assert found is not None
    return found._replace(visible_bytes=Estimate.exact(79.19 * 2**30))


@pytest.fixture
def plan_gpu(h100: Accelerator) -> Accelerator:
    """The accelerator of a plan that states 64 GB, 400 TFLOPS, 1.8 TB/s, 60 % of the peak and 80 % of the bandwidth."""
    return h100._replace(
        name="64 GB accelerator", memory_gb=64.0, visible_bytes=Estimate.exact(64e9), bandwidth_bytes_per_second=1.8e12,
        peak_flops={"fp16": 400e12}, peak_flops_highest={"fp16": 400e12}, link_bytes_per_second=400e9, mfu=0.6, mbu=0.8,
    )  # fmt: skip


@pytest.fixture
def ten_billion() -> Callable[..., Pool]:
    """The plan of ten billion parameters whose shape has 42 million: TP 2, PP 2, DP 2, SP 2."""

    def make(**facts: Any) -> Pool:
        shape = {
            "num_hidden_layers": 16, "hidden_size": 512, "num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 32,
            "intermediate_size": 1024,
        }  # fmt: skip
        stated: dict[str, Any] = {
            "engine": "generic", "architecture": Architecture("plan", shape, {}, None, "test"), "parameters": 10e9, "tensor": 2,
            "pipeline": 2, "data": 2, "sequence": 2, "dtype": "float16", "max_model_len": 10240, "max_num_seqs": 128,
            "concurrency": 128, "input_tokens_min": 128, "input_tokens_max": 10240, "output_tokens_mean": 256.0,
            "request_rate": 4.0, "arrival": "steady", "kv_cache_dtype": "float16",
        }  # fmt: skip
        return make_pool(**{**stated, **facts})

    return make


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The score command's module."""
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    from tools.score import __main__

    return __main__
