"""Generates the shipped catalogue, ``lint/servelint/catalogue/data``, from a directory of collected facts.

    python tools/build_catalogue.py [--facts ../shared/facts] [--check]

Same facts, same bytes. ``--check`` writes nothing and fails if the committed files differ. Prints what was shipped and
withheld.

What is shipped as a fact, and what is not
------------------------------------------
Nothing absent is ever filled in: a field that no source gives is not in the record. (Class defaults, which say what the
transformers class puts in place of an absent field, stand apart, and only in records made from a whole ``config.json``.)

*Recalled.* What the facts mark as recalled (known to their compiler, read in no source) is left out: of accelerators the field
becomes null with a note, labels are left out (names are understood word by word, see ``accelerator_names``); of instance types
the field becomes null; of models the architecture of an id whose likeness to another is only recalled.

*Model sizes.* A model's architecture and size are facts if the number of parameters that follows from the fields agrees with
the published total within 1 %. By class:

- ``confirmed``: the hub's safetensors total is within 1 % of the count, and is the size. Where it is the count plus an MTP
  layer or plus a stored copy of the tied head, or counts the scales of a quantization too, the count itself is the size (that
  is what is served), and the record says so. Or the weight files hold two bytes for each counted parameter, within 1 %.
- ``settled``: it is further off, and the facts explain which figure is right (``sizes._SETTLED``, one reason each): towers that
  the formula lacks but the class counts, classes without LM head, buffers or packed words in the total, totals that their
  collector estimated.
- quantized checkpoints: a total that counts packed words and scales (noted so by the facts, or below 1.9 bytes of file per
  element, or equal to such a total of the model it derives from) is no parameter count; it confirms where it agrees, and is not
  compared else.
- ``rounded figure agrees``: only a rounded figure is published ("32B"): it must be within 5 %, which is what two digits, often
  cut instead of rounded, can tell.
- ``published only``: there is no architecture to count; the exact total, or else the rounded figure (flagged), is the size.
- ``nothing published to compare``: the count follows from sourced fields and contradicts nothing; the record says that.
- ``no count``: the fields do not suffice to count, and nothing is published, or what is published cannot be right.
- ``disagrees``: unexplained, or the id names another size: only the id is shipped, with the reason.

*Fields of models.* ``tie_word_embeddings`` where sources disagree, the bits of an inferred quantization that the id
contradicts, a context length that is litgpt's training length, and weight files known to hold two copies are withheld with the
reason. Whether a checkpoint is quantized is ``unknown`` where only some fields were read and neither an exact total nor the
file size proves 16 bits. ``quantization_config`` that was inferred from a name or a sibling is flagged so.

*Listed ids.* ``listed.records`` holds thousands of ids of which a public list says shape and total, where a count of the tensors
or an entry's figures confirm both (``catalogue_builder/listed.py``). It is read only for ids outside ``models.records``. The same
list completes entries of which only the tied head or the total was not known.

*Additions* (``catalogue_builder/additions.jsonl``; ``accelerators.jsonl`` and ``instances.jsonl`` beside it) fill what the facts
lack, each with its source. Where one's tensors do not add
up to its total (``catalogue_builder/checked.py``) nothing is written. *Derived ids* hold the fields
that the facts copied to them. Where two ids differ in case only (the hub takes them for one) the more complete entry is
shipped.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml

_ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_ROOT / "lint"), str(_ROOT / "tools")]

from catalogue_builder import additions, checked, hardware, listed, models  # noqa: E402 - found through the path above

DATA = _ROOT / "lint/servelint/catalogue/data"
FACTS = _ROOT.parent / "shared/facts"


def build(facts: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files by name, and the report."""
    report: dict[str, Any] = {}

    def read(name: str) -> Any:
        return yaml.safe_load((facts / name).read_text())

    rows = additions.merged([json.loads(line) for line in (facts / "models.jsonl").read_text().splitlines()])
    built = models.build(rows, facts, report)
    records = {key: item.record for key, item in built.items()}
    listed.completed(records, report)
    listed.with_layers(records, report)
    report["additions off their total"] = checked.faults(records, additions.ids())
    known = models.lines(built)
    report["models"]["aliases"] = len(known) - len(built)
    files = {
        "accelerators.json": hardware.accelerators(read("accelerators.yaml"), report),
        "instances.records": hardware.instances(read("instances.yaml"), report),
        "models.records": models.written(known),
        "listed.records": listed.build(records, set(known), report),
    }
    return files, report


def main() -> int:
    parser = argparse.ArgumentParser(description="Generate the shipped catalogue from collected facts.")
    parser.add_argument("--facts", type=Path, default=FACTS)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if the committed files differ")
    options = parser.parse_args()
    if not options.facts.is_dir():
        print(f"no facts at {options.facts}: nothing to do")
        return 1
    files, report = build(options.facts)
    stale = [name for name, data in files.items() if not (DATA / name).exists() or (DATA / name).read_bytes() != data]
    wrong = report["additions off their total"]
    if not options.check and not wrong:
        for name in stale:
            (DATA / name).write_bytes(files[name])
    print(json.dumps(report, indent=1))
    for name, data in files.items():
        print(f"{name}: {len(data)} bytes{' (changed)' if name in stale else ''}")
    return 1 if wrong or (options.check and stale) else 0


if __name__ == "__main__":
    sys.exit(main())
