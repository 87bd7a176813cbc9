"""Whether a plan surely keeps its schema, decided without jsonschema: importing it costs more than all else a plan needs.

Only the keywords that our schema uses are known here. Anything else, and any violation, is left to jsonschema, which says what
is wrong; a test holds the two against each other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_SAYS_NOTHING = frozenset(("$schema", "$id", "$defs", "title", "description", "x-dimension"))


def surely_valid(content: Any, schema: Mapping[str, Any]) -> bool:
    """True only if jsonschema would find nothing in ``content``; False where that is not sure."""
    return _holds(content, schema, schema.get("$defs", {}))


def _holds(value: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    for keyword, wanted in schema.items():
        if keyword in _SAYS_NOTHING:
            continue
        if keyword == "$ref":
            name = wanted.removeprefix("#/$defs/")
            good = name in definitions and _holds(value, definitions[name], definitions)
        elif keyword == "type":
            good = any(_is(value, name) for name in ([wanted] if isinstance(wanted, str) else wanted))
        elif keyword == "properties":
            good = not isinstance(value, dict) or all(
                _holds(value[key], inner, definitions) for key, inner in wanted.items() if key in value
            )
        elif keyword == "additionalProperties" and wanted is False:
            good = not isinstance(value, dict) or all(key in schema.get("properties", {}) for key in value)
        elif keyword == "required":
            good = not isinstance(value, dict) or all(key in value for key in wanted)
        elif keyword == "items":
            good = not isinstance(value, list) or all(_holds(item, wanted, definitions) for item in value)
        elif keyword == "enum":
            good = isinstance(value, str) and value in wanted
        elif keyword == "const":
            good = isinstance(value, str) and value == wanted
        elif keyword == "pattern":
            good = not isinstance(value, str) or re.search(wanted, value) is not None
        elif keyword == "anyOf":
            good = any(_holds(value, inner, definitions) for inner in wanted)
        elif keyword in _LEAST_SIZES:
            good = not isinstance(value, _LEAST_SIZES[keyword]) or len(value) >= wanted
        elif keyword == "minimum":
            good = not number or value >= wanted
        elif keyword == "maximum":
            good = not number or value <= wanted
        elif keyword == "exclusiveMinimum":
            good = not number or value > wanted
        else:
            return False
        if not good:
            return False
    return True


_LEAST_SIZES: dict[str, type[Any]] = {"minLength": str, "minItems": list, "minProperties": dict}


def _is(value: Any, name: str) -> bool:
    if name == "object":
        return isinstance(value, dict)
    if name == "array":
        return isinstance(value, list)
    if name == "string":
        return isinstance(value, str)
    if name == "boolean":
        return isinstance(value, bool)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name == "number":
        return number
    return name == "integer" and number and (isinstance(value, int) or value.is_integer())
