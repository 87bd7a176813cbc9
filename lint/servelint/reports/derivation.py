"""The work behind every figure, in the order of :mod:`servelint.capacity.derivation`, each fact with where it is from."""

from __future__ import annotations

import json as json_module
from typing import TYPE_CHECKING, Any

from servelint import __version__
from servelint.facts import FactState, UnknownFact
from servelint.records import NamedTuple
from servelint.reports.markdown import escape, table
from servelint.reports.pool_values import LIMITS, limit_of, origin_text, pool_object, reason_of
from servelint.reports.terminal import printable, width

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from re import Match

    from servelint.capacity.step import Step
    from servelint.case import PoolCase
    from servelint.deployment import Deployment
    from servelint.facts import Fact


_MEMORY = "Memory"  # the section under which the budget is drawn
_UNKNOWN = "?"


class Derivation(NamedTuple):
    """A deployment with one case for each of its pools."""

    deployment: Deployment
    cases: Sequence[PoolCase]


class Row(NamedTuple):
    """A fact: name, value and where it comes from; a value of "?" with the reason in place of the origin."""

    name: str
    value: str
    origin: str


class Part(NamedTuple):
    """One step of the reasoning: the facts it uses, what it works out of them, and why it could not work out the rest."""

    title: str
    rows: tuple[Row, ...]
    steps: tuple[Step, ...]
    missing: tuple[str, ...]


def json(derivations: Iterable[Derivation]) -> str:
    """For programs; ASCII only. Keys are those of the design: see docs/derive.md."""
    content = {
        "version": 1,
        "tool": {"name": "servelint", "version": __version__},
        "deployments": [
            {
                "name": deployment.name,
                "path": deployment.document.source.path,
                "document": deployment.document.index,
                "format": deployment.format,
                "pools": [pool_object(case) for case in cases],
            }
            for deployment, cases in derivations
        ],
    }
    return json_module.dumps(content, indent=2, allow_nan=False) + "\n"


def parts(case: PoolCase) -> Iterator[Part]:
    """The derivation of one pool, in the mandatory order."""
    from servelint.capacity.derivation import derive  # lazy: the schema of a derivation needs no arithmetic

    try:
        accelerator = case.accelerator
    except UnknownFact:
        accelerator = None  # each section that needs it says so
    rows = _facts_by_section(case)
    here = f"{case.deployment.document.source.path}:"
    said: set[str] = set()
    for section in derive(case.pool, accelerator):
        own = tuple(_once(rows.get(section.name, ()), here))
        said.update(row.origin for row in own if row.value == _UNKNOWN)
        missing = []
        for fact, reason, remedy in section.unknown:
            told = _reason(reason, remedy)
            missing.append(f"{fact}, see above" if told in said else reason_of(UnknownFact(fact, reason, remedy)))
            said.add(told)
        steps = tuple(_readable(step, {row.origin for row in own}) for step in section.steps)
        yield Part(section.name[0].upper() + section.name[1:], own, steps, tuple(missing))


def _once(rows: Iterable[Row], here: str) -> Iterator[Row]:
    """Rows without what stands above them already: the path, which the title names, and a reason given a line before."""
    before = ""
    for row in rows:
        shown = "the same" if row.value == _UNKNOWN and row.origin == before else row.origin
        before = row.origin
        yield row._replace(origin=f"line {shown.removeprefix(here)}" if shown.startswith(here) else shown)


def _readable(step: Step, sources: set[str]) -> Step:
    """A step without the sources that the rows name, and without powers of ten."""
    inputs = tuple(_words_for_powers(each) for each in step.inputs if each not in sources)
    return step._replace(result=_words_for_powers(step.result), inputs=inputs)


def _words_for_powers(text: str) -> str:
    """``4.08e+10`` → ``40.8 billion``."""
    if "e+" not in text:
        return text
    from re import sub  # lazy: few figures are so large

    def spelt(found: Match[str]) -> str:
        value = float(found[0])
        for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
            if value >= size:
                return f"{value / size:,.4g} {word}"
        return f"{value:,.0f}"

    return sub(r"\d(?:\.\d+)?e\+\d+", spelt, text)


def _reason(reason: str, remedy: str) -> str:
    return reason + (f"; {remedy}" if remedy else "")


def _facts_by_section(case: PoolCase) -> dict[str, tuple[Row, ...]]:
    """The facts each section of ``capacity.derivation`` works from."""
    pool = case.pool
    by_group: dict[str, list[tuple[str, Fact[Any]]]] = {}
    for path, fact in pool.facts():
        group, _, name = path.partition(".")
        by_group.setdefault(group, []).append((name, fact))
    return {
        "model structure": (*_rows(("model", pool.model), ("parameters", pool.parameters)), *_architecture(case)),
        "structural parallelism": _rows(("pipeline (PP)", pool.pipeline), ("expert (EP)", pool.expert)),
        "operator parallelism": _rows(
            ("tensor (TP)", pool.tensor),
            ("sequence (SP)", pool.sequence),
            ("context (CP)", pool.prefill_context),
            ("decode context (DCP)", pool.decode_context),
            ("attention data parallelism", pool.attention_data),
        ),
        "requests": _rows(
            ("data (DP)", pool.data),
            ("GPUs per node", pool.gpus_per_node),
            ("nodes", pool.nodes),
            ("replicas", pool.replicas_min),
            ("replicas at most", pool.replicas_max),
        ),
        "memory": _rows(
            ("engine", pool.engine),
            ("version", pool.version),
            ("accelerator", pool.accelerator),
            *((name, limit_of(pool, name) if name in LIMITS else fact) for name, fact in by_group.get("limits", ())),
        ),
        "prefill": _rows(*by_group.get("workload", ())),
    }


def _rows(*facts: tuple[str, Fact[Any]]) -> tuple[Row, ...]:
    """Rows of the facts that are known or that somebody tried to say; what nobody states and no engine defaults is left out."""
    rows = []
    for name, fact in facts:
        if fact.state is FactState.KNOWN:
            rows.append(Row(name, _shown(fact.values[0]), origin_text(fact.origin) if fact.origin else ""))
        elif fact.state is not FactState.UNKNOWN:
            shown = " or ".join(map(str, fact.values))
            rows.append(Row(name, shown, fact.reason or (origin_text(fact.origin) if fact.origin else "")))
        elif fact.reason != "not stated":
            rows.append(Row(name, _UNKNOWN, _reason(fact.reason, fact.remedy)))
    return tuple(rows)


def _shown(value: object) -> str:
    """A value for people: whole numbers without a fraction, long ones with thousands set apart."""
    if isinstance(value, float) and value.is_integer():
        return f"{value:,.0f}"
    return str(value)


def _architecture(case: PoolCase) -> Iterator[Row]:
    fact = case.pool.architecture
    if not fact.is_known:
        yield from _rows(("architecture", fact))
        return
    architecture = fact.value
    source = architecture.origin
    names = ("layers", "hidden_size", "attention_heads", "kv_heads", "head_dim", "experts")
    for name in names:
        try:
            value = getattr(architecture, name)
        except UnknownFact as unknown:
            yield Row(name.replace("_", " "), _UNKNOWN, reason_of(unknown))
            continue
        if value and not (name == "head_dim" and architecture.is_mla):
            yield Row(name.replace("_", " "), str(value), source)
            source = "the same"
    quantization = architecture.quantization
    if quantization is not None:
        inferred = "inferred from its name or a sibling" if architecture.quantization_inferred else source
        yield Row("quantization of the checkpoint", str(quantization.get("quant_method") or _UNKNOWN), inferred)
    elif architecture.quantization_unknown:
        yield Row("quantization of the checkpoint", _UNKNOWN, "only some fields of its configuration are known")
    if architecture.parameters:
        yield Row("parameters of the architecture", f"{architecture.parameters:,.0f}", source)


def _title(case: PoolCase) -> str:
    alternatives = case.pool.accelerator.values if case.pool.accelerator.state is FactState.ALTERNATIVES else ()
    if not alternatives:
        return f"Pool {case.pool.name} ({case.pool.role.value})"
    others = ", ".join(str(accelerator) for accelerator in alternatives)
    return f"Pool {case.pool.name} ({case.pool.role.value}), worked out for {case.accelerator}, one of {others}"


def text(derivations: Iterable[Derivation]) -> str:
    """For the terminal."""
    lines: list[str] = []
    for deployment, cases in derivations:
        lines += [f"{deployment.name} ({deployment.format}): {deployment.document.source.path}", ""]
        for case in cases:
            lines += [f"  {_title(case)}", ""]
            for number, part in enumerate(parts(case), 1):
                lines += [f"    {line}" if line else "" for line in _part_text(number, part)]
                if part.title == _MEMORY:
                    lines += [f"       {line}" for line in _bar(case)]
                lines.append("")
    return "\n".join(map(printable, lines))


def _bar(case: PoolCase) -> tuple[str, ...]:
    from servelint.reports import memory_bar  # lazy: JSON has the figures themselves

    return memory_bar.bar(case)


def _budget_rows(case: PoolCase) -> list[list[str]]:
    from servelint.reports import memory_bar

    return memory_bar.rows(case)


def _part_text(number: int, part: Part) -> Iterator[str]:
    yield f"{number}. {part.title}"
    names = max((width(printable(row.name)) for row in part.rows), default=0)
    values = max((width(printable(row.value)) for row in part.rows), default=0)
    for row in part.rows:
        padding = " " * (names - width(printable(row.name))), " " * (values - width(printable(row.value)))
        yield f"   {row.name}{padding[0]}  {row.value}{padding[1]}  {row.origin}".rstrip()
    for step in part.steps:
        yield f"   {step.title} = {step.result}"
        inputs = f"[{'; '.join(step.inputs)}]" if step.inputs else ""
        if step.formula or inputs:
            yield f"     {'  '.join(filter(None, (step.formula, inputs)))}"
    for reason in part.missing:
        yield f"   not known: {reason}"


def markdown(derivations: Iterable[Derivation]) -> str:
    """For a pull request or a document."""
    lines: list[str] = []
    for deployment, cases in derivations:
        place = f"{deployment.format}: {deployment.document.source.path}"
        lines += [f"# {escape(deployment.name)}", "", escape(place), ""]
        for case in cases:
            lines += [f"## {escape(_title(case))}", ""]
            for number, part in enumerate(parts(case), 1):
                lines += [f"### {number}. {part.title}", "", *_part_markdown(part)]
                if part.title == _MEMORY and (budget := _budget_rows(case)):
                    lines += [*table(["Part of one GPU", "GiB", "Between", "Of the device"], budget), ""]
    return "\n".join(lines)


def _part_markdown(part: Part) -> Iterator[str]:
    if part.rows:
        yield from table(["Fact", "Value", "From"], ([escape(cell) for cell in row] for row in part.rows))
        yield ""
    if part.steps:
        rows = ([*map(escape, (s.title, s.result, s.formula, "; ".join(s.inputs)))] for s in part.steps)
        yield from table(["Figure", "Result", "Formula", "Inputs"], rows)
        yield ""
    for reason in part.missing:
        yield f"Not known: {escape(reason)}"
        yield ""
