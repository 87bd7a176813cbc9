"""Named tuples for the start-up path.

``typing.NamedTuple`` compiles every annotation that is a string, which with ``from __future__ import annotations`` is each of
them: a third of the time of a run on one file. The class here is the same to users and to type checkers, without that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from collections import namedtuple
    from types import GenericAlias

    # What the class statement adds to a namespace, and what a named tuple has of its own.
    _OWN = frozenset(("__annotations__", "__classcell__", "__dict__", "__orig_bases__", "__qualname__", "__slots__"))

    class _Maker(type):
        """Makes a named tuple of a class statement: its annotations are the fields, their values the defaults."""

        def __new__(mcs, name, bases, namespace):
            if not bases:
                return super().__new__(mcs, name, bases, namespace)
            fields = namespace.get("__annotations__", {})
            defaults = [namespace[field] for field in fields if field in namespace]
            made = namedtuple(name, fields, defaults=defaults, module=namespace["__module__"])  # noqa: PYI024
            made.__annotations__ = fields
            made.__class_getitem__ = classmethod(GenericAlias)
            for key, value in namespace.items():
                if key not in fields and key not in _OWN:
                    setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_Maker):
        """As ``typing.NamedTuple``: fields with annotations, methods and properties below them."""


__all__ = ["NamedTuple"]
