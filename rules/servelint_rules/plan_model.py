"""PLN910: whether the model that a plan deploys is the one that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.facts import Place
from servelint.finding import Certainty, Related, Severity, Verdict
from servelint.rulebook import Scope, rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from servelint.case import PlanCase
    from servelint.source.nodes import Node

# Names of one and the same size in config.json files, what people call it, and whether a shape without it has none.
_SIZES = (
    (("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), "experts a layer", True),
    (("num_hidden_layers", "num_layers", "n_layers", "n_layer"), "layers", False),
    (("hidden_size", "n_embd", "d_model"), "hidden size", False),
    (("num_attention_heads", "n_head"), "attention heads", False),
    (("num_key_value_heads",), "KV heads", False),
    (("head_dim",), "head size", False),
    (("intermediate_size", "ffn_dim", "n_inner"), "feed-forward width", False),
    (("moe_intermediate_size",), "width of an expert", False),
    (("num_experts_per_tok", "moe_topk"), "experts of a token", True),
    (("sliding_window",), "sliding window", False),
    (("kv_lora_rank",), "width of the latent KV", True),
)


@rule(
    "PLN910", "architecture-dropped", "Model planned for is not the one that was asked for",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",),
    inputs=("model",),
)  # fmt: skip
def architecture_dropped(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `model.architecture` against `model.given`, the fields of the model as the task states them, and against the catalogue's
    entry where `model.id` names one: each size that both state, and experts or a latent KV cache that the plan has not.
    Different names of one field (`num_experts`, `n_routed_experts`) are one field.

    ## Why it matters

    A task of 16 experts a layer planned as a dense model has another number of parameters, other arithmetic per token, and
    no place for expert parallelism: every figure that follows is that of a model nobody asked for.

    ## How to fix

    Put the field into `model.architecture` as it was given, and reason again from the model's structure. Where the task was
    changed, change `model.given`.

    ## Certainty

    Proven: both are stated.

    ## References

    - `rules/servelint_rules/knowledge.yaml`, step `model_structure`
    - The `config.json` of the model
    """
    plan = case.plan
    node = plan.node("model", "architecture")
    if node is None:
        return
    own = case.pool.architecture.config
    given = plan.node("model", "given")
    if given is not None:
        from servelint.formats.plan.schema_check import plain

        stated = plain(given)
        if isinstance(stated, dict):  # the schema has said it otherwise
            yield from _differences(case, node, own, stated, "the task gives", given)
    model = case.pool.pool.model
    if model.is_known:
        from servelint.catalogue import models

        entry = models.find(model.value)
        if entry is not None and entry.config is not own:
            yield from _differences(case, node, own, entry.config, f"{model.value} has", plan.node("model", "id"))


def _differences(
    case: PlanCase, node: Node, own: Mapping[str, Any], other: Mapping[str, Any], who: str, where: Node | None
) -> Iterator[Verdict]:
    document = case.plan.document
    for names, words, absent_is_none in _SIZES:
        wanted, here = _size(other, names), _size(own, names)
        if wanted is None or here == wanted or (here is None and not (absent_is_none and wanted > 1)):
            continue
        key = next((name for name in names if node.get(name) is not None), None)
        place = Place.of(document, (node.get(key) if key is not None else None) or node)
        source = where.get(next(name for name in names if name in other)) if where is not None else None
        origin = Place.of(document, source or where) if where is not None else None
        has = f"the architecture has {here}" if here is not None else "the architecture has none"
        yield Verdict(
            place,
            f"{who} {wanted} {words}; {has}",
            related=(Related(origin, who.removesuffix(" has").removesuffix(" gives")),) if origin is not None else (),
            key=f"{'given' if who.startswith('the task') else 'catalogue'}:{names[0]}",
        )


def _size(fields: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    """The size under the first of its names that has one; experts and latents of 0 or 1 are none."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None
