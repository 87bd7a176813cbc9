"""What each format reads from the manifests that ship with the project, fact by fact, read against the files by eye.

``SERVELINT_UPDATE_FACTS=1`` writes the table anew, for reading the difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from servelint.config import Config
from servelint.run import Session, lint_paths, open_session
from servelint.source.reader import decode
from servelint.source.text import SourceText

FIXTURES = Path(__file__).parents[2] / "fixtures"
TABLE = Path(__file__).parents[1] / "data" / "manifest_facts.json"
FORMATS = ("kaito", "kserve", "nim", "ome", "ray")
FIELDS = (
    "engine", "version", "model", "accelerator", "tensor", "pipeline", "data", "expert", "gpus_per_node", "nodes",
    "replicas_min", "replicas_max", "max_model_len",
)  # fmt: skip


@pytest.fixture(scope="module")
def session() -> Session:
    return open_session(Config())


def facts(path: Path, session: Session) -> dict[str, Any]:
    report = lint_paths([str(path)], session)
    return {
        f"{deployment.name}/{pool.name}": {
            "role": pool.role.value,
            **{name: " | ".join(map(str, getattr(pool, name).values)) for name in FIELDS if getattr(pool, name).values},
        }
        for deployment in report.deployments
        for pool in deployment.pools
    }


@pytest.mark.parametrize("kind", FORMATS)
def test_the_facts_of_the_shipped_manifests(kind: str, session: Session) -> None:
    read = {path.name: facts(path, session) for path in sorted((FIXTURES / kind).glob("*.yaml"))}
    table = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {}
    if os.environ.get("SERVELINT_UPDATE_FACTS"):
        table[kind] = read
        TABLE.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    assert len(read) >= 2
    assert read == table[kind]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_stated_degree_points_at_where_it_stands(kind: str, session: Session) -> None:
    seen = 0
    for path in sorted((FIXTURES / kind).glob("*.yaml")):
        source = decode(str(path), path.read_bytes())
        assert isinstance(source, SourceText)
        for deployment in lint_paths([str(path)], session).deployments:
            for pool in deployment.pools:
                if pool.tensor.is_stated and pool.tensor.place is not None:
                    start, end = pool.tensor.place.span
                    written = source.text[start:end]
                    assert str(pool.tensor.value) in written or "$(" in written  # a variable that the object sets
                    seen += 1
    assert seen


@pytest.mark.parametrize("kind", FORMATS)
def test_good_manifests_have_no_errors(kind: str, session: Session) -> None:
    report = lint_paths([str(FIXTURES / kind)], session)
    assert [(f.code, f.path) for f in report.findings if f.severity.label == "error"] == []
