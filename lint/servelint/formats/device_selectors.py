"""Which devices the CEL selectors of dynamic resource allocation allow, as far as that is certain.

An expression is judged for each accelerator of the catalogue in three values: it holds, it does not, or that cannot be said
(a condition on a driver's version, on a bus address, …). What is not surely refused stays an alternative.

Sources: ``k8s.io/api/resource/v1`` (CELDeviceSelector: ``device.driver``, ``device.attributes``, ``device.capacity``); the
attributes of NVIDIA's driver (``productName`` as NVML names the device, ``architecture``, ``type``, ``profile``, capacity
``memory``) in its ``resourceslice-attributes`` reference.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from servelint.catalogue.accelerators import Accelerator
    from servelint.facts import Place
    from servelint.source.nodes import Document, ScalarNode

VENDORS = {"gpu.nvidia.com": "NVIDIA", "gpu.amd.com": "AMD", "gaudi.intel.com": "Intel", "gpu.intel.com": "Intel"}
"""Makers by the name of their driver."""

_LONGEST = 2000  # characters; and of nested parentheses:
_DEEPEST = 20
# The memory that NVML reports, as a share of a GiB per marketed gigabyte: L4 23034 MiB, H200 143771 MiB, A100 40960 MiB.
_REPORTED = 0.9

_TEXT = r"""("[^"\\]*"|'[^'\\]*')"""
_ATTRIBUTE = (
    r"""device\.attributes\[\s*["'][\w.-]+["']\s*\]\.\??(\w+)(?:\.orValue\(\s*(?:""|'')\s*\))?((?:\.(?:lower|upper)Ascii\(\))*)"""
)
_MEMORY = r"""device\.capacity\[\s*["'][\w.-]+["']\s*\]\.memory"""
_QUANTITY = r"""\s*quantity\(\s*["'](\d+(?:\.\d+)?)([KMGT]i)["']\s*\)\s*"""
_THERE = r"""has\(|["']\w+["']\s+in\s"""  # asks only whether a device has the attribute
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_MIRRORED = {"isGreaterThan": ">", "isLessThan": "<"}


class _Device(NamedTuple):
    """What is judged. ``names``: what drivers call it, words joined by ``-``. ``profile``: of a MIG slice, else ""."""

    accelerator: Accelerator
    names: tuple[str, ...]
    profile: str = ""


class Condition(NamedTuple):
    """A tree: ``all``, ``any`` or ``not`` of ``parts``, or the comparison of one thing (``about``: ``product``, ``profile``,
    ``driver``, ``type``, ``architecture``, ``memory``, "" for what is not understood). ``wanted``: the texts it is compared
    with. ``text``: the comparison as written."""

    kind: str
    parts: tuple[Condition, ...] = ()
    about: str = ""
    wanted: tuple[str, ...] = ()
    text: str = ""
    judge: Any = None  # of a comparison: whether a device satisfies it, None where that cannot be said

    def holds(self, device: _Device) -> bool | None:
        return self.valued(lambda each: each.judge(device) if each.judge is not None else None)

    def requires(self, about: str) -> bool:
        """A device of which no comparison of ``about`` is true is surely refused."""
        return self.valued(lambda each: False if each.about == about else None) is False

    def comparisons(self) -> list[Condition]:
        return [self] if self.kind == "one" else [each for part in self.parts for each in part.comparisons()]

    def only(self, about: str) -> str:
        """The one text that ``about`` must be; "" where none is prescribed."""
        if not self.requires(about):
            return ""
        texts = {text for each in self.comparisons() if each.about == about for text in each.wanted}
        return texts.pop() if len(texts) == 1 else ""

    def valued(self, value: Callable[[Condition], bool | None]) -> bool | None:
        if self.kind == "one":
            return value(self)
        values = [part.valued(value) for part in self.parts]
        if self.kind == "not":
            return None if values[0] is None else not values[0]
        decisive = self.kind == "any"
        if decisive in values:
            return decisive
        return None if None in values else not decisive


class Selection(NamedTuple):
    """What the selectors of one request say. ``condition``: all of them. ``misread``: one that speaks of the product in a way
    that is not understood, "" if none does. ``place`` and ``text``: of the comparison that names the product or the profile."""

    condition: Condition
    place: Place | None
    text: str
    misread: str

    @property
    def driver(self) -> str:
        return self.condition.only("driver")

    @property
    def type(self) -> str:
        return self.condition.only("type")

    @property
    def names_product(self) -> bool:
        return self.condition.requires("product")

    @property
    def profiles(self) -> tuple[str, ...]:
        """The MIG profiles of which one must be; empty where none is prescribed."""
        if not self.condition.requires("profile"):
            return ()
        every = (text for each in self.condition.comparisons() if each.about == "profile" for text in each.wanted)
        return tuple(dict.fromkeys(every))

    def accelerators(self, vendor: str) -> tuple[Accelerator, ...]:
        """The accelerators (or slices of them) of the catalogue that are not refused."""
        from servelint.catalogue import accelerators

        found: dict[str, Accelerator] = {}
        for name, names in accelerators.device_names().items():
            for profile in self.profiles or ("",):
                matches = accelerators.find_all(f"{name}-MIG-{profile}" if profile else name)
                for match in matches:
                    allowed = not vendor or match.vendor == vendor
                    if allowed and self.condition.holds(_Device(match, names, profile)) is not False:
                        found[match.name] = match
        return tuple(found.values())


def selection(expressions: Iterable[tuple[Document, ScalarNode, str]]) -> Selection:
    """What ``expressions`` say together: each with its scalar, of which it is the whole text or a part."""
    trees = [(document, node, parsed(expression)) for document, node, expression in expressions]
    every = [(document, node, each) for document, node, tree in trees for each in tree.comparisons()]
    naming = [named for about in ("product", "profile") for named in every if named[2].about == about]
    place = _place(naming[0][0], naming[0][1], naming[0][2].text) if naming else None
    unread = (each.text for _, _, each in every if not each.about and not re.match(_THERE, each.text))
    misread = next((text for text in unread if "productName" in text or ".profile" in text), "")
    return Selection(Condition("all", tuple(tree for _, _, tree in trees)), place, naming[0][2].text if naming else "", misread)


def _place(document: Document, node: ScalarNode, text: str) -> Place:
    from servelint.facts import Place

    start = node.text.find(text)
    span = node.source_span(document.source, start, start + len(text)) if start >= 0 else None
    return Place(document.physical, span) if span is not None else Place.of(document, node)


def parsed(expression: str) -> Condition:
    """The tree of an expression; what is not understood is a comparison of nothing."""
    text = expression.strip()
    # A choice binds less than && does, so what stands beside it cannot be told apart here.
    if len(text) > _LONGEST or _has_choice(text):
        return Condition("one", text=text)
    return _tree(text, 0)


def _tree(text: str, depth: int) -> Condition:
    text = text.strip()
    if depth > _DEEPEST:
        return Condition("one", text=text)
    for operator, kind in (("||", "any"), ("&&", "all")):
        parts = _split(text, operator)
        if len(parts) > 1:
            return Condition(kind, tuple(_tree(part, depth + 1) for part in parts))
    if text.startswith("!"):
        return Condition("not", (_tree(text[1:], depth + 1),))
    if text.startswith("(") and _split(text[1:], ")")[0] == text[1:-1]:
        return _tree(text[1:-1], depth + 1)
    return _comparison(text)


def _split(text: str, separator: str) -> list[str]:
    """``text`` at each ``separator`` outside quotes and brackets."""
    parts = []
    depth = start = index = 0
    quote = ""
    while index < len(text):
        character = text[index]
        if quote:
            quote = "" if character == quote else quote
        elif depth == 0 and text.startswith(separator, index):
            parts.append(text[start:index])
            index += len(separator) - 1
            start = index + 1
        elif character in "\"'":
            quote = character
        else:
            depth += (character in "([{") - (character in ")]}")
        index += 1
    return [*parts, text[start:]]


def _has_choice(text: str) -> bool:
    bare = re.sub(_TEXT, "", text)
    return re.search(r"(?<![.\[])\?", bare) is not None


def _comparison(text: str) -> Condition:
    if (match := re.fullmatch(rf"{_ATTRIBUTE}\s*([!=]=)\s*{_TEXT}", text)) is not None:
        equal = _of_attribute(match[1], (match[4][1:-1],), text)
        return equal if match[3] == "==" else Condition("not", (equal,))
    if (match := re.fullmatch(rf"{_ATTRIBUTE}\s+in\s*\[(\s*{_TEXT}\s*(?:,\s*{_TEXT}\s*)*),?\s*\]", text)) is not None:
        return _of_attribute(match[1], tuple(found[1:-1] for found in re.findall(_TEXT, match[3])), text)
    if (match := re.fullmatch(rf"{_ATTRIBUTE}\.(matches|contains|startsWith|endsWith)\(\s*r?{_TEXT}\s*\)", text)) is not None:
        return _like(match[1], match[3], match[4][1:-1], text)
    if (match := re.fullmatch(rf"device\.driver\s*==\s*{_TEXT}", text)) is not None:
        maker = VENDORS.get(match[1][1:-1])
        return _one("driver", (match[1][1:-1],), text, lambda device: device.accelerator.vendor == maker if maker else None)
    found = re.fullmatch(rf"{_MEMORY}\.compareTo\({_QUANTITY}\)\s*([<>]=?)\s*0", text)
    if found is not None:
        return _of_memory(found[1], found[2], found[3], text)
    found = re.fullmatch(rf"{_MEMORY}\.(isGreaterThan|isLessThan)\({_QUANTITY}\)", text)
    if found is not None:
        return _of_memory(found[2], found[3], _MIRRORED[found[1]], text)
    found = re.fullmatch(rf"{_MEMORY}\s*([<>]=?){_QUANTITY}", text)
    if found is not None:
        return _of_memory(found[2], found[3], found[1], text)
    return Condition("one", text=text)


def _one(about: str, wanted: tuple[str, ...], text: str, judge: Callable[[_Device], bool | None]) -> Condition:
    return Condition("one", (), about, wanted, text, judge)


def _of_attribute(name: str, wanted: tuple[str, ...], text: str) -> Condition:
    """The attribute is one of ``wanted``."""
    if name in ("productName", "model"):  # the latter of Intel's drivers
        from servelint.catalogue import accelerators

        meant = {match.name for each in wanted for match in accelerators.find_all(each)}
        return _one("product", wanted, text, lambda device: (device.accelerator.slice_of or device.accelerator.name) in meant)
    if name == "profile":
        return _one("profile", wanted, text, lambda device: device.profile in wanted if device.profile else None)
    if name == "type":
        return Condition("one", (), "type", wanted, text)
    if name == "architecture":
        first = {each.lower().split(" ")[0] for each in wanted}
        return _one("architecture", wanted, text, lambda device: device.accelerator.architecture.lower().split(" ")[0] in first)
    return Condition("one", text=text)


def _like(name: str, method: str, pattern: str, text: str) -> Condition:
    """The attribute contains the literal pieces of ``pattern`` in their order; only such simple patterns are understood."""
    if name not in ("productName", "model"):
        return Condition("one", text=text)
    alternatives = _pieces(pattern) if method == "matches" else [(method == "startsWith", [pattern], method == "endsWith")]
    if alternatives is None:
        return Condition("one", text=text)
    return _one(
        "product", (pattern,), text, lambda device: any(_is_like(name, *each) for each in alternatives for name in device.names)
    )


def _pieces(pattern: str) -> list[tuple[bool, list[str], bool]] | None:
    """(from the beginning, literals in order, to the end) of each alternative of a regular expression; None for a richer one."""
    text = pattern.removeprefix("(?i)")
    found = []
    outer = re.fullmatch(r"([^()|]*)\(([^()]*)\)([^()|]*)", text)
    before, inner, after = outer.groups() if outer is not None else ("", text, "")
    for part in inner.split("|"):
        whole = f"{before}{part}{after}"
        starts, ends = whole.startswith("^"), whole.endswith("$")
        pieces = whole.removeprefix("^").removesuffix("$").split(".*")
        starts, ends = starts and bool(pieces[0]), ends and bool(pieces[-1])
        literals = [piece for piece in pieces if piece]
        if not literals or any(re.search(r"[^\w \-]", piece) for piece in literals):
            return None
        found.append((starts, literals, ends))
    return found


def _is_like(name: str, starts: bool, literals: Sequence[str], ends: bool) -> bool:
    """A literal begins where a word does: who writes ``H200`` means no GH200. Case does not count, nor ``-`` for a blank."""
    position = 0
    for index, literal in enumerate(literals):
        wanted = literal.lower().replace(" ", "-").replace("_", "-")
        found = name.find(wanted, position)
        while found > 0 and name[found - 1].isalpha() and wanted[:1].isalpha():
            found = name.find(wanted, found + 1)
        if found < 0 or (starts and index == 0 and found > 0):
            return False
        position = found + len(wanted)
    return position == len(name) or not ends


def _of_memory(number: str, unit: str, operator: str, text: str) -> Condition:
    limit = float(number) * _UNITS[unit]

    def judge(device: _Device) -> bool | None:
        if device.accelerator.memory_gb is None:
            return None
        most = device.accelerator.memory_gb * 2**30
        least = most * _REPORTED
        above = {">": (least > limit, most <= limit), ">=": (least >= limit, most < limit)}
        below = {"<": (most < limit, least >= limit), "<=": (most <= limit, least > limit)}
        holds, fails = (above if operator in above else below)[operator]
        return True if holds else False if fails else None

    return _one("memory", (), text, judge)
