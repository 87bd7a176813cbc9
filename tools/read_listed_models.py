"""Writes ``tools/catalogue_builder/listed.tsv`` from a list of the hub's models.

    python tools/read_listed_models.py HF_MODELS.json --source TEXT [--also FILE] [--least 100]

``HF_MODELS.json`` is what llmfit (github.com/AlexsJones/llmfit, MIT) collects from the hub's API and ships inside its program.
Kept are ids of ordinary checkpoints with at least ``--least`` downloads a month, and those that ``--also`` names, one a line.
Names that say a quantization, a format of another engine or an adapter are left out: what their totals count is not parameters,
and ``catalogue/named.py`` derives them from their base.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_ROOT / "lint")]

from servelint.catalogue.listed import COLUMNS  # noqa: E402 - found through the path above

_OTHER = re.compile(
    r"gguf|mlx|onnx|exl[23]|litert|openvino|[-_.]ov$|awq|gptq|fp8|fp4|int[248]|w4a|w8a|[48]-?bit|[2-8]bpw|\bq[2-8]|bnb|nf4"
    r"|quant|auto-?round|hqq|aqlm|eagle|dflash|dspark|draft|speculator|[-_.]mtp|lora|adapter|tiny-?random|random|internal-testing"
    r"|hf-internal|-test|mxfp|ternary|bitnet|1\.58|pruned|compressed|ptq|qat|ptpc|jang|[-_]tq\d|[-_]oq\d",
    re.IGNORECASE,
)
_THEIRS = {"intermediate_size": "moe_intermediate_size", "num_experts_per_tok": "active_experts"}
_TEMPLATE_CONTEXT = 4096  # what the collector writes where it found none


def line(row: dict[str, Any]) -> str:
    cells = [row["name"], row["architecture"], str(row["parameters_raw"])]
    cells += [str(row.get(_THEIRS.get(name, name)) or "") for name in COLUMNS]
    context = row.get("context_length") or 0
    return "\t".join([*cells, str(context) if context != _TEMPLATE_CONTEXT and context else ""])


def main() -> int:
    parser = argparse.ArgumentParser(description="Write listed.tsv from a list of the hub's models.")
    parser.add_argument("models", type=Path)
    parser.add_argument("--source", required=True)
    parser.add_argument("--also", type=Path)
    parser.add_argument("--least", type=int, default=100)
    options = parser.parse_args()
    also = {name.lower() for name in options.also.read_text().split()} if options.also else set()
    kept: dict[str, str] = {}
    for row in json.loads(options.models.read_text()):
        name = row["name"]
        wanted = (row.get("hf_downloads") or 0) >= options.least or name.lower() in also
        ordinary = name.isascii() and name.count("/") == 1 and "\t" not in name and not _OTHER.search(name)
        if wanted and ordinary and row["parameters_raw"] > 1_000_000:
            kept.setdefault(name.lower(), line(row))
    target = _ROOT / "tools/catalogue_builder/listed.tsv"
    target.write_text("".join([f"{options.source}\n", *(f"{kept[key]}\n" for key in sorted(kept))]))
    print(f"{len(kept)} ids, {target.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
