"""Drafts: what speculative decoding loads and caches beside the model.

Multi-token-prediction modules are layers of the model's own kind with a projection of two hidden states; a draft model is a
model; heads such as EAGLE's are a layer or two. They count as weights, and their layers keep a cache
(``vllm/v1/spec_decode``, ``vllm/model_executor/models/deepseek_mtp.py``, ``llama_eagle3.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity import shape
from servelint.capacity.limits import speculates, version_of
from servelint.facts import UnknownFact
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from servelint.capacity.shape import LayerKind
    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool

_WITHOUT_WEIGHTS = ("ngram", "suffix", "lookup", "lookahead")


class Draft(NamedTuple):
    """``own``: the model's own modules, by the kind of their layers; ``model``: another model; neither: heads of unknown size."""

    label: str
    own: tuple[LayerKind, ...] = ()
    model: Architecture | None = None

    @property
    def is_known(self) -> bool:
        return bool(self.own) or self.model is not None


def draft_of(pool: Pool) -> Draft | None:
    """What the pool speculates with; None where it does not, or without weights. The architecture must be known.

    SGLang before 0.5.14 loaded drafts after it had sized its static pool, which they have no part in (``maybe_init_draft_worker``
    in ``managers/scheduler.py``): none of them is told.
    """
    if not speculates(pool):
        return None
    version = version_of(pool)
    if pool.engine.get("") == "sglang" and version is not None and version < (0, 5, 14):
        return None
    text = str(pool.speculative.value) if pool.speculative.is_known else ""
    method, named = text.lower(), ""
    if text.startswith("{"):
        import json  # lazily: few pools speculate

        try:
            config = json.loads(text)
        except ValueError:
            config = {}
        method = str(config.get("method") or "").lower()
        named = str(config.get("model") or "")
    if method.startswith(_WITHOUT_WEIGHTS):
        return None
    a = pool.architecture.value
    if "mtp" in method or "nextn" in method or (not named and method in {"", "eagle"}):
        count = shape.whole(a, "num_nextn_predict_layers", "mtp_num_hidden_layers")
        if count:
            kinds = shape.layer_kinds(a)
            keeps = next((k for k in reversed(kinds) if k.mixer in {shape.FULL, shape.MLA, shape.INDEXED}), kinds[-1])
            return Draft("multi-token prediction", own=(keeps,) * count)
    if "/" in named:
        from servelint.catalogue import models  # lazily: as above

        found = models.find(named)
        try:
            if found is not None and shape.layer_kinds(found):
                return Draft(f"draft model {named}", model=found)
        except UnknownFact:
            pass
    return Draft("heads of unknown size")
