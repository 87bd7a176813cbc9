"""No number of a manifest makes a rule fail, however it is written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from servelint.run import lint_texts
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.run import Session

RULES = Path(__file__).parents[2] / "fixtures" / "rules"
NUMBER = r"(?<![\w.$])\d+(?![\w.])"
VALUE = r"(?<=[:=\" ])\d+(?=[\"',}\]\s])"


@pytest.mark.parametrize(
    ("found", "digits"),
    [(NUMBER, "9" * 5000), (NUMBER, "²"), (VALUE, "9" * 5000)],
    ids=["more than Python reads", "superscript", "values only"],
)
def test_numbers_that_are_none(found: str, digits: str, session: Session) -> None:
    paths = sorted(RULES.glob("*/bad/*.yaml"))
    assert paths
    for path in paths:
        lint_texts([SourceText(path.name, re.sub(found, digits, path.read_text(encoding="utf-8")))], session)
