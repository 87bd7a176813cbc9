"""``servelint schema``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from servelint.cli.main import main
from servelint_schemas import names

if TYPE_CHECKING:
    import pytest


def test_lists_the_schemas(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert capsys.readouterr().out.split() == list(names())


def test_prints_each(capsys: pytest.CaptureFixture[str]) -> None:
    for name in names():
        assert main(["schema", name]) == 0
        assert json.loads(capsys.readouterr().out)["$id"].endswith(f"/{name}.schema.json")
