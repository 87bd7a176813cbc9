"""DIS702: whether the prefill and decode pools that serve one model together fit together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Role
from servelint.facts import UnknownFact
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.kv_transfer import command_of, transfer_of
from servelint_rules.places import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import GroupCase, PoolCase
    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool
    from servelint.engines.command import Argument
    from servelint.facts import Fact


@rule(
    "DIS702", "prefill-decode-incompatible", "Prefill and decode pools that do not fit together",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.GROUP, since="0.1.0",
    inputs=("model", "other files of the run"),
)  # fmt: skip
def prefill_decode_incompatible(case: GroupCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The prefill and the decode pool of one deployment: whether they run the same model, the same engine in the same
    version, keep the KV cache in the same type, and have degrees of tensor parallelism between which the connector can
    convert. Pools belong together where one object holds them, where their names differ in the role alone, or where one
    InferencePool or Service selects both.

    ## Why it matters

    The decode pool goes on from the KV cache that the prefill pool computed. A cache of other layers, heads or types is
    refused at the handshake or, worse, taken for what it is not: the pods are ready and the answers are wrong or never
    come. vLLM's NIXL connector compares engine version, model and cache layout before the first transfer.

    ## How to fix

    Give both pools the same model, image and cache type; they may differ in replicas, and in degrees as far as the
    connector allows.

    ## Certainty

    Proven, and an error, for models whose caches have different shapes. All else is a warning: names that differ may mean
    two quantisations of one model, and what a connector converts grows from release to release. Only what both pools state
    is compared.

    ## References

    - [vLLM: NixlConnector compatibility](https://docs.vllm.ai/en/stable/features/nixl_connector_compatibility/)
    - [vllm#14952](https://github.com/vllm-project/vllm/issues/14952), [vllm#43523](https://github.com/vllm-project/vllm/issues/43523),
      [LMCache#1142](https://github.com/LMCache/LMCache/issues/1142)
    """
    for prefill in case.of_role(Role.PREFILL):
        for decode in case.of_role(Role.DECODE):
            yield from _models(case, prefill.pool, decode.pool)
            yield from _settings(case, prefill.pool, decode.pool)
            yield from _transports(case, prefill.pool, decode.pool)
            yield from _degrees(case, prefill, decode)
    for each in case.pools:
        yield from _declared(each)


def joined(case: GroupCase) -> tuple[str, ...]:
    """What says that the pools of a group belong together, as a line of arithmetic."""
    return (f"they belong together: {case.joined_by}",) if case.joined_by else ()


def _verdict(case: GroupCase, prefill: Pool, decode: Pool, names: tuple[str, str, str], label: str, **others: Any) -> Verdict:
    """A verdict at the decode pool's fact; ``names``: the fact of the decode pool, that of the prefill pool, and the key."""
    ours: Fact[Any] = getattr(decode, names[0])
    theirs: Fact[Any] = getattr(prefill, names[1])
    place = theirs.place or prefill.place
    return Verdict(
        place_of(decode, ours),
        label,
        arithmetic=joined(case),
        related=(Related(place, f"the prefill pool {prefill.name}"),),
        key=f"{names[2]} {prefill.name} {decode.name}",
        **others,
    )


def _models(case: GroupCase, prefill: Pool, decode: Pool) -> Iterator[Verdict]:
    one, other = prefill.model, decode.model
    if not (one.is_stated and other.is_stated) or one.value == other.value:
        return
    if "/" not in one.value.strip("/") or "/" not in other.value.strip("/"):
        return  # names that an engine serves under, not models
    shapes = [_cache_shape(pool.architecture.get(None)) for pool in (prefill, decode)]
    different = None not in shapes and shapes[0] != shapes[1]
    if not different and _plain(one.value) == _plain(other.value):
        return  # two repositories of one model
    label = f"decodes {other.value} from the KV cache of {one.value}"
    if different:
        lines = tuple(f"{name}: KV cache of {shape}" for name, shape in zip((one.value, other.value), shapes, strict=True))
        verdict = _verdict(case, prefill, decode, ("model", "model", "model"), label, severity=Severity.ERROR)
        yield verdict._replace(
            arithmetic=(*lines, *verdict.arithmetic), proposals=(Proposal("give both pools the same model", False, None),)
        )
    else:
        yield _verdict(
            case, prefill, decode, ("model", "model", "model"), label,
            severity=Severity.WARNING, certainty=Certainty.HEURISTIC,
            proposals=(Proposal("give both pools the same model", False, None),),
        )  # fmt: skip


_QUANTISATIONS = frozenset((
    "fp8", "fp4", "nvfp4", "mxfp4", "awq", "gptq", "int4", "int8", "w8a8", "w4a16", "w4a8", "bf16", "fp16", "dynamic", "block",
    "kv", "quantized", "4bit", "8bit",
))  # fmt: skip


def _plain(model: str) -> tuple[str, ...]:
    """The words of the model's name without its owner and without those for a quantisation."""
    words = model.rpartition("/")[2].lower().replace("_", "-").replace(".", "-").split("-")
    return tuple(word for word in words if word not in _QUANTISATIONS)


def _cache_shape(architecture: Architecture | None) -> str | None:
    """What decides the shape of the KV cache, in words; None where it is not known."""
    if architecture is None:
        return None
    try:
        if architecture.is_mla:
            return f"{architecture.layers} layers, latent of {architecture.need('kv_lora_rank')}"
        return f"{architecture.layers} layers × {architecture.kv_heads} KV heads × {architecture.head_dim}"
    except UnknownFact:
        return None  # without a shape only names can be compared


def _settings(case: GroupCase, prefill: Pool, decode: Pool) -> Iterator[Verdict]:
    """Facts that both state and that must agree."""
    for name, what in (("kv_cache_dtype", "KV cache type"), ("dtype", "dtype"), ("block_size", "block size")):
        one, other = getattr(prefill, name), getattr(decode, name)
        if one.is_stated and other.is_stated and _normal(one.value) != _normal(other.value):
            if "auto" in (one.value, other.value):
                continue
            yield _verdict(
                case, prefill, decode, (name, name, name), f"{what} {other.value}; the prefill pool has {one.value}",
                severity=Severity.WARNING, certainty=Certainty.HEURISTIC,
                proposals=(Proposal(f"give both pools the same {what}", False, None),),
            )  # fmt: skip
    engines = prefill.engine, decode.engine
    if all(fact.is_known for fact in engines) and engines[0].value != engines[1].value:
        yield _verdict(
            case, prefill, decode, ("engine", "engine", "engine"),
            f"the decode pool runs {engines[1].value}, the prefill pool {engines[0].value}",
            severity=Severity.WARNING, certainty=Certainty.HEURISTIC,
        )  # fmt: skip
        return
    versions = prefill.version, decode.version
    if all(fact.is_stated for fact in versions) and versions[0].value != versions[1].value:
        yield _verdict(
            case, prefill, decode, ("version", "version", "version"),
            f"version {versions[1].value}; the prefill pool runs {versions[0].value}",
            severity=Severity.WARNING, certainty=Certainty.HEURISTIC,
            proposals=(Proposal("run one image in both pools", False, None),),
        )  # fmt: skip


def _normal(value: object) -> object:
    return {"fp8_e4m3": "fp8", "half": "float16"}.get(value, value) if isinstance(value, str) else value


def _transports(case: GroupCase, prefill: Pool, decode: Pool) -> Iterator[Verdict]:
    """Ways to hand the cache over of which the two pools share none."""
    ours, theirs = _transport(prefill), _transport(decode)
    command = command_of(decode)
    if ours is None or theirs is None or command is None or set(ours[0]) & set(theirs[0]):
        return
    place = command.place_of(theirs[1])
    sender = command_of(prefill)
    related = (Related(sender.place_of(ours[1]), f"the prefill pool {prefill.name}"),) if sender is not None else ()
    yield Verdict(
        place,
        f"takes the KV cache over {theirs[0][0]}; the prefill pool sends it over {ours[0][0]}",
        arithmetic=joined(case),
        related=related,
        proposals=(Proposal("give both pools the same way to transfer", False, None),),
        severity=Severity.WARNING,
        certainty=Certainty.HEURISTIC,
        key=f"transport {prefill.name} {decode.name}",
    )


def _transport(pool: Pool) -> tuple[tuple[str, ...], Argument] | None:
    """(connectors of vLLM, or SGLang's back end; where it is stated)."""
    command = command_of(pool)
    transfer = transfer_of(command)
    if transfer is not None:
        return transfer.connectors, transfer.argument
    stated = command.last("--disaggregation-transfer-backend") if command is not None else None
    return ((stated.value,), stated) if stated is not None and stated.value and not stated.value_is_unknown else None


def _degrees(case: GroupCase, prefill: PoolCase, decode: PoolCase) -> Iterator[Verdict]:
    """Degrees of tensor parallelism between which vLLM's connectors do not convert."""
    ours, theirs = prefill.pool.tensor, decode.pool.tensor
    if not (ours.is_known and theirs.is_known) or ours.value == theirs.value or prefill.pool.engine.get("") != "vllm":
        return
    transfers = [transfer_of(command_of(each.pool)) for each in (prefill, decode)]
    sends, takes = transfers
    if sends is None or takes is None:
        return
    label = f"tensor-parallel size {theirs.value}; the prefill pool has {ours.value}"
    if sends.uses("LMCacheConnectorV1") and takes.uses("LMCacheConnectorV1") and len(sends.connectors) == 1:
        reason = "LMCache hands the cache over rank by rank"
    elif (
        sends.uses("NixlConnector")
        and takes.uses("NixlConnector")
        and max(ours.value, theirs.value) % min(ours.value, theirs.value)
    ):
        reason = "NIXL splits or joins heads by whole factors only"
    else:
        return
    yield _verdict(
        case, prefill.pool, decode.pool, ("tensor", "tensor", "tensor"), f"{label}: {reason}",
        severity=Severity.WARNING, certainty=Certainty.HEURISTIC,
        proposals=(Proposal("give both pools the same tensor-parallel size", False, None),),
    )  # fmt: skip


def _declared(each: PoolCase) -> Iterator[Verdict]:
    """The degree that the connector is told of, against the pool's own: it computes from it which ranks exchange."""
    command = command_of(each.pool)
    transfer = transfer_of(command)
    if command is None or transfer is None:
        return
    role, tensor = each.pool.role.value, each.pool.tensor
    stated = transfer.degrees.get(role, {}).get("tp_size")
    if stated is None or not tensor.is_stated or tensor.value == stated:
        return
    yield Verdict(
        command.place_of(transfer.argument),
        f"{transfer.connectors[0]} is told that the {role} pool has tensor-parallel size {stated}; it has {tensor.value}",
        related=(Related(tensor.place, "its degree"),) if tensor.place is not None else (),
        proposals=(Proposal(f"tell it {tensor.value}, in both pools", False, None),),
        severity=Severity.WARNING,
        certainty=Certainty.HEURISTIC,
        key=f"declared {each.pool.name}",
    )
