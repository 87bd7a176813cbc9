"""Looking before parsing: what occurs in a file, for the many formats, engines and rules that ask."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_RUN = re.compile("[a-z0-9_-]+")
_LARGE = 1 << 20  # characters: few manifests have as many, and taking a data file of 80 MB apart takes ten times its size


class Words:
    """A lower-cased text to look for needles in. ``runs``: its different runs of letters, digits, "_" and "-", by lines: a
    manifest repeats itself, and they are a third of it. Of a large text it is the text itself."""

    __slots__ = ("_runs", "found", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.found: dict[Needles, frozenset[str]] = {}
        self._runs = ""

    @property
    def runs(self) -> str:
        if not self._runs:
            self._runs = "\n".join(set(_RUN.findall(self.text))) if len(self.text) < _LARGE else self.text
        return self._runs


class Needles:
    """Lower-case words that are looked for together, each anywhere, inside of a longer word, too.

    Those of letters, digits, "_" and "-" alone are looked for in the runs: where one occurs, it is within one run.
    """

    def __init__(self, words: Iterable[str]) -> None:
        every = set(words)
        self._in_runs = [word for word in every if word.isascii() and word.replace("-", "_").isidentifier()]
        self._anywhere = every.difference(self._in_runs)

    def found_in(self, words: Words) -> frozenset[str]:
        """Those that occur in a file; it is searched once."""
        found = words.found.get(self)
        if found is None:
            text, runs = words.text, words.runs
            both = [word for word in self._in_runs if word in runs]
            both += [word for word in self._anywhere if word in text]
            found = words.found[self] = frozenset(both)
        return found
