"""The index of a folder of manifests: what it says of each, and whether what was read agrees.

An entry is one JSON object on a line of ``INDEX.jsonl``: ``file`` (relative to the folder), ``format``, and the facts of its main
component, null where the file does not state one.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from servelint.catalogue import accelerators, instances
from servelint.facts import FactState
from servelint.formats import devices

if TYPE_CHECKING:
    from collections.abc import Iterable

    from servelint.deployment import Pool
    from servelint.facts import Fact

FACTS = ("model", "engine", "tp", "pp", "dp", "ep", "gpus", "nodes", "replicas", "gpu_type")
# Names of engines in an index, and what they run. A runner of one engine is that engine.
_ENGINES = {
    "vllm-ascend": ("vllm",), "vllm-gaudi": ("vllm",), "vllm-tpu": ("vllm",), "dynamo-vllm": ("vllm",),
    "dynamo-sglang": ("sglang",), "dynamo-trtllm": ("trtllm",), "dynamo-tensorrtllm": ("trtllm",), "tensorrt-llm": ("trtllm",),
    "kaito-preset": ("vllm", "transformers"), "kserve-hf": ("vllm", "transformers"), "ray-serve-llm": ("vllm",),
    "ray-serve-custom": ("vllm", ""), "text-generation-inference": ("tgi",), "llama.cpp": ("llamacpp",),
}  # fmt: skip
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WORD = re.compile(r"[A-Za-z0-9][\w.+-]*")


class Entry(NamedTuple):
    """``said``: the facts that the index states, by name; without those that state nothing."""

    file: str
    format: str
    said: dict[str, Any]


class Mark(NamedTuple):
    """One fact of one entry. ``verdict``: ``agrees``, ``other`` (with another pool than the rest), ``differs``, ``reviewed``
    (differs, and the index was found wrong), ``open`` (the index's text settles nothing that could be compared), ``extra``
    (only ours says something)."""

    entry: Entry
    fact: str
    verdict: str
    said: str
    ours: str
    origin: str
    reason: str = ""


def read(text: str) -> list[Entry]:
    """The entries of an ``INDEX.jsonl``; raises ``ValueError`` with the line."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            said = {fact: row[fact] for fact in FACTS if row.get(fact) is not None}
            found.append(Entry(row["file"], row.get("format") or "", said))
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"line {number} is no entry of an index: {error}") from None
    return found


def compare(entry: Entry, pools: Iterable[Pool]) -> list[Mark]:
    """Every fact of ``entry`` against the pool that agrees with it in most. One that differs there may be another pool's: the
    index joins what an engine's configuration says of one role with the pods of another."""
    candidates = [[_mark(entry, fact, pool) for fact in FACTS] for pool in pools] or [
        [_mark(entry, fact, None) for fact in FACTS]
    ]
    best = min(candidates, key=lambda marks: sum(mark.verdict == "differs" for mark in marks))
    found = []
    for number, mark in enumerate(best):
        others = [marks[number] for marks in candidates if marks[number].verdict == "agrees"] if mark.verdict == "differs" else []
        found.append(others[0]._replace(verdict="other") if others else mark)
    return found


def _mark(entry: Entry, fact: str, pool: Pool | None) -> Mark:
    said = entry.said.get(fact)
    values, origin = _ours(fact, pool) if pool is not None else ((), "the file is read as no deployment")
    ours = " or ".join(str(getattr(value, "name", value)) for value in values)
    verdict = ("extra" if values else "") if said is None else _verdict(fact, said, values, pool)
    if verdict == "differs" and pool is not None and _same_hosts(entry, fact, said, pool):
        verdict = "agrees"
    if verdict == "differs" and fact == "model" and origin.endswith(f"is downloaded to {said}"):
        verdict = "open"
    return Mark(entry, fact, verdict, "" if said is None else _text(said), ours, origin)


def _same_hosts(entry: Entry, fact: str, said: Any, pool: Pool) -> bool:
    """The index counts the same hosts otherwise: all workers of a role, all pods of a set, the GPUs of a host that is shared."""
    nodes, replicas, gpus = pool.nodes.get(0), pool.replicas_min.get(0), pool.gpus_per_node.get(0)
    if fact == "gpus" and said == 0:
        return not pool.gpu_resource and not gpus
    if entry.format.startswith("srt-slurm"):
        each = entry.said.get("gpus")
        if fact == "nodes":
            whole = bool(gpus) and isinstance(each, int) and said * each == nodes * replicas * gpus
            return bool(nodes) and (said == nodes * replicas or whole)
        return fact == "gpus" and bool(gpus) and said % gpus == 0
    if fact == "replicas" and entry.format.endswith("statefulset"):
        return nodes > 1 and said == nodes * replicas
    return False


def _ours(fact: str, pool: Pool) -> tuple[tuple[Any, ...], str]:
    """(values, where from or why unknown)."""
    if fact == "replicas":
        facts: list[Fact[Any]] = [pool.replicas_min, pool.replicas_max]
    elif fact == "dp":
        facts = [pool.data, pool.attention_data]
    elif fact == "gpus":
        return _asked(pool)
    else:
        field = {"tp": "tensor", "pp": "pipeline", "ep": "expert", "gpu_type": "accelerator"}.get(fact, fact)
        facts = [getattr(pool, field)]
    known = [each for each in facts if each.state in {FactState.KNOWN, FactState.ALTERNATIVES}]
    if not known:
        return (), facts[0].reason or facts[0].state.value
    stated = [each for each in known if each.is_stated] if fact == "dp" else []
    values = [value for each in stated or known for value in each.values]
    return tuple(values), _origin((stated or known)[0])


def _origin(fact: Fact[Any]) -> str:
    if fact.origin is None:
        return ""
    place = fact.origin.place
    if place is None:
        return fact.origin.text
    return f"line {place.document.source.position(place.span[0]).line}: {fact.origin.text}"


def _asked(pool: Pool) -> tuple[tuple[Any, ...], str]:
    """The number a pod asks for under its resource, also where that counts chips, slices or units of a profile and not the
    engine's devices."""
    fact = pool.gpus_per_node
    if fact.values:
        return fact.values, _origin(fact)
    for container in pool.containers:
        written = devices.devices(container.node).written
        number = devices.whole(written) if written is not None else None
        if number is not None and devices.unevenness(pool.gpu_resource):
            return (number,), f"{pool.gpu_resource}, which counts no devices"
        name, _, units = (container.node.text_at("resourceProfile") or "").partition(":")
        if units.isdecimal():
            return (int(units),), f"units of the resource profile {name}"
    return (), fact.reason or fact.state.value


def _verdict(fact: str, said: Any, values: tuple[Any, ...], pool: Pool | None) -> str:
    if fact == "model":
        return _model(str(said), values)
    if fact == "gpu_type":
        return _gpu_type(said if isinstance(said, list) else [said], values)
    if fact == "engine":
        name = str(said).partition(" (")[0].lower()
        wanted = _ENGINES.get(name, (name,))
        return "agrees" if any(value in wanted for value in values) or (not values and "" in wanted) else "differs"
    if fact == "ep" and not isinstance(said, int):
        if not values and pool is not None and pool.expert.place is not None:
            return "agrees"  # it is read as switched on; how large its group is depends on degrees that are not stated
        group = {value for name in ("tensor", "data") if pool is not None for value in getattr(pool, name).values}
        return "agrees" if any(value > 1 for value in values) or (values and group <= {1}) else "differs"
    return "agrees" if said in values else "differs"


def _model(said: str, values: tuple[Any, ...]) -> str:
    """A text that is no hub id leaves the model unknown, or whoever knows more found an id that the text may stand for."""
    name = said.strip()
    for scheme in ("hf://", "huggingface://", "hub://"):
        name = name.removeprefix(scheme)
    ours = str(values[0]) if values else ""
    if ours and ours.lower() == name.lower():
        return "agrees"
    if _HUB_ID.fullmatch(name) is not None and not said.startswith((".", "/")):
        return "differs"
    if not ours:
        return "agrees" if _is_address(name) else "differs"
    stands_for = _plain(ours.rpartition("/")[2]) in _plain(name) or ("/" not in name and _plain(name) in _plain(ours))
    return "open" if "$" in name or "{{" in name or stands_for else "differs"


def _plain(text: str) -> str:
    """Letters and digits alone: ``qwen2-0--5b`` is ``Qwen2-0.5B``."""
    return "".join(filter(str.isalnum, text.lower()))


def _is_address(text: str) -> bool:
    return "$" in text or "{{" in text or "<" in text or "://" in text or text.startswith(("/", ".", "~")) or text.count("/") != 1


def _gpu_type(said: list[Any], values: tuple[Any, ...]) -> str:
    """``label=value``, ``label In ['a', 'b']``, ``key={'A:8': None, …}`` or a name, against the catalogue's accelerators."""
    possible = {part.name for text in said for part in _accelerators(str(text))}
    if not possible:
        return "open"
    return "agrees" if values and all(value.name in possible for value in values) else "differs"


def _accelerators(text: str) -> list[Any]:
    found: list[Any] = []
    for part in re.split(r"[=,\[\]{}'\":]| In ", text.partition("=")[2] or text.partition(" In ")[2] or text):
        word = part.strip()
        if _WORD.fullmatch(word.replace(" ", "")) is None:
            continue
        machine = instances.find(word) or instances.find(word.removeprefix("ml."))
        found += accelerators.find_all(machine.accelerator if machine is not None and machine.accelerator else word)
    return found


def _text(said: Any) -> str:
    return ", ".join(map(str, said)) if isinstance(said, list) else str(said)
