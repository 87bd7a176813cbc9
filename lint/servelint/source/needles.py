"""Looking before parsing: what occurs in a file, for the many formats, engines and rules that ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LARGE = 1 << 20  # characters: few manifests have as many, and taking a data file of 80 MB apart takes ten times its size
_OTHERS_TO_BLANKS = bytes(code if chr(code) in "_-" or (code < 128 and chr(code).isalnum()) else 32 for code in range(256))


def _runs(text: str) -> list[str]:
    """The runs of ASCII letters, digits, "_" and "-" in a text."""
    return text.encode("ascii", "replace").translate(_OTHERS_TO_BLANKS).decode("ascii").split()


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
            self._runs = "\n".join(set(_runs(self.text))) if len(self.text) < _LARGE else self.text
        return self._runs


class Needles:
    """Lower-case words that are looked for together, each anywhere, inside of a longer word, too.

    Those of letters, digits, "_" and "-" alone are looked for in the runs: where one occurs, it is within one run.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._with_run: dict[str, list[str]] = {}  # the words by the longest run in them
        for word in set(words):
            self._with_run.setdefault(max(_runs(word), key=len, default=""), []).append(word)

    def found_in(self, words: Words) -> frozenset[str]:
        """Those that occur in a file; it is searched once, and for a word with more than a run only where that occurs."""
        found = words.found.get(self)
        if found is None:
            text, runs = words.text, words.runs
            each = [word for run, own in self._with_run.items() if run in runs for word in own if word == run or word in text]
            found = words.found[self] = frozenset(each)
        return found
