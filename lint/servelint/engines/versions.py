"""Engine versions and half-open intervals of them, as the release scans know them."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self


def _leading_digits(text: str) -> str:
    end = 0
    while end < len(text) and text[end].isascii() and text[end].isdigit():
        end += 1
    return text[:end]


_MOST_DIGITS = 18  # of a part; a tag of more is no release, and from some length on Python refuses to read it


class Version(tuple[int, ...]):
    """A release, compared as numbers: major, minor, patch. Pre-release and build suffixes (``rc1``, ``+cu129``) are dropped.

    SGLang's post releases bring options and models (0.4.9.post6 has GLM-4.5, 0.4.9 has not), so that one is a release of its own
    with a fourth number, behind the one it is named for. Those of other engines mend builds, and are dropped.
    """

    __slots__ = ()

    def __new__(cls, major: int, minor: int, patch: int, post: int = 0) -> Self:
        return tuple.__new__(cls, (major, minor, patch, post) if post else (major, minor, patch))

    @property
    def major(self) -> int:
        return self[0]

    @property
    def minor(self) -> int:
        return self[1]

    def __getnewargs__(self) -> tuple[int, ...]:
        return tuple(self)

    @classmethod
    def parse(cls, text: str, engine: str = "") -> Version | None:
        """``0.19.1``, ``v0.19``, ``0.11.0rc2``; None where it is not a version of two or three numbers."""
        numbers: list[int] = []
        for part in text.strip().removeprefix("v").split("."):
            digits = _leading_digits(part)
            if not digits or len(digits) > _MOST_DIGITS:
                break
            numbers.append(int(digits))
            if digits != part or len(numbers) == 3:
                break
        if len(numbers) < 2:
            return None
        post = _leading_digits(text.partition(".post")[2][:_MOST_DIGITS]) if engine == "sglang" else ""
        return cls(numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else 0, int(post or 0))

    @classmethod
    def of(cls, text: str) -> Version:
        """A release as the data files name it: two or three numbers, and nothing else."""
        major, minor, *patch = map(int, text.split("."))
        return cls(major, minor, patch[0] if patch else 0)

    def __str__(self) -> str:
        return ".".join(map(str, self[:3])) + "".join(f".post{post}" for post in self[3:])

    def __repr__(self) -> str:
        return f"Version({self})"


def around(scanned: Sequence[Version], version: Version) -> tuple[Version, ...]:
    """The scanned release that ``version`` is, or the two it lies between; none outside what was scanned, oldest first."""
    if not scanned or version < scanned[0] or version > scanned[-1]:
        return ()
    position = bisect_left(scanned, version)
    return (version,) if scanned[position] == version else (scanned[position - 1], scanned[position])


def mends_newest(scanned: Sequence[Version], version: Version) -> bool:
    """``version`` is a post release of the newest one scanned: it has what that has, and may have more."""
    return len(version) > 3 and bool(scanned) and version[:3] == scanned[-1]


VLLM_V1 = Version(0, 8, 0)
"""The first release of vLLM whose default is the V1 engine (vllm/engine/arg_utils.py, ``_is_v1_supported_oracle``)."""
