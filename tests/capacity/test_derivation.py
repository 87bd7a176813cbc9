from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity.derivation import SECTIONS, derive
from servelint.capacity.step import amount, gib
from servelint.estimate import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.catalogue.accelerators import Accelerator
    from servelint.deployment import Pool


def test_sections_stand_in_the_mandatory_order(ten_billion: Callable[..., Pool], plan_gpu: Accelerator) -> None:
    sections = derive(ten_billion(), plan_gpu)
    assert tuple(section.name for section in sections) == SECTIONS
    assert all(section.steps for section in sections)
    assert not any(section.unknown for section in sections)
    said = {step.title: step.result for section in sections for step in section.steps}
    assert said["GPUs of one replica"] == "TP 2 × PP 2 × DP 2 = 8"
    assert said["not"] == "16"
    assert said["pipeline"] == "8 8"


def test_what_is_unknown_stands_in_its_place(pool: Callable[..., Pool], h100: Accelerator) -> None:
    sections = {section.name: section for section in derive(pool(tensor=4), h100)}
    assert sections["model structure"].unknown[0][0] == "model.architecture"
    assert sections["operator parallelism"].steps
    assert not sections["operator parallelism"].unknown
    assert sections["memory"].unknown
    nothing = derive(pool(architecture="meta-llama/Llama-3.1-8B-Instruct"))
    assert {section.name: section.unknown[0][0] for section in nothing if section.unknown}["memory"] == "accelerator.name"


def test_weights_are_shown_where_the_cache_is_unknown(pool: Callable[..., Pool], h100: Accelerator) -> None:
    sections = {section.name: section for section in derive(pool(parameters=8e9), h100)}
    assert [step.title for step in sections["memory"].steps] == ["weights", "not checked"]


def test_the_same_twice(ten_billion: Callable[..., Pool], plan_gpu: Accelerator) -> None:
    assert derive(ten_billion(), plan_gpu) == derive(ten_billion(), plan_gpu)


def test_amounts_for_people() -> None:
    assert amount(79.19 * 2**30) == "79.2 GiB"
    assert amount(160 * 1024) == "160 KiB"
    assert amount(80 * 2**20) == "80.0 MiB"
    assert amount(0) == "0 KiB"
    assert gib(Estimate.exact(2**30)) == "1.0 GiB"
    assert gib(Estimate(2**30, 2 * 2**30, 3 * 2**30)) == "2.0 GiB (1.0 … 3.0)"
