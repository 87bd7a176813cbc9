"""What can change a fact where it is written. A module of its own: it is for annotations, and a protocol costs start-up time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from servelint.finding import Edit


class Writer(Protocol):
    """Knows how to set a fact in the file it came from."""

    def write(self, value: object) -> tuple[Edit, ...] | None:
        """The edits that make the fact ``value`` (``None`` removes the setting); ``None`` where that cannot be proven right."""
