"""What a manifest format is: needles to look for before parsing, and a way from documents to deployments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from servelint.deployment import Deployment
    from servelint.engines.base import Engine
    from servelint.finding import Verdict
    from servelint.source.nodes import Document, Node
    from servelint.source.text import SourceText


class Surroundings(Protocol):
    """What a format may ask while it recognises a document."""

    @property
    def engines(self) -> Sequence[Engine]: ...

    @property
    def documents(self) -> Sequence[Document]:
        """The documents of the file: where objects that a document refers to by name are looked for first."""

    def elsewhere(self, kind: str, name: str) -> tuple[Document, Node] | None:
        """The object that is meant by ``kind`` and ``name`` in the other files of the run, with its document.

        None where there is none, or where it cannot be told which of several is meant.
        """

    def file(self, path: str) -> SourceText | None:
        """The file of the run at ``path``, relative to the folder of the file that is read; None if it is not among them."""

    def problem(self, code: str, verdict: Verdict, deployment: str = "") -> None:
        """Report a violation found while reading (DOC and schema rules)."""


class Format(Protocol):
    """One manifest format.

    ``needles``: sets of lower-case byte strings (UTF-8); the format is asked about a file if, for one of the sets, all its
    needles occur in the lower-cased text of the file. ``servelint.formats.needles.ENGINE`` in a set stands for any engine's
    needle.
    """

    @property
    def name(self) -> str: ...
    @property
    def needles(self) -> tuple[tuple[bytes, ...], ...]: ...

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterable[Deployment]:
        """The deployments in ``document``; none if it is not of this format. Facts not stated stay as they are."""
