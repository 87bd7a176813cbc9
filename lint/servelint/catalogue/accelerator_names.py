"""How texts name an accelerator: label values, device names, cloud names, short names.

GPU feature discovery writes the device name with ``-`` for spaces (``NVIDIA H100 80GB HBM3`` → ``NVIDIA-H100-80GB-HBM3``), so a
label is understood word by word and no list of labels has to be complete.
"""

from __future__ import annotations

import re

from servelint.records import NamedTuple

# Words that say who made it or what it is, never which one.
_EMPTY_WORDS = frozenset(
    {"nvidia", "tesla", "geforce", "gpu", "accelerator", "amd", "instinct", "intel", "huawei", "google", "aws"}
)
FORMS = frozenset({"sxm", "pcie", "nvl", "oam"})
_MIG = r"(?P<device>.+)-mig-(?P<compute>\d)g\.(?P<memory>\d+)gb(?:[.+-][a-z.+-]+)?"


def key(text: str) -> str:
    """``text`` in lower case, its words joined by ``-``, without the ``-SHARED`` that time-slicing appends."""
    joined = "-".join(text.lower().replace("_", " ").replace("-", " ").split())
    return joined.removesuffix("-shared")


def squashed(text: str) -> str:
    """The key without separators and maker: ``Ascend 910B`` and ``Ascend910B`` are one."""
    return "".join(words(text))


def words(text: str) -> tuple[str, ...]:
    """The words that tell accelerators apart, in order; ``40g`` is ``40gb``, ``sxm4`` and CoreWeave's ``nvlink`` are ``sxm``."""
    return tuple(_usual(word) for word in key(text).split("-") if word not in _EMPTY_WORDS)


def _usual(word: str) -> str:
    if word == "nvlink" or (word.startswith("sxm") and word[3:].isdigit()):
        return "sxm"
    return f"{word}b" if word.endswith("g") and word[:-1].isdigit() else word


def is_size(word: str) -> bool:
    return word.endswith("gb") and word[:-2].isdigit()


def core_words(name: str) -> frozenset[str]:
    """The words of a name without which it is not meant: all but its memory size and its form."""
    return frozenset(word for word in words(name) if word not in FORMS and not is_size(word))


class MigProfile(NamedTuple):
    """``1g.5gb`` of ``device``: compute slices and gigabytes, as the profile's name has them."""

    device: str
    compute: int
    memory_gb: int


# No H100 has 40 GB: Truss and Slurm clusters call half of one so, which is the profile of three compute slices.
_UNSAID_PROFILES = {"h100-40gb": MigProfile("h100-80gb", 3, 40)}


def mig_profile(text: str) -> MigProfile | None:
    """The profile that a label with a MIG suffix names (``…-MIG-1g.5gb``, ``… MIG 1g.10gb+me``), or ``H100_40GB``."""
    joined = key(text)
    if joined in _UNSAID_PROFILES:
        return _UNSAID_PROFILES[joined]
    match = re.fullmatch(_MIG, joined) if "-mig-" in joined else None
    return MigProfile(match["device"], int(match["compute"]), int(match["memory"])) if match else None
