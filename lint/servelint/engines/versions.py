"""Engine versions and half-open intervals of them, as the release scans know them."""

from __future__ import annotations

from servelint.records import NamedTuple


class Version(NamedTuple):
    """A release, compared as numbers. Pre-release and build suffixes (``rc1``, ``.post1``, ``+cu129``) are dropped."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """``0.19.1``, ``v0.19``, ``0.11.0rc2``; None where it is not a version of two or three numbers."""
        numbers: list[int] = []
        for part in text.strip().removeprefix("v").split("."):
            digits = ""
            for character in part:
                if not character.isascii() or not character.isdigit():
                    break
                digits += character
            if not digits:
                break
            numbers.append(int(digits))
            if digits != part or len(numbers) == 3:
                break
        if len(numbers) < 2:
            return None
        return cls(numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else 0)

    @classmethod
    def of(cls, text: str) -> Version:
        """A release as the data files name it: two or three numbers, and nothing else."""
        major, minor, *patch = map(int, text.split("."))
        return cls(major, minor, patch[0] if patch else 0)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


VLLM_V1 = Version(0, 8, 0)
"""The first release of vLLM whose default is the V1 engine (vllm/engine/arg_utils.py, ``_is_v1_supported_oracle``)."""
