"""Named tuples for the start-up path.

``typing.NamedTuple`` compiles every annotation that is a string, which with ``from __future__ import annotations`` is each of
them, and ``collections.namedtuple`` a constructor for every class: together a third of the time of a run on one file, which
defines eighty of them. The class here is the same to users and to type checkers. It compiles a constructor once for each
number of fields, and every class gives it the names of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from collections import _tuplegetter  # of collections.namedtuple: reads a field in half the time of a property
    from functools import cache
    from types import FunctionType, GenericAlias

    @cache
    def _constructor(count):
        """The code of a ``__new__`` that takes ``count`` fields."""
        names = "".join(f"f{i}, " for i in range(count))
        return eval(f"lambda cls, {names}: new(cls, ({names}))").__code__  # noqa: S307 - the text is ours

    class _Maker(type):
        """Makes a class of a class statement: its annotations are the fields, their values the defaults."""

        def __new__(mcs, name, bases, namespace):
            fields = tuple(namespace.get("__annotations__", ()))
            if not fields:
                return type.__new__(mcs, name, bases, namespace)
            defaults = {field: namespace[field] for field in fields if field in namespace}
            code = _constructor(len(fields)).replace(co_varnames=("cls", *fields))
            constructor = FunctionType(code, {"new": tuple.__new__}, name, tuple(defaults.values()))
            content = {
                **namespace,
                **{field: _tuplegetter(i, "") for i, field in enumerate(fields)},
                "__slots__": (), "__new__": constructor, "_fields": fields, "__match_args__": fields, "_field_defaults": defaults,
                "_positions": {field: i for i, field in enumerate(fields)},
            }  # fmt: skip
            content.pop("__orig_bases__", None)
            return type(name, (_Record,), content)

    class _Record(tuple):
        """What every named tuple can do."""

        __slots__ = ()
        __class_getitem__ = classmethod(GenericAlias)

        @classmethod
        def _make(cls, values):
            return cls(*values)

        def _replace(self, **changes):
            positions = self._positions
            unknown = [name for name in changes if name not in positions]
            if unknown:
                raise ValueError(f"Got unexpected field names: {unknown!r}")
            values = list(self)
            for name, value in changes.items():
                values[positions[name]] = value
            return tuple.__new__(type(self), values)

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self):
            return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in zip(self._fields, self, strict=True))})"

        def __getnewargs__(self):
            return tuple(self)

    class NamedTuple(metaclass=_Maker):
        """As ``typing.NamedTuple``: fields with annotations, methods and properties below them."""


__all__ = ["NamedTuple"]
