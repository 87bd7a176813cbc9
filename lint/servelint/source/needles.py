"""Looking before parsing: what occurs in a file, for the many formats, engines and rules that ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LARGE = 1 << 22  # characters: bundles of definitions have as many; taking a data file of 80 MB apart takes ten times its size
_MOST_SEEN = 200_000  # runs: some 20 MB; those of 500 manifests are ten thousand
_OTHERS_TO_BLANKS = bytes(code if chr(code) in "_-" or (code < 128 and chr(code).isalnum()) else 32 for code in range(256))


def _runs(text: str) -> list[str]:
    """The runs of ASCII letters, digits, "_" and "-" in a text."""
    return text.encode("ascii", "replace").translate(_OTHERS_TO_BLANKS).decode("ascii").split()


class Words:
    """A lower-cased text to look for needles in. ``runs``: its different runs of letters, digits, "_" and "-": a manifest
    repeats itself, and they are a third of it. Of a large text it is the text itself."""

    __slots__ = ("_runs", "found", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.found: dict[Needles, frozenset[str]] = {}
        self._runs: set[str] = set()

    @property
    def runs(self) -> set[str]:
        if not self._runs:
            self._runs = set(_runs(self.text)) if len(self.text) < _LARGE else {self.text}
        return self._runs


class Needles:
    """Lower-case words that are looked for together, each anywhere, inside of a longer word, too.

    Those of letters, digits, "_" and "-" alone are looked for in the runs: where one occurs, it is within one run. Manifests
    repeat each other, so what was found in a run is kept for the next file with the same.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._with_run: dict[str, list[str]] = {}  # the words by the longest run in them
        for word in set(words):
            self._with_run.setdefault(max(_runs(word), key=len, default=""), []).append(word)
        self._without_run = self._with_run.pop("", [])
        self._seen: set[str] = set()
        self._telling: dict[str, list[str]] = {}  # of the runs seen, those that hold a key of ``_with_run``: the keys

    def found_in(self, words: Words) -> frozenset[str]:
        """Those that occur in a file; it is searched once, and for a word with more than a run only where that occurs."""
        found = words.found.get(self)
        if found is None:
            text, with_run = words.text, self._with_run
            each = [word for run in self._runs_in(words) for word in with_run[run] if word == run or word in text]
            each += [word for word in self._without_run if word in text]
            found = words.found[self] = frozenset(each)
        return found

    def _runs_in(self, words: Words) -> set[str]:
        """The keys of ``_with_run`` that occur."""
        runs = words.runs
        if words.text in runs:  # one run, or large: not worth keeping
            return {key for key in self._with_run if key in words.text}
        if len(self._seen) > _MOST_SEEN:
            self._seen, self._telling = set(), {}
        unseen = runs - self._seen
        if unseen:
            together = "\n".join(unseen)
            for key in self._with_run:
                if key in together:
                    for run in unseen:
                        if key in run:
                            self._telling.setdefault(run, []).append(key)
            self._seen |= unseen
        telling = self._telling
        return set().union(*[telling[run] for run in runs if run in telling])
