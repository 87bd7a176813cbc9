#!/usr/bin/env python3
"""Builds ``lint/servelint/engines/data/*.tsv`` from the scan of the engines' releases.

    python tools/build_flags.py [--check] [FACTS]

FACTS is ``engine_flags.jsonl``: one JSON object a flag or environment variable, with its type, default and choices and
their histories, and the releases in which it was seen. The default is ``../shared/facts/engine_flags.jsonl``. ``--check``
writes nothing and fails if a file would change. The format of the tables is described in ``servelint.engines.flags``.

The scan reads the definitions of the configuration classes and of the parsers that both launchers share; what it cannot
see is added in :data:`VLLM_CORRECTIONS`, each with the released source it was read in.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "lint" / "servelint" / "engines" / "data"
FACTS = ROOT.parent / "shared" / "facts" / "engine_flags.jsonl"
SPECIAL = "\t\n|"

# How each engine's parser reads an option; see FlagTable.parser.
PARSERS = {"vllm": "flexible", "sglang": "argparse", "dynamo": "argparse", "tgi": "clap", "trtllm": "click"}
ENGINES = {"trtllm-serve": "trtllm"}
WITH_ENVIRONMENT = ("vllm", "sglang")

# Fields that replace what the scan says. `kind` and `arity` are histories: first value, then `|@VERSION:value`.
VLLM_CORRECTIONS: dict[str, dict[str, Any]] = {
    # `vllm serve` defined these outside the shared parser before 0.10.0 (vllm/scripts.py 0.6.0,
    # vllm/entrypoints/cli/serve.py 0.7.3-0.9.2); `python -m vllm.entrypoints.openai.api_server` did not have them then.
    "--config": {"since": "0.6.0", "kind": "text", "arity": "1"},
    "--headless": {"since": "0.9.0"},
    "--data-parallel-start-rank": {"since": "0.9.0"},
    "--api-server-count": {"since": "0.9.2"},
    # vllm/entrypoints/cli/serve.py 0.18.1 and 0.19.1; not in 0.17.1.
    "--grpc": {"since": "0.18.1"},
    # action=StoreBoolean, nargs="?": a value is legal (vllm/engine/arg_utils.py 0.6.0-0.8.0); a plain switch from 0.8.5.
    "--enable-chunked-prefill": {"arity": "0|@0.5.5:?|@0.8.5:0"},
    "--multi-step-stream-outputs": {"arity": "?|@0.8.5:0"},
    "--disable-logprobs-during-spec-decoding": {"kind": "bool", "arity": "?"},
    # type=str, nargs="?", const=True in every release (vllm/engine/arg_utils.py); it has no negative form.
    "--hf-token": {"kind": "text", "arity": "?", "drop_aliases": ["--no-hf-token"]},
    # json.loads with nargs removed; action="append" (vllm/entrypoints/openai/cli_args.py 0.10.2-0.28.0).
    "--allowed-origins": {"kind": "json", "arity": "1"},
    "--allowed-methods": {"kind": "json", "arity": "1"},
    "--allowed-headers": {"kind": "json", "arity": "1"},
    "--middleware": {"kind": "text", "arity": "1"},
    "--api-key": {"kind": "text", "arity": "1|@0.10.0:+"},  # one string before FrontendArgs
    "--collect-detailed-traces": {"arity": "1|@0.9.0:+"},
    "--device-ids": {"kind": "text", "arity": "1"},  # one comma-separated word
    # image=16,video=2 before; with a warning beside JSON from 0.8.5 (nullable_kvs, vllm/engine/arg_utils.py up to 0.9.2).
    "--limit-mm-per-prompt": {"kind": "text|@0.10.0:json"},
    # Literal[…] or a list of choices before; `| str` by 0.33.0. From which release on is not known, so it counts from the
    # first one that was not seen to refuse (vllm/config/cache.py 0.11.0-0.13.0).
    "--kv-cache-dtype": {"open_since": "0.14.1"},
    # human_readable_int: 32k, 32K, 25.6k (vllm/engine/arg_utils.py 0.8.5.post1, 0.9.0, 0.9.2, 0.10.2, 0.28.0, 0.33.0).
    "--max-model-len": {"kind": "int|@0.8.5:size"},
    "--max-num-batched-tokens": {"kind": "int|@0.9.2:size"},
    "--kv-cache-memory-bytes": {"kind": "size"},
    "--max-num-scheduled-tokens": {"kind": "size"},
    "--max-num-queued-tokens": {"kind": "size"},
    "--safetensors-prefetch-block-size": {"kind": "size"},
    "--logging-config": {"kind": "json", "arity": "1"},
    "--pt-load-map-location": {"kind": "text"},  # a string, or JSON where it begins with a brace
}
# Bounds that the scan of type annotations does not see, by engine.
BOUNDS: dict[str, dict[str, dict[str, str]]] = {
    # A pool larger than the device cannot be allocated (python/sglang/srt/model_executor/model_runner.py).
    "sglang": {"--mem-fraction-static": {"gt": "0", "le": "1"}},
    # torch.cuda.set_per_process_memory_fraction takes 0 to 1 (server/text_generation_server/utils/dist.py).
    "tgi": {"--cuda-memory-fraction": {"gt": "0", "le": "1"}},
    # KvCacheConfig.free_gpu_memory_fraction (tensorrt_llm/llmapi/llm_args.py).
    "trtllm": {"--free_gpu_memory_fraction": {"ge": "0", "le": "1"}},
}
# Text to the parser, and read with json.loads afterwards (python/sglang/srt/configs/model_config.py).
SGLANG_JSON = ("--json-model-override-args",)
# Parsed by argparse itself (add_help) or by the main `vllm` parser; in every release.
VLLM_ADDITIONS: list[dict[str, Any]] = [
    {"flag": "--help", "aliases": ["-h"], "type": "bool", "kind": "bool", "arity": "?", "since": "<=0.4.3"},
]


def version_key(text: str) -> tuple[int, ...]:
    numbers = []
    for part in text.split("."):
        digits = "".join(c for c in part if c.isdigit())
        numbers.append(int(digits or 0))
    return tuple(numbers)


def short(version: str) -> str:
    """Versions are compared as three numbers (``0.6.6.post1`` counts as 0.6.6)."""
    return ".".join(version.split(".")[:3])


def literal(text: str | None) -> str:
    """A default as people write it; "?" where the source says an expression rather than a value."""
    if text is None:
        return "?"
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return "?" if any(c in text for c in "()[]") or "." in text or text.isupper() else text
    if isinstance(value, str):
        shown = value
    elif isinstance(value, list | tuple | set | dict):
        shown = json.dumps(sorted(value) if isinstance(value, set) else value)
    else:
        shown = str(value)
    return "?" if any(c in shown for c in SPECIAL) else shown


def history(row: dict[str, Any], field: str, show: Any) -> str:
    """``first|@0.20.2:second``, equal neighbours merged."""
    epochs = row.get(f"{field}_history")
    if not epochs:
        return str(show(row.get(field))) if field in row or field == "default" else ""
    parts: list[str] = []
    last = None
    for position, epoch in enumerate(epochs):
        shown = show(epoch.get(field))
        if shown == last:
            continue
        parts.append(shown if position == 0 else f"@{short(epoch['from'])}:{shown}")
        last = shown
    return "|".join(parts)


def choices(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, str) or any(v is None or "," in str(v) or str(v).startswith("*") for v in value):
        return "?"  # an expression, or a list with parts (None) that the scan could not follow
    return ",".join(str(v) for v in value)


def kind_and_arity(row: dict[str, Any]) -> tuple[str, str]:
    """What a value is, and how many values follow: 0, 1, ? (optional), + (one or more)."""
    type_ = str(row.get("type") or "")
    action = str(row.get("action") or "").strip("'")
    hints = {part.strip() for part in type_.replace("Optional[", "").rstrip("]").split("|")} - {"None"}
    nargs = str(row.get("nargs") or "").strip("'")
    if action in {"store_true", "store_false", "argparse.BooleanOptionalAction", "version"} or action.startswith(
        "DeprecatedStore"
    ):
        return "bool", "0"
    if row["engine"] == "tgi" and type_ == "Option<bool>":
        return "bool", "1"
    if type_ == "bool" or hints == {"bool"}:
        return "bool", "?" if nargs == "?" else "0"
    lowered = type_.lower()
    if lowered.startswith(("list[", "set[", "optional[list", "optional[tuple", "optional[union[set", "str | list[")):
        element = "int" if "[int" in lowered else "float" if "float" in lowered else "text"
        return element, "+"
    if any(h in {"int", "usize", "u16", "u32", "u64"} for h in hints) or lowered.removeprefix("option<").startswith(
        ("usize", "u32", "u16")
    ):
        return "int", nargs or "1"
    if hints & {"float", "f32"} or "f32" in lowered or lowered in {"non_negative_float", "nullable_float"}:
        return "float", nargs or "1"
    if lowered.startswith(("dict", "optional[dict")) or any(
        h.endswith(("Config", "Overrides", "Options")) or h.startswith("dict") or "ConfigArgs" in h for h in hints
    ):
        return "json", "1"
    return "text", nargs or "1"


def spelling(text: str, *, negative: bool, since: str | None, until: str | None) -> str:
    interval = f"@{short(since) if since else ''}..{short(until) if until else ''}" if since or until else ""
    return ("!" if negative else "") + text + interval


def line(row: dict[str, Any], inverses: dict[str, str]) -> str:
    """One table line of a flag. ``inverses``: spelling → release since which it is (also) another flag's inverse."""
    name = row["flag"]
    notes = row.get("alias_notes", {})
    spans = row.get("alias_versions", {})
    spellings = [name]
    for alias in row.get("aliases", ()):
        if alias in row.get("drop_aliases", ()) or (alias in inverses and alias in notes):
            continue  # the second: a flag of its own, whose line says when it is accepted
        span = spans.get(alias, {})
        since = span.get("since")
        if alias in notes:
            since = notes[alias].split("accepted since ")[1].split()[0]
        negative = alias.startswith("--no-") or alias in notes
        spellings.append(spelling(alias, negative=negative, since=since, until=span.get("removed_in")))
    since = row.get("since", "")
    start = "" if since.startswith("<=") else short(since)
    intervals = [f"{start}..{short(row['removed_in']) if row.get('removed_in') else ''}"]
    for gap in row.get("absent_in", ()):
        first, _, last = intervals[-1].partition("..")
        intervals[-1:] = [f"{first}..{short(gap)}", f"{row['after'][gap]}..{last}"]
    if name in inverses:
        intervals.append(f"{inverses[name]}..")
    kind, arity = kind_and_arity(row)
    hints = {hint.strip() for hint in str(row.get("type", "")).split("|")} - {"None"}
    enforced = "open" if "str" in hints and len(hints) > 1 else ""
    constraints = " ".join(f"{k}={v}" for k, v in row.get("constraints", {}).items())
    fields = [
        ",".join(spellings),
        row.get("kind_override", kind),
        row.get("arity", arity),
        " ".join(i for i in intervals if i),
        history(row, "default", literal),
        history(row, "choices", choices),
        row.get("open_since", enforced) if history(row, "choices", choices) not in {"", "-"} else "",
        short(row["deprecated_since"]) if row.get("deprecated_since") else "",
        constraints,
    ]
    return "\t".join(fields).rstrip("\t")


def prepared(rows: list[dict[str, Any]], engine: str, scanned: list[str]) -> list[dict[str, Any]]:
    """The engine's rows with corrections applied and what :func:`line` looks up."""
    if engine == "vllm":
        rows = [dict(r) for r in rows] + [{"engine": "vllm", **r} for r in VLLM_ADDITIONS]
        for row in rows:
            correction = VLLM_CORRECTIONS.get(row["flag"], {})
            row.update({k: v for k, v in correction.items() if k not in {"kind", "since"}})
            row["since"] = correction.get("since", row.get("since", ""))
            if "kind" in correction:
                row["kind_override"] = correction["kind"]
    names = {r["flag"] for r in rows}
    ordered = sorted(scanned, key=version_key)
    after = {short(v): short(w) for v, w in pairwise(ordered)}
    for row in rows:
        if engine == "sglang" and row["flag"] in SGLANG_JSON:
            row["kind_override"] = "json"
        if row["flag"] in BOUNDS.get(engine, {}):
            row["constraints"] = BOUNDS[engine][row["flag"]]
        row["names"] = names
        row["after"] = {gap: after.get(short(gap), "") for gap in row.get("absent_in", ())}
    return rows


def table(rows: list[dict[str, Any]], engine: str, scanned: list[str], what: str) -> str:
    rows = prepared(rows, engine, scanned)
    inverses = {
        alias: note.split("accepted since ")[1].split()[0]
        for row in rows
        for alias, note in row.get("alias_notes", {}).items()
        if alias in row["names"]
    }
    header = [
        f"# {what} of {engine} by release; generated by tools/build_flags.py, format in servelint/engines/flags.py",
        f"engine\t{engine}",
        f"parser\t{PARSERS[engine] if what == 'flags' else 'environment'}",
        "scanned\t" + " ".join(short(v) for v in sorted(scanned, key=version_key)),
    ]
    return "\n".join(header + sorted(line(row, inverses) for row in rows)) + "\n"


def scanned_releases(rows: list[dict[str, Any]]) -> list[str]:
    """Every release named in any row. A row's span names only the first, the last and how many."""
    found: set[str] = set()
    for row in rows:
        for field in ("since", "last_seen", "removed_in", "deprecated_since"):
            if row.get(field):
                found.add(row[field].removeprefix("<="))
        for field in ("default_history", "choices_history"):
            found.update(epoch["from"] for epoch in row.get(field, ()))
        found.update(row.get("absent_in", ()))
        found.update(v for span in row.get("alias_versions", {}).values() for v in span.values())
    return [v for v in found if v[0].isdigit()]


def build(facts: Path) -> dict[str, str]:
    """File name → content."""
    rows = [json.loads(text) for text in facts.read_text(encoding="utf-8").splitlines()]
    files = {}
    for source in sorted({row["engine"] for row in rows}):
        engine = ENGINES.get(source, source)
        mine = [row for row in rows if row["engine"] == source]
        scanned = scanned_releases(mine)
        flags = [row for row in mine if row["kind"] == "flag"]
        files[f"{engine}.flags.tsv"] = table(flags, engine, scanned, "flags")
        if engine in WITH_ENVIRONMENT:
            variables = [row for row in mine if row["kind"] == "env"]
            files[f"{engine}.environment.tsv"] = table(variables, engine, scanned, "environment variables")
    return files


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("facts", nargs="?", type=Path, default=FACTS)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a table would change")
    options = parser.parse_args(arguments)
    if not options.facts.is_file():
        print(f"{options.facts} is not there: give the path of engine_flags.jsonl", file=sys.stderr)
        return 2
    stale = []
    for name, content in build(options.facts).items():
        path = DATA / name
        if path.is_file() and path.read_text(encoding="utf-8") == content:
            continue
        stale.append(name)
        if not options.check:
            path.write_text(content, encoding="utf-8")
    print(f"{'would change' if options.check else 'wrote'}: {', '.join(stale) or 'nothing'}")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
