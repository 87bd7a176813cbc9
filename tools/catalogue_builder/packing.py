"""The other half of ``servelint.catalogue.packed``: long lists written short."""

from __future__ import annotations

import json
import re
from typing import Any

_SHORTEST_PACKED = 12
_NUMBERS = re.compile(r"(?<!\d)(0|[1-9]\d*)(?!\d)")


def patterns_of(names: list[str]) -> list[str]:
    """The fewest patterns, each a name with ranges of numbers, that stand for exactly ``names``."""
    if any("<" in name or ">" in name for name in names):
        raise ValueError("a name holds < or >, which patterns use")
    root: dict[Any, Any] = {}
    for name in names:
        node = root
        parts = _NUMBERS.split(name)
        for index, part in enumerate(parts):
            node = node.setdefault(int(part) if index % 2 else part, {})
        node[None] = {}
    return list(_patterns(root))


def _patterns(node: dict[Any, Any]) -> tuple[str, ...]:
    result: list[str] = []
    numbers: dict[tuple[str, ...], list[int]] = {}
    for key, child in node.items():
        if key is None:
            result.append("")
        elif isinstance(key, int):
            numbers.setdefault(_patterns(child), []).append(key)
        else:
            result += [key + tail for tail in _patterns(child)]
    for tails, found in numbers.items():
        result += [_ranges(sorted(found)) + tail for tail in tails]
    return tuple(sorted(result))


def _ranges(numbers: list[int]) -> str:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    if len(numbers) == 1:
        return str(numbers[0])
    return "<" + ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs) + ">"


def packed(value: Any, name: str = "") -> Any:
    """``value`` with its long lists packed: names, per-layer kinds, and objects keyed by layer names."""
    if isinstance(value, dict):
        if name == "quantized_layers":
            groups: dict[str, list[str]] = {}
            for layer, item in value.items():
                groups.setdefault(json.dumps(item, sort_keys=True), []).append(layer)
            return {"$layers": [[json.loads(item), patterns_of(layers)] for item, layers in sorted(groups.items())]}
        return {key: packed(item, key) for key, item in value.items()}
    if isinstance(value, list) and len(value) >= _SHORTEST_PACKED:
        cycle = _cycle(value)
        if cycle:
            return {"$cycle": cycle, "$length": len(value)}
        if all(isinstance(item, str) for item in value) and len(set(value)) == len(value):
            return {"$names": patterns_of(value)}
    return value


def _cycle(values: list[Any]) -> list[Any] | None:
    """The shortest beginning that repeats to the end, if it is at most half of the list."""
    for length in range(1, len(values) // 2 + 1):
        if all(values[i] == values[i - length] for i in range(length, len(values))):
            return values[:length]
    return None
