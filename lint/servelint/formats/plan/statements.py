"""Statements: scalars of a plan as facts, each with its place, its writer, and a problem where it cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats.plan import quantities
from servelint.formats.plan.model import NOT_STATED, Throughput
from servelint.formats.plan.quantities import Dimension, Quantity, QuantityError
from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, Node, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from servelint.finding import Edit
    from servelint.source.nodes import Document
    from servelint.writer import Writer

# The most that a whole number in a plan can be: more digits than this are a slip of the keyboard, not a size.
MOST = 10**12

DTYPES = {
    "half": "float16", "fp16": "float16", "bf16": "bfloat16", "float": "float32", "fp32": "float32",
}  # fmt: skip


class Misread(NamedTuple):
    """A statement that cannot be read: where, and one sentence why."""

    node: Node
    sentence: str


class ScalarWriter:
    """Sets one scalar of a plan, in its own style; a quantity keeps its unit and decimals."""

    __slots__ = ("_document", "_node", "_quantity")

    def __init__(self, document: Document, node: ScalarNode, quantity: Quantity | None = None) -> None:
        self._document = document
        self._node = node
        self._quantity = quantity

    def write(self, value: object) -> tuple[Edit, ...] | None:
        from servelint.source.edits import set_scalar  # lazy: only runs that propose a fix write

        if value is None:
            return None
        if self._quantity is not None and isinstance(value, int | float):
            text = quantities.rewritten(self._quantity, value)
        elif isinstance(value, bool):
            text = "true" if value else "false"
        else:
            text = str(value)
        return set_scalar(self._document, self._node, text)


class Statements:
    """Reads the statements of one plan. ``misread`` collects what cannot be read, in the order it was asked for."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.misread: list[Misread] = []

    def origin(self, node: Node, text: str = "the plan") -> Origin:
        return Origin(OriginKind.FILE, text, Place.of(self.document, node))

    def wrong(self, name: str, node: Node, sentence: str) -> Fact[Any]:
        """The unknown fact of a statement that cannot be read."""
        self.misread.append(Misread(node, f"`{name}`: {sentence}"))
        return Fact.unknown(name, f"cannot be read: {sentence}", "correct it in the plan", self.origin(node))

    def absent(self, name: str) -> Fact[Any]:
        return Fact.unknown(name, NOT_STATED, f"state {name} in the plan")

    def scalar(self, name: str, node: Node | None, *path: str | int) -> ScalarNode | Fact[Any]:
        """The scalar at ``path`` below ``node``, or the fact that says why there is none."""
        found = node.get(*path) if node is not None else None
        if found is None:
            return self.absent(name)
        if not isinstance(found, ScalarNode):
            kind = "a mapping" if isinstance(found, MappingNode) else "a list"
            return self.wrong(name, found, f"{kind} stands where a single value is meant")
        return found

    def text(self, name: str, node: Node | None, *path: str | int) -> Fact[str]:
        found = self.scalar(name, node, *path)
        if isinstance(found, Fact):
            return found
        return Fact.known(name, found.text, self.origin(found), ScalarWriter(self.document, found))

    def dtype(self, name: str, node: Node | None, *path: str | int) -> Fact[str]:
        """A number format under its long name: ``fp16`` is ``float16``."""
        found = self.scalar(name, node, *path)
        if isinstance(found, Fact):
            return found
        return Fact.known(name, DTYPES.get(found.text, found.text), self.origin(found), ScalarWriter(self.document, found))

    def integer(self, name: str, node: Node | None, *path: str | int, least: int = 1, most: int = MOST) -> Fact[int]:
        found = self.scalar(name, node, *path)
        if isinstance(found, Fact):
            return found
        value = _number(found)
        if value is None or (isinstance(value, float) and not value.is_integer()):
            return self.wrong(name, found, f"`{found.text[:40]}` is not a whole number")
        if not least <= value <= most:
            return self.wrong(name, found, f"{found.text[:40]} is not a whole number from {least} to {most}")
        return Fact.known(name, int(value), self.origin(found), ScalarWriter(self.document, found))

    def boolean(self, name: str, node: Node | None, *path: str | int) -> Fact[bool]:
        from servelint.source.scalars import core_value

        found = self.scalar(name, node, *path)
        if isinstance(found, Fact):
            return found
        value = core_value(found)
        if not isinstance(value, bool):
            return self.wrong(name, found, f"`{found.text[:40]}` is neither true nor false")
        return Fact.known(name, value, self.origin(found), ScalarWriter(self.document, found))

    def quantity(
        self,
        name: str,
        dimension: Dimension,
        node: Node | None,
        *path: str | int,
        positive: bool = False,
        most: float | None = None,
    ) -> Fact[Quantity]:
        """A quantity; ``positive``: zero is none, ``most``: the largest it can be."""
        found = self.scalar(name, node, *path)
        if isinstance(found, Fact):
            return found
        try:
            value = _quantity(found, dimension)
        except QuantityError as error:
            return self.wrong(name, found, str(error))
        if positive and value.value_si == 0:
            return self.wrong(name, found, f"`{found.text[:40]}` is nothing: it must be more than zero")
        if most is not None and value.value_si > most:
            return self.wrong(name, found, f"`{found.text[:40]}` is more than there is: it is at most {most * 100:g} %")
        return Fact.known(name, value, self.origin(found), ScalarWriter(self.document, found, value))

    def throughput(self, name: str, node: Node | None, *path: str) -> Fact[Throughput]:
        """A token rate, or ``{value, of}``; the place is the rate's, and the writer takes tokens/s."""
        found = node.get(*path) if node is not None else None
        steps: Sequence[str] = (*path, "value") if isinstance(found, MappingNode) else path
        rate = self.quantity(name, Dimension.TOKEN_RATE, node, *steps)
        if not rate.is_known or rate.origin is None:
            return Fact(name, rate.state, (), rate.origin, rate.reason, rate.remedy)
        of = self.text(f"{name}.of", found, "of").get("total") if isinstance(found, MappingNode) else "total"
        return Fact.known(name, Throughput(rate.value, of), rate.origin, rate.writer)

    def texts(self, name: str, node: Node | None, *path: str) -> tuple[Fact[str], ...]:
        """The items of a list of names."""
        items = node.elements_at(*path) if node is not None else []
        return tuple(
            Fact.known(name, item.text, self.origin(item), ScalarWriter(self.document, item))
            for item in items
            if isinstance(item, ScalarNode)
        )


def number_of(fact: Fact[Quantity]) -> Fact[float]:
    """The SI value of a quantity, which its writer also takes."""
    return Fact(fact.name, fact.state, tuple(q.value_si for q in fact.values), fact.origin, fact.reason, fact.remedy, fact.writer)


def default(name: str, value: Any, text: str = "the native plan's default", writer: Writer | None = None) -> Fact[Any]:
    return Fact.known(name, value, Origin(OriginKind.DEFAULT, text), writer)


def _number(node: ScalarNode) -> int | float | None:
    from servelint.source.scalars import core_value

    if len(node.text) > 300:  # Python refuses to read numbers of thousands of digits
        return None
    value = core_value(node)
    return None if isinstance(value, bool) or not isinstance(value, int | float) else value


def _quantity(node: ScalarNode, dimension: Dimension) -> Quantity:
    value = _number(node)
    if value is None:
        return quantities.parse(node.text, dimension)
    try:
        return quantities.bare(float(value), dimension, node.text)
    except OverflowError:
        raise QuantityError(f"`{node.text[:37]}...` is too large for a {dimension.value}") from None
