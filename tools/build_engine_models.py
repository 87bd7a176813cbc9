"""Builds ``lint/servelint/engines/data/*.models.tsv`` and ``vllm.quantization.tsv``.

    python tools/build_engine_models.py [--check] [--sources FOLDER] [FACTS]

FACTS is ``engine_architectures.jsonl``: which model classes the registries of the engines' releases know. FOLDER holds unpacked
releases (``vllm-0.19.1/vllm/…``, ``sglang-0.5.9/sglang/…``, from the project's own archives on the package index); from them
come which classes take a pipeline and which GPUs a quantization method needs. Without FOLDER those columns stay as they are.
``--check`` writes nothing and fails if a file would change. The format is described in ``servelint.engines.model_registry``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools import read_engine_models as sources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "lint" / "servelint" / "engines" / "data"
FACTS = ROOT.parent / "shared" / "facts" / "engine_architectures.jsonl"
PIPELINES: dict[str, Callable[[Path], dict[str, bool]]] = {
    "vllm": sources.vllm_pipelines,
    "sglang": sources.sglang_pipelines,
}


def plain(version: str) -> str:
    """``0.6.6.post1`` → ``0.6.6``, as versions are compared."""
    return ".".join(version.split(".")[:3])


def history(values: Mapping[str, str]) -> str:
    """``0.6.6:+ 0.11.0:-``: the value from that release on; ``?`` where it could not be read."""
    found: list[str] = []
    last = ""
    for release, value in values.items():
        if value != last:
            found.append(f"{release}:{value}")
            last = value
    return " ".join(found)


def releases(folder: Path | None, engine: str) -> list[Path]:
    found = sorted(folder.glob(f"{engine}-*"), key=lambda path: sources.release_key(path.name)) if folder else []
    return [path for path in found if (path / engine).is_dir()]


def kept(engine: str) -> tuple[str, dict[str, str]]:
    """The releases of which pipelines were read, and the column, from the file that is there."""
    path = DATA / f"{engine}.models.tsv"
    if not path.is_file():
        return "", {}
    lines = path.read_text("utf-8").splitlines()
    rows = (line.split("\t") for line in lines[4:])
    return lines[3].partition("\t")[2], {row[0]: row[2] for row in rows if len(row) > 2}


def models(facts: list[dict[str, object]], engine: str, folder: Path | None) -> str:
    rows = [row for row in facts if row["engine"] == engine]
    scanned = next(list(map(plain, row["scanned"])) for row in rows if "scanned" in row)  # type: ignore[call-overload]
    presence = {
        str(row["architecture"]): " ".join(
            f"{plain(part['from']) if plain(part['from']) != scanned[0] else ''}..{plain(part.get('gone_by', ''))}"
            for part in row["present"]  # type: ignore[attr-defined]
        )
        for row in rows
        if "present" in row
    }
    paths = releases(folder, engine)
    if paths:
        read = {plain(path.name.partition("-")[2]): PIPELINES[engine](path) for path in paths}
        read = {release: found for release, found in read.items() if found}
        pipelined = " ".join(read)
        column = {
            name: history({release: "?" if name not in found else "+" if found[name] else "-" for release, found in read.items()})
            for name in presence
        }
        column = {name: text for name, text in column.items() if "+" in text or "-" in text}
    else:
        pipelined, column = kept(engine)
    lines = [
        "# Made by tools/build_engine_models.py; see servelint.engines.model_registry.",
        f"engine\t{engine}",
        f"scanned\t{' '.join(scanned)}",
        f"pipelines\t{pipelined}",
        *(f"{name}\t{presence[name]}\t{column.get(name, '')}".rstrip("\t") for name in sorted(presence)),
    ]
    return "\n".join(lines) + "\n"


def quantization(folder: Path) -> str:
    read = {plain(path.name.partition("-")[2]): sources.vllm_capabilities(path) for path in releases(folder, "vllm")}
    read = {release: found for release, found in read.items() if found}
    names = sorted({name for found in read.values() for name in found})
    lines = [
        "# Made by tools/build_engine_models.py: method, least compute capability (89: 8.9) from each release on; ? is unknown.",
        "engine\tvllm",
        f"scanned\t{' '.join(read)}",
        "",
        *(f"{n}\t{history({release: str(found.get(n, '?')) for release, found in read.items()})}" for n in names),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--sources", type=Path)
    parser.add_argument("facts", nargs="?", type=Path, default=FACTS)
    options = parser.parse_args()
    facts = [json.loads(line) for line in options.facts.read_text("utf-8").splitlines() if line.strip()]
    made = {f"{engine}.models.tsv": models(facts, engine, options.sources) for engine in PIPELINES}
    if options.sources is not None:
        made["vllm.quantization.tsv"] = quantization(options.sources)
    stale = [name for name, text in made.items() if not (DATA / name).is_file() or (DATA / name).read_text("utf-8") != text]
    for name in () if options.check else stale:
        (DATA / name).write_text(made[name], "utf-8", newline="\n")
    print("stale: " + ", ".join(stale) if options.check and stale else f"wrote {', '.join(stale) or 'nothing'}")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
