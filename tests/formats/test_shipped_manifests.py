"""What each format reads from the manifests that ship with the project, fact by fact, with the text that each fact points at.

The table was read against the files by eye. ``SERVELINT_UPDATE_FACTS=1`` writes it anew, for reading the difference.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from servelint.builtin import FORMATS, servelint_engines
from servelint.config import Config
from servelint.engines.undescribed import KNOWN
from servelint.facts import OriginKind
from servelint.formats import kind_shapes
from servelint.run import Session, lint_paths, open_session
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment, Pool
    from servelint.facts import Fact

FIXTURES = Path(__file__).parents[2] / "fixtures"
TABLE = Path(__file__).parents[1] / "data" / "manifest_facts.json"
GROUPS = tuple(sorted(p.name for p in FIXTURES.iterdir() if p.is_dir() and p.name not in {"rules", "hostile", "ground_truth"}))
FIELDS = (
    "engine", "version", "model", "accelerator", "tensor", "pipeline", "data", "expert", "gpus_per_node", "nodes",
    "replicas_min", "replicas_max", "max_model_len",
)  # fmt: skip

# What no file of a format states.
NEVER_STATED = {
    "plans": {"model", "version", "replicas_min"},  # of these two plans: an architecture of their own, a generic engine
    "engine-config": {"engine", "version", "accelerator", "gpus_per_node"},  # of the workload that mounts the file
    "kaito": {"version"},  # of KAITO's image
    "llm-d-benchmark": {"engine"},  # always vLLM
    "compose": {"accelerator"},  # a host is what it is
    "mpijob": {"replicas_min"},  # it is one group of ranks
    "truss": {"replicas_min"},  # of Baseten's autoscaling settings
}
# Errors that are true of the file.
FAULTS = {
    ("aibrix/stormservice-prefill-decode.yaml", "DIS704"),
    ("helm-values/chart-with-parts.yaml", "PAR212"),
    ("kubernetes/prefill-decode.yaml", "DIS704"),
}
# What a file of each format states, and what is neither a default nor worked out.
CENTRAL = ("model", "engine", "version", "tensor", "gpus_per_node", "replicas_min", "accelerator")


def files(group: str) -> list[Path]:
    return sorted(p for p in (FIXTURES / group).iterdir() if p.suffix in {".yaml", ".yml", ".json"})


@pytest.fixture(scope="module")
def session() -> Session:
    return open_session(Config())


@pytest.fixture(scope="module")
def read(session: Session) -> dict[str, dict[str, tuple[Deployment, ...]]]:
    """The deployments of every file, linted alone, by group and name."""
    return {group: {path.name: tuple(lint_paths([str(path)], session).deployments) for path in files(group)} for group in GROUPS}


def pools(deployments: tuple[Deployment, ...]) -> Iterator[tuple[Deployment, Pool]]:
    for deployment in deployments:
        for pool in deployment.pools:
            yield deployment, pool


def shown(fact: Fact[Any]) -> list[str]:
    """The value, and where it comes from: for what a file says, the line and the text it points at."""
    value = " | ".join(map(str, fact.values))
    origin = fact.origin
    if origin is None:
        return [value, ""]
    if origin.place is None:
        return [value, origin.kind.value]
    source, span = origin.place.document.source, origin.place.span
    line = source.text.count("\n", 0, span.start) + 1
    said = f"{line}: {source.text[span.start : span.end]}"
    return [value, said if origin.kind is OriginKind.FILE else f"{origin.kind.value} of {said}"]


def facts(deployments: tuple[Deployment, ...]) -> dict[str, Any]:
    return {
        f"{deployment.name}/{pool.name}": {
            "format": deployment.format,
            "role": pool.role.value,
            **{name: shown(getattr(pool, name)) for name in FIELDS if getattr(pool, name).values},
        }
        for deployment, pool in pools(deployments)
    }


def dumped(table: dict[str, Any]) -> str:
    """One fact on a line, so that a difference can be read."""
    text = json.dumps(table, indent=1, sort_keys=True)
    return re.sub(r"\[\s+(\"(?:[^\"\\]|\\.)*\"),\s+(\"(?:[^\"\\]|\\.)*\")\s+\]", r"[\1, \2]", text) + "\n"


@pytest.mark.parametrize("group", GROUPS)
def test_the_facts_of_the_shipped_manifests(group: str, read: dict[str, dict[str, tuple[Deployment, ...]]]) -> None:
    found = {name: facts(deployments) for name, deployments in read[group].items()}
    table = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {}
    if os.environ.get("SERVELINT_UPDATE_FACTS"):
        table[group] = found
        TABLE.write_text(dumped({g: table[g] for g in GROUPS if g in table}), encoding="utf-8")
    assert found == table[group]


@pytest.mark.parametrize("group", GROUPS)
def test_a_fact_points_at_text_that_says_it(group: str, read: dict[str, dict[str, tuple[Deployment, ...]]]) -> None:
    seen = 0
    for name, deployments in read[group].items():
        for _, pool in pools(deployments):
            for field in ("tensor", "pipeline", "nodes", "replicas_min", "replicas_max", "max_model_len"):
                fact = getattr(pool, field)
                origin = fact.origin
                if origin is None or origin.kind is not OriginKind.FILE or origin.place is None:
                    continue
                written = origin.place.document.source.text[origin.place.span.start : origin.place.span.end]
                assert any(str(value) in written for value in fact.values) or "$" in written, (name, field, written)
                seen += 1
    assert seen


@pytest.mark.parametrize("group", [group for group in GROUPS if group != "undescribed-engines"])
def test_every_fact_that_a_format_can_state_is_stated_by_a_fixture(
    group: str, read: dict[str, dict[str, tuple[Deployment, ...]]]
) -> None:
    stated = {
        field
        for deployments in read[group].values()
        for _, pool in pools(deployments)
        for field in CENTRAL
        if (origin := getattr(pool, field).origin) is not None and origin.kind is OriginKind.FILE and getattr(pool, field).values
    }
    assert stated >= set(CENTRAL) - NEVER_STATED.get(group, set())


def test_every_format_and_kind_has_two_fixtures_at_least(read: dict[str, dict[str, tuple[Deployment, ...]]]) -> None:
    formats: Counter[str] = Counter()
    kinds: Counter[tuple[str, str]] = Counter()
    for group, found in read.items():
        for name, deployments in found.items():
            formats.update({deployment.format for deployment in deployments})
            path = FIXTURES / group / name
            kinds.update(set(kinds_in(SourceText(name, path.read_text(encoding="utf-8")))))
    assert [fmt.name for fmt in FORMATS if formats[fmt.name] < 2] == []
    assert [kind for kind in (*kind_shapes._PLAIN, *kind_shapes._OWN) if kinds[kind] < 2] == []


def kinds_in(source: SourceText) -> Iterator[tuple[str, str]]:
    """(API group, kind) of the file's objects, those in lists and templates included."""
    for document in read_text(source).documents:
        for item in (document.root, *document.elements_at("items"), *document.elements_at("objects")):
            if item is not None:
                yield (item.text_at("apiVersion") or "").rpartition("/")[0], item.text_at("kind") or ""


def test_every_engine_has_a_fixture(read: dict[str, dict[str, tuple[Deployment, ...]]]) -> None:
    served = {
        pool.engine.value
        for group in read.values()
        for found in group.values()
        for _, pool in pools(found)
        if pool.engine.is_known
    }
    assert served >= {engine.name for engine in servelint_engines()}


@pytest.mark.parametrize("group", [group for group in GROUPS if group != "plans"])  # whose faults their own tests name
def test_the_manifests_are_sound(group: str, session: Session) -> None:
    """No errors but those that are true of the file, and said here."""
    report = lint_paths([str(FIXTURES / group)], session)
    errors = {(f"{group}/{Path(f.path).name}", f.code) for f in report.findings if f.severity.label == "error"}
    assert errors == {each for each in FAULTS if each[0].startswith(f"{group}/")}


def test_the_guide_names_every_kind_and_engine() -> None:
    guide = (FIXTURES.parent / "docs" / "formats.md").read_text(encoding="utf-8")
    kinds = {kind for _, kind in (*kind_shapes._PLAIN, *kind_shapes._OWN)}
    assert sorted(kind for kind in kinds if f"`{kind}`" not in guide) == []
    titles = [known.title.removeprefix("the simulator ").removesuffix(" Inference Server") for known in KNOWN]
    assert [title for title in titles if title not in guide and title != "of Dynamo"] == []
