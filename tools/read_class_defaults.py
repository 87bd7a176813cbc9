"""Writes ``class_defaults.records``: what the transformers configuration classes fill in where ``config.json`` says nothing.

    pip install --no-deps --target TREE transformers==5.24.0
    python tools/read_class_defaults.py TREE/transformers 5.24.0

The classes are read as source (``ast``), not imported, so torch is not needed. Only fields whose default is a plain number or
truth value are taken (what ``__post_init__`` computes from other fields is not a constant), only those of ``FIELDS``, and only
for classes with a ``model_type``. A class that inherits its fields from another is followed.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

FIELDS = (
    "head_dim", "hidden_size", "intermediate_size", "max_position_embeddings", "num_attention_heads", "num_hidden_layers",
    "num_key_value_heads", "tie_word_embeddings", "vocab_size",
)  # fmt: skip
OUTPUT = Path(__file__).parent.parent / "lint/servelint/catalogue/data/class_defaults.records"
# Not language models, so nobody asks for them.
_OTHERS = ("vision", "audio", "image", "encoder", "decoder", "video", "backbone", "qformer", "codec", "vq")


def _constant(node: ast.expr) -> int | bool | None:
    """The value of a whole number, a truth value, or a product or power of whole numbers."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, int) else None
    if isinstance(node, ast.BinOp):
        left, right = _constant(node.left), _constant(node.right)
        if left is not None and right is not None and isinstance(node.op, ast.Mult | ast.Pow):
            return left * right if isinstance(node.op, ast.Mult) else int(left**right)
    return None


def _classes(root: Path) -> dict[str, tuple[list[str], dict[str, Any], str | None]]:
    """Class name → (bases, constants of the wanted fields, model_type)."""
    found: dict[str, tuple[list[str], dict[str, Any], str | None]] = {}
    for path in sorted(root.glob("models/*/configuration_*.py")):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.ClassDef):
                continue
            values: dict[str, Any] = {}
            model_type = None
            for item in node.body:
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.value is not None:
                    if item.target.id in FIELDS:
                        values[item.target.id] = _constant(item.value)
                elif isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
                    name = item.targets[0].id
                    if name == "model_type" and isinstance(item.value, ast.Constant):
                        model_type = str(item.value.value)
                    elif name == "attribute_map" and isinstance(item.value, ast.Dict):
                        for common, own in zip(item.value.keys, item.value.values, strict=True):
                            if isinstance(common, ast.Constant) and common.value in FIELDS and isinstance(own, ast.Constant):
                                values.setdefault(f"={common.value}", own.value)
            for item in node.body:  # the mapped names' own defaults
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.value is not None:
                    for key in [k for k in values if k.startswith("=") and values[k] == item.target.id]:
                        values[key[1:]] = _constant(item.value)
            bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
            found[node.name] = (bases, {key: value for key, value in values.items() if not key.startswith("=")}, model_type)
    return found


def main(root: str, version: str) -> None:
    classes = _classes(Path(root))

    def fields(name: str) -> dict[str, Any]:
        bases, own, _ = classes.get(name, ([], {}, None))
        inherited: dict[str, Any] = {}
        for base in reversed(bases):
            inherited.update(fields(base))
        return {**inherited, **own}

    types: dict[str, dict[str, Any]] = {}
    for name, (_, _, model_type) in sorted(classes.items()):
        if model_type and not any(word in model_type for word in _OTHERS):
            values = {key: value for key, value in sorted(fields(name).items()) if value is not None}
            if len(values) > 1 and ("hidden_size" in values or "tie_word_embeddings" in values):
                types[model_type] = values
    lines = "".join(f"{key.lower()}\t{json.dumps(types[key], separators=(',', ':'))}\n" for key in sorted(types, key=str.lower))
    OUTPUT.write_text(f"transformers {version} configuration class\n{lines}")
    print(f"{OUTPUT.name}: {len(types)} model types, {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
