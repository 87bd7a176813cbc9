"""A plan document → a deployment: the facts of its pools, and the typed plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Deployment, Pool, Role
from servelint.facts import Fact, Place
from servelint.finding import Verdict
from servelint.formats.plan.model import DEGREES, NOT_STATED, Plan, most_of
from servelint.formats.plan.quantities import Dimension, Quantity
from servelint.formats.plan.sections import alternatives_of, claims_of, critical_path_of, reasoning_of, targets_of
from servelint.formats.plan.statements import MOST, Statements, default, number_of
from servelint.source.nodes import MappingNode, Node

if TYPE_CHECKING:
    from collections.abc import Mapping

    from servelint.catalogue.architecture import Architecture
    from servelint.engines.versions import Version
    from servelint.finding import Edit
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document
    from servelint.writer import Writer

API_GROUP = "servelint/"
KIND = "DeploymentPlan"
# Fields of a config.json that divide something or are counted through, and the most that each can be.
LAYERS = dict.fromkeys(("num_hidden_layers", "num_layers", "n_layers", "n_layer"), 10_000)
SIZES = LAYERS | dict.fromkeys(
    ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size", "vocab_size"), 10**9
)


def is_plan(document: Document) -> bool:
    """``kind: DeploymentPlan`` of our API group, or of none (then the schema says what is missing)."""
    if document.text_at("kind") != KIND:
        return False
    version = document.text_at("apiVersion")
    return version is None or version.startswith(API_GROUP) or version == API_GROUP.rstrip("/")


def report_kind(document: Document, surroundings: Surroundings) -> None:
    """Reports that a document of our API group is of no kind that there is."""
    node = document.get("kind") or document.get("apiVersion") or document.root
    if node is not None:
        kind = document.text_at("kind")
        said = f"{document.text_at('apiVersion')} has no kind {kind}" if kind else "the kind is not stated"
        verdict = Verdict(Place.of(document, node), f"{said}: {KIND} is the only one, and nothing is checked here", key="kind")
        surroundings.problem("DOC102", verdict, document.text_at("metadata", "name") or "plan")


def recognise(document: Document, surroundings: Surroundings) -> list[Deployment]:
    """The deployment that a plan states; schema violations are reported, and only stop the facts they concern."""
    if not is_plan(document) or document.root is None:
        return []
    from servelint.formats.plan import schema_check
    from servelint_schemas import load

    name = document.text_at("metadata", "name") or "plan"
    try:
        content = schema_check.plain(document.root)
    except schema_check.NotPlainError as error:
        surroundings.problem("DOC102", Verdict(Place(document, error.span), str(error)), name)
        return []
    problems = schema_check.violations(document, content, load("plan"))
    said = {problem.verdict.place.span for problem in problems}
    statements = Statements(document)
    deployment = read(statements, name, content)
    for misread in statements.misread:
        # What the schema cannot express (a ratio of 30.2 without %); what it has said already is not said twice.
        if misread.node.span not in said:
            said.add(misread.node.span)
            verdict = Verdict(Place.of(document, misread.node), misread.sentence, key=misread.sentence.split(":")[0])
            problems.append(schema_check.Problem("DOC102", verdict))
    for code, verdict in problems:
        surroundings.problem(code, verdict, name)
    return [deployment]


def read(statements: Statements, name: str, content: Mapping[str, Any]) -> Deployment:
    """The deployment of a plan whose plain value is ``content``."""
    document = statements.document
    root = document.root
    if root is None:
        raise ValueError("an empty document is no plan")
    pool_nodes = document.elements_at("pools")
    common = _common_facts(statements, content)
    degrees = _degrees(statements, document.get("parallelism"), "parallelism")
    pools = [_pool(statements, i, node, common, degrees) for i, node in enumerate(pool_nodes) if isinstance(node, MappingNode)]
    if not pools:
        place = Place.of(document, document.get("parallelism") or document.get("kind") or root)
        copies = {"replicas_min": default("replicas.min", 1), "replicas_max": default("replicas.max", 1)}
        pools = [_with_facts(Pool(name=Role.SERVE.value, place=place), {**common, **_pool_facts(degrees), **copies})]
    model = document.get("model")
    plan = Plan(
        document,
        name,
        degrees,
        {
            phase: _degrees(statements, node, f"phases.{phase}", stated_only=True)
            for phase, _, node in document.entries_at("phases")
        },
        bool(pool_nodes),
        statements.quantity("accelerator.memory", Dimension.MEMORY, document.get("accelerator"), "memory", positive=True),
        statements.quantity("model.parameters", Dimension.COUNT, model, "parameters", positive=True),
        statements.quantity("model.active_parameters", Dimension.COUNT, model, "active_parameters", positive=True),
        claims_of(statements, document.get("claims")),
        targets_of(statements),
        reasoning_of(statements),
        critical_path_of(statements),
        alternatives_of(statements),
    )
    return Deployment(name, "plan", document, tuple(pools), plan)


class DegreeWriter:
    """Changes one degree of the whole plan: where it is stated, in what ``reasoning`` decides, in the phases, and in the
    claims that follow from it."""

    __slots__ = ("_document", "_key")

    def __init__(self, document: Document, key: str) -> None:
        self._document = document
        self._key = key

    def write(self, value: object) -> tuple[Edit, ...] | None:
        from servelint.formats.plan.claims import degree_edits

        return degree_edits(self._document, {self._key: value}) if isinstance(value, int) else None


def _degrees(statements: Statements, node: Node | None, name: str, *, stated_only: bool = False) -> dict[str, Fact[int]]:
    """Plan key → degree. One that is not stated is 1, for a plan is one complete document; without the whole section
    nothing is known."""
    degrees: dict[str, Fact[int]] = {}
    for key in DEGREES:
        writer: Writer = DegreeWriter(statements.document, key)
        path = f"{name}.{key}"
        fact = statements.integer(path, node, key, most=most_of(key))
        if fact.is_known and fact.origin is not None:
            degrees[key] = Fact.known(path, fact.value, fact.origin, writer)
        elif fact.reason != NOT_STATED:
            degrees[key] = fact
        elif not stated_only:
            off = default(path, 1, writer=writer)
            degrees[key] = (
                off if isinstance(node, MappingNode) else Fact.unknown(path, "the plan states no parallelism", "state it")
            )
    return degrees


def _pool_facts(degrees: Mapping[str, Fact[int]]) -> dict[str, Fact[int]]:
    return {DEGREES[key]: fact for key, fact in degrees.items()}


def _pool(
    statements: Statements, index: int, node: MappingNode, common: Mapping[str, Fact[Any]], degrees: Mapping[str, Fact[int]]
) -> Pool:
    """One of ``pools``: what it states itself, and the plan's for the rest."""
    path = f"pools[{index}]"
    role = statements.text(f"{path}.role", node, "role")
    known_roles = {r.value: r for r in Role}
    own = {**degrees, **_degrees(statements, node.get("parallelism"), f"{path}.parallelism", stated_only=True)}
    replicas = statements.integer(f"{path}.replicas", node, "replicas")
    if replicas.reason == NOT_STATED and not replicas.is_known:
        replicas = default(f"{path}.replicas", 1)
    facts = {**common, **_pool_facts(own), "replicas_min": replicas, "replicas_max": replicas}
    if node.get("accelerator") is not None:
        facts |= _accelerator_facts(statements, node.get("accelerator"), f"{path}.accelerator")
    facts |= _stated(_limits(statements, node.get("limits"), f"{path}.limits"))
    title = node.text_at("name") or (role.value if role.is_known else f"pool {index + 1}")
    place = Place.of(statements.document, node)
    return _with_facts(Pool(name=title, place=place, role=known_roles.get(role.get(""), Role.SERVE)), facts)


def _with_facts(pool: Pool, facts: Mapping[str, Any]) -> Pool:
    """``pool`` with ``facts`` by field; the fields they name are all facts."""
    return pool._replace(**facts)


def _stated(facts: Mapping[str, Fact[Any]]) -> dict[str, Fact[Any]]:
    return {field: fact for field, fact in facts.items() if fact.is_known or fact.reason != NOT_STATED}


def _common_facts(statements: Statements, content: Mapping[str, Any]) -> dict[str, Fact[Any]]:
    """What all pools of a plan share, by field of :class:`Pool`."""
    document = statements.document
    engine = statements.text("engine.name", document.get("engine"), "name")
    if engine.reason == NOT_STATED and not engine.is_known:
        engine = default("engine.name", "generic")
    facts: dict[str, Fact[Any]] = {"engine": engine, "version": _version(statements)}
    facts |= _model_facts(statements, content)
    facts |= _accelerator_facts(statements, document.get("accelerator"), "accelerator")
    facts |= _workload(statements)
    facts |= _limits(statements, document.get("limits"), "limits")
    facts |= _targets(statements)
    return _stated(facts)


def _version(statements: Statements) -> Fact[Version]:
    from servelint.engines.versions import Version

    name = "engine.version"
    found = statements.scalar(name, statements.document.get("engine"), "version")
    if isinstance(found, Fact):
        return found
    version = Version.parse(found.text, statements.document.text_at("engine", "name") or "")
    if version is None:
        return statements.wrong(name, found, f"`{found.text[:40]}` is no version: write two or three numbers, as 0.19.1")
    return Fact.known(name, version, statements.origin(found))


def _model_facts(statements: Statements, content: Mapping[str, Any]) -> dict[str, Fact[Any]]:
    model = statements.document.get("model")
    quantity = statements.quantity
    facts: dict[str, Fact[Any]] = {
        "model": statements.text("model.id", model, "id"),
        "parameters": number_of(quantity("model.parameters", Dimension.COUNT, model, "parameters", positive=True)),
        "active_parameters": number_of(
            quantity("model.active_parameters", Dimension.COUNT, model, "active_parameters", positive=True)
        ),
        "dtype": statements.dtype("limits.dtype", model, "dtype"),
        "quantization": statements.text("limits.quantization", model, "quantization"),
    }
    node = model.get("architecture") if model is not None else None
    if isinstance(node, MappingNode):
        fields = content["model"]["architecture"]
        odd = _odd_size(statements, node, fields)
        origin = statements.origin(node, "model.architecture of the plan")
        architecture = _architecture(fields, facts["model"].get("the plan's model")) if odd is None else None
        facts["architecture"] = odd or Fact.known("model.architecture", architecture, origin)
    elif not facts["model"].is_known and facts["model"].reason == NOT_STATED:
        facts["architecture"] = Fact.unknown(
            "model.architecture", "the plan states neither model.id nor model.architecture", "state one of them"
        )
    return facts


def _odd_size(statements: Statements, node: MappingNode, fields: Mapping[str, Any]) -> Fact[Any] | None:
    """The unknown architecture where one of its sizes can be none: zero, negative, absurd, infinite."""
    for key, value in fields.items():
        inner = node.get(key)
        if isinstance(value, dict) and isinstance(inner, MappingNode):  # text_config of a multimodal model, and the like
            odd = _odd_size(statements, inner, value)
            if odd is not None:
                return odd
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if not abs(value) <= MOST or (key in SIZES and not 1 <= value <= SIZES[key]):
            fact = statements.wrong(f"model.architecture.{key}", inner or node, f"{str(value)[:40]} is no size of a model")
            return Fact.unknown("model.architecture", f"{key} {fact.reason}", fact.remedy, fact.origin)
    return None


def _architecture(fields: Mapping[str, Any], name: str) -> Architecture:
    from servelint.catalogue.local_config import from_config

    return from_config(fields, name, "model.architecture of the plan")


def _accelerator_facts(statements: Statements, node: Node | None, name: str) -> dict[str, Fact[Any]]:
    from servelint.formats.plan.accelerator import accelerator_of

    return {
        "accelerator": accelerator_of(statements, node, name),
        "gpus_per_node": statements.integer(f"{name}.per_node", node, "per_node"),
    }


def _workload(statements: Statements) -> dict[str, Fact[Any]]:
    workload = statements.document.get("workload")
    facts: dict[str, Fact[Any]] = {
        "concurrency": statements.integer("workload.concurrency", workload, "concurrency"),
        "request_rate": number_of(statements.quantity("workload.request_rate", Dimension.REQUEST_RATE, workload, "request_rate")),
        "arrival": statements.text("workload.arrival", workload, "arrival"),
    }
    if facts["arrival"].reason == NOT_STATED and not facts["arrival"].is_known:
        facts["arrival"] = default("workload.arrival", "steady")
    for kind in ("input", "output"):
        key = f"{kind}_tokens"
        tokens = workload.get(key) if workload is not None else None
        for part in ("min", "mean", "max"):
            path = f"workload.{key}.{part}"
            # A single number is the length of every request.
            steps = (key, part) if isinstance(tokens, MappingNode) else (key,)
            if part == "mean":
                facts[f"{key}_mean"] = number_of(statements.quantity(path, Dimension.COUNT, workload, *steps))
            elif f"{key}_{part}" != "output_tokens_min":
                facts[f"{key}_{part}"] = statements.integer(path, workload, *steps, least=0)
    least, most = facts["input_tokens_min"], facts["input_tokens_max"]
    node = workload.get("input_tokens", "min") if workload is not None else None
    if node is not None and least.is_known and most.is_known and least.value > most.value:
        facts["input_tokens_min"] = statements.wrong(
            "workload.input_tokens.min", node, f"{least.value} is more than the max, {most.value}"
        )
    return facts


def _limits(statements: Statements, node: Node | None, name: str) -> dict[str, Fact[Any]]:
    facts: dict[str, Fact[Any]] = {
        key: statements.integer(f"{name}.{key}", node, key)
        for key in ("max_model_len", "max_num_seqs", "max_num_batched_tokens", "block_size")
    }
    key = "kv_cache_memory_bytes"
    kv_bytes: Fact[Quantity] = statements.quantity(f"{name}.{key}", Dimension.MEMORY, node, key)
    share = "gpu_memory_utilization"
    facts[share] = number_of(statements.quantity(f"{name}.{share}", Dimension.RATIO, node, share, positive=True, most=1.0))
    facts["kv_cache_memory_bytes"] = Fact(
        kv_bytes.name, kv_bytes.state, tuple(int(q.value_si) for q in kv_bytes.values), kv_bytes.origin, kv_bytes.reason,
        kv_bytes.remedy, kv_bytes.writer,
    )  # fmt: skip
    facts["kv_cache_dtype"] = statements.dtype(f"{name}.kv_cache_dtype", node, "kv_cache_dtype")
    facts["enforce_eager"] = statements.boolean(f"{name}.enforce_eager", node, "enforce_eager")
    facts["chunked_prefill"] = statements.boolean(f"{name}.enable_chunked_prefill", node, "enable_chunked_prefill")
    return facts


def _targets(statements: Statements) -> dict[str, Fact[Any]]:
    node = statements.document.get("targets")
    targets = targets_of(statements)
    rate = targets.throughput_per_gpu
    utilization = node.get("memory_utilization") if node is not None else None
    facts: dict[str, Fact[Any]] = {
        "target_ttft_seconds": number_of(targets.ttft),
        "target_tpot_seconds": number_of(targets.tpot),
        "target_tokens_per_second_per_gpu": Fact(
            rate.name, rate.state, tuple(t.rate.value_si for t in rate.values), rate.origin, rate.reason, rate.remedy, rate.writer
        ),
    }
    if rate.is_known and rate.origin is not None:
        facts["target_throughput_of"] = Fact.known("targets.throughput_per_gpu.of", rate.value.of, rate.origin)
    for end in ("min", "max"):
        facts[f"target_memory_utilization_{end}"] = number_of(
            statements.quantity(f"targets.memory_utilization.{end}", Dimension.RATIO, utilization, end, most=1.0)
        )
    return facts
