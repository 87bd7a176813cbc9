"""The named tuples of the start-up path behave as those of the standard library."""

from __future__ import annotations

import pickle
import typing
from typing import Any, Generic, TypeVar

import pytest

from servelint.records import NamedTuple

T = TypeVar("T")


class Ours(NamedTuple):
    """A record."""

    name: str
    count: int = 2

    @property
    def doubled(self) -> int:
        return 2 * self.count


class Theirs(typing.NamedTuple):
    """A record."""

    name: str
    count: int = 2

    @property
    def doubled(self) -> int:
        return 2 * self.count


class Boxed(NamedTuple, Generic[T]):
    value: T


@pytest.mark.parametrize("attribute", ["_fields", "_field_defaults", "__doc__", "__annotations__", "__module__"])
def test_the_class_is_described_alike(attribute: str) -> None:
    ours, theirs = getattr(Ours, attribute), getattr(Theirs, attribute)
    # typing keeps annotations as references that it has compiled
    plain = {k: getattr(v, "__forward_arg__", v) for k, v in theirs.items()} if attribute == "__annotations__" else theirs
    assert ours == plain


@pytest.mark.parametrize("made", [Ours, Theirs])
def test_instances_behave_alike(made: Any) -> None:
    one = made("a")
    assert one == ("a", 2)
    assert one._replace(count=3).doubled == 6
    assert one._asdict() == {"name": "a", "count": 2}
    assert repr(one) == f"{made.__name__}(name='a', count=2)"
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(TypeError):
        made()
    with pytest.raises(AttributeError):
        one.count = 5


def test_a_generic_record_takes_its_argument() -> None:
    assert Boxed[int](3).value == 3
