"""What llm-d-planner predicts for the rows of the memory score: ``pip install llm-d-planner transformers``, then ``--peer``.

Its own code runs, without the network: a configuration is handed to it as its ``AutoConfig`` would be, and the bytes of the
checkpoint, for which it asks Hugging Face, are the catalogue's.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tools.score.memory import Compared, figures
from tools.score.rows import GIB

from servelint.capacity.layout import layout_of
from servelint.capacity.weights import weights_of
from servelint.estimate import Estimate

if TYPE_CHECKING:
    from types import ModuleType

    from tools.score.memory import Score
    from tools.score.rows import Row

TERMS = ("weights", "kv_pool")


def installed() -> ModuleType | None:
    """Its module of memory formulas; None where it is not installed."""
    try:
        from planner import capacity_planner  # no dependency of the project
    except ImportError:
        return None
    module: ModuleType = capacity_planner
    return module


def predict(planner: ModuleType, row: Row) -> dict[str, float] | None:
    """Bytes per GPU of weights and KV pool by its formulas; None where the row lacks what they take."""
    said, pool = row.said, row.pool
    if pool is None or not said.get("gpu_total_gib") or not said.get("gpu_memory_utilization"):
        return None
    architecture = pool.architecture.value
    config: Any = SimpleNamespace(**{**architecture.class_defaults, **architecture.config})
    whole = pool._replace(tensor=pool.tensor.map(lambda _: 1), pipeline=pool.pipeline.map(lambda _: 1))
    checkpoint = architecture.checkpoint_bytes or weights_of(whole, layout_of(whole)).largest.mid
    planner.model_memory_req = lambda *_: checkpoint / GIB  # type: ignore[attr-defined]  # it would ask Hugging Face
    degrees = {name: said.get(name) or 1 for name in ("tp", "pp", "dp")}
    every = planner.allocatable_kv_cache_memory(
        row.model,
        config,
        said["gpu_total_gib"],
        said["gpu_memory_utilization"],
        max_model_len=said.get("max_model_len"),
        **degrees,
    )
    weights = planner.per_gpu_model_memory_required(row.model, config, degrees["tp"], degrees["pp"])
    return {"weights": weights * GIB, "kv_pool": every * GIB / (degrees["tp"] * degrees["pp"] * degrees["dp"])}


def report(planner: ModuleType, result: Score) -> str:
    """Its errors beside ours, on the rows for which both say the term."""
    lines = ["llm-d-planner on the rows that it can take (complete configurations, one vote each)"]
    for regime in result.regimes:
        for term in TERMS:
            ours: dict[tuple[object, ...], list[Compared]] = {}
            theirs: dict[tuple[object, ...], list[Compared]] = {}
            for one in result.scored:
                compared = one.terms.get(term)
                if one.regime != regime or compared is None or not one.counts(term):
                    continue
                predicted = predict(planner, one.row)
                if predicted is not None:
                    ours.setdefault(one.row.vote, []).append(compared)
                    exact = compared._replace(predicted=Estimate.exact(predicted[term]))
                    theirs.setdefault(one.row.vote, []).append(exact)
            if ours:
                own, other = figures(list(ours.values())), figures(list(theirs.values()))
                lines.append(
                    f"  {regime:16} {term:8} {len(ours):3} votes: median error {other['median_error']:.2%},"
                    f" p90 {other['p90_error']:.2%}; servelint {own['median_error']:.2%}, p90 {own['p90_error']:.2%}"
                )
    return "\n".join(lines)
