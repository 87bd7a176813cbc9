"""A session in which manifests are read, and nothing is judged but whether they can be."""

from __future__ import annotations

import pytest

from servelint.config import Config
from servelint.run import Session, open_session


@pytest.fixture(scope="module")
def session() -> Session:
    return open_session(Config(select=("DOC101",)))
