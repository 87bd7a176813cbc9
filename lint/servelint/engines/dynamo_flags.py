"""The options of Dynamo's workers: those of the engine, with its releases, and Dynamo's own, whose release is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.flags import FlagTable, flag_table

if TYPE_CHECKING:
    from servelint.engines.flag import Flag

_TABLES: dict[str, WorkerTable] = {}


def worker_table(engine: str) -> FlagTable:
    """The options of ``python -m dynamo.<engine>``. The worker of TensorRT-LLM has none of ``trtllm-serve``."""
    found = _TABLES.get(engine)
    if found is None:
        base = flag_table("dynamo" if engine == "trtllm" else engine)
        found = _TABLES[engine] = WorkerTable(base, flag_table("dynamo"))
    return found


class WorkerTable(FlagTable):
    """A table of an engine's options in which Dynamo's are found too.

    The versions of the two are not the same: whether a release has one of Dynamo's is uncertain, and what it takes is what
    it takes in the newest one.
    """

    __slots__ = ("_base", "_own", "_plain")

    def __init__(self, base: FlagTable, own: FlagTable) -> None:
        self._base = base if base is not own else None
        self._own = own
        self._plain: dict[str, Flag] = {}
        self._share(base)
        if base is own:
            self.scanned = ()

    def flag(self, name: str) -> Flag | None:
        found = self._base.flag(name) if self._base is not None else None
        if found is not None:
            return found
        original = self._own.flag(name)
        if original is None:
            return None
        plain = self._plain.get(original.name)
        if plain is None:
            plain = self._plain[original.name] = original.without_history()
        return plain

    def __getitem__(self, name: str) -> Flag:
        found = self.flag(name)
        if found is None:
            raise KeyError(name)
        return found

    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*super().names(), *self._own.names())))
