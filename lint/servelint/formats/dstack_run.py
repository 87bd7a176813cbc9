"""From a dstack service or task to a deployment. Imported when one is recognised."""

from __future__ import annotations

import os.path
import re
from typing import TYPE_CHECKING, Any

from servelint.deployment import Deployment, Environment
from servelint.engines.command import Program
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import containers, installed_version, launches, wanted_accelerators
from servelint.formats.needles import names_an_engine
from servelint.formats.wanted_accelerators import Wanted
from servelint.formats.writers import EntryWriter, ScalarWriter
from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from servelint.deployment import Pool
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_WHAT = "resources.gpu"
_VENDORS = frozenset(("nvidia", "amd", "google", "tpu", "intel", "habana", "tenstorrent", "tt"))
_MEMORY = re.compile(r"\d+(\.\d+)?(mb|gb|tb)", re.IGNORECASE)
_PER_NODE = {
    "DSTACK_NODE_RANK": "dstack sets it, and it differs from node to node",
    "DSTACK_MASTER_NODE_IP": "dstack sets it to the address of the first node",
    "DSTACK_NODES_IPS": "dstack sets it to the addresses of the nodes",
    "DSTACK_RUN_NAME": "dstack sets it to the name of the run",
}


class _Group(NamedTuple):
    """What one kind of replica (or node) runs: its own keys first, then those of the file."""

    name: str
    own: MappingNode
    root: MappingNode
    replicas: Node | None

    def get(self, *path: str) -> Node | None:
        found = self.own.get(*path)
        return found if found is not None else self.root.get(*path)


def deployments(document: Document, root: MappingNode, surroundings: Surroundings) -> list[Deployment]:
    """The deployment of the file, with a pool for each group of replicas that starts an engine."""
    name = root.text_at("name") or os.path.basename(document.source.path).lstrip(".").partition(".")[0]
    pools: list[Pool] = []
    for group in _groups(root, name):
        pools += _pools(document, group, surroundings)
    return [Deployment(name, "dstack", document, tuple(pools))] if pools else []


def _groups(root: MappingNode, name: str) -> list[_Group]:
    for key in ("groups", "replicas"):
        items = [item for item in root.elements_at(key) if isinstance(item, MappingNode)]
        if items:
            return [
                _Group(item.text_at("name") or f"{name}-{index}", item, root, item.get("count") or item.get("replicas"))
                for index, item in enumerate(items)
            ]
    return [_Group(name, root, root, root.get("replicas"))]


def _pools(document: Document, group: _Group, surroundings: Surroundings) -> list[Pool]:
    from servelint.engines import shell

    commands = group.get("commands")
    scripts = [item.resolved for item in commands.items] if isinstance(commands, SequenceNode) else []
    image_node = group.get("image")
    reference = image_node.text if isinstance(image_node, ScalarNode) else ""
    texts = [reference, *(node.text for node in scripts if isinstance(node, ScalarNode))]
    if not names_an_engine("\n".join(texts), surroundings.engines):
        return []
    wanted, number = _wanted(group.get("resources", "gpu"))
    writer = ScalarWriter(document, number) if number is not None else None
    gpus = wanted_accelerators.gpus(document, wanted, _WHAT, writer)
    is_task = group.root.text_at("type") == "task"
    nodes = _nodes(document, group, is_task)
    variables = _variables(document, group, gpus, nodes)
    programs = shell.programs_of_texts(document, scripts, variables)
    if not scripts:  # the image's own entrypoint
        programs = (Program((), False, document, image_node, True),)
    low, high = _replicas(document, group, is_task)
    facts: dict[str, Fact[Any]] = {"replicas_min": low, "replicas_max": high}
    accelerator = wanted_accelerators.accelerator(document, wanted, _WHAT)
    if accelerator is not None:
        facts["accelerator"] = accelerator
    label = launches.label_of(group.own)
    launch = launches.Launch(
        document, group.name, group.own, label, _image(document, image_node), reference, programs, variables, gpus,
        wanted_accelerators.resource(wanted), nodes, facts,
    )  # fmt: skip
    pools = launches.pools(launch, surroundings.engines)
    versions = [installed_version.installed(programs, pool.engine.get("")) for pool in pools]
    return [pool if version is None else pool._replace(version=version) for pool, version in zip(pools, versions, strict=True)]


def _image(document: Document, node: Node | None) -> Fact[str]:
    if not isinstance(node, ScalarNode) or not node.text:
        return Fact.unknown(containers.IMAGE, "dstack runs its own base image")
    origin = Origin(OriginKind.FILE, "image", Place.of(document, node))
    return containers.referred(node.text, origin)


def _nodes(document: Document, group: _Group, is_task: bool) -> Fact[int]:
    stated = launches.whole(document, group.root.get("nodes"), launches.NODES, "nodes", least=1) if is_task else None
    if stated is not None:
        return stated
    if is_task:
        writer = EntryWriter(document, group.root, "nodes")
        return Fact.known(launches.NODES, 1, Origin(OriginKind.DEFAULT, "default of dstack for nodes"), writer)
    return Fact.known(launches.NODES, 1, Origin(OriginKind.DERIVED, "a replica of a service has one node"))


def _replicas(document: Document, group: _Group, is_task: bool) -> tuple[Fact[int], Fact[int]]:
    """(fewest, most): a number or a range ``0..4``; one where nothing is said."""
    low, high = launches.REPLICAS, "replicas.max"
    node = None if is_task else group.replicas
    if not isinstance(node, ScalarNode):
        text = "a task runs once" if is_task else "default of dstack for replicas"
        one = Fact.known(low, 1, Origin(OriginKind.DERIVED if is_task else OriginKind.DEFAULT, text))
        return one, one._replace(name=high)
    if ".." not in node.text:
        fixed = launches.whole(document, node, low, "replicas") or Fact.unknown(low, "not stated")
        return fixed, fixed._replace(name=high)
    origin = Origin(OriginKind.FILE, "replicas", Place.of(document, node))
    least, _, most = node.text.partition("..")
    numbers = [int(part) if part.strip().isdecimal() and len(part) < 10 else None for part in (least or "0", most)]
    facts: list[Fact[int]] = [
        Fact.unknown(name, f"replicas: {node.text!r} has no such end", origin=origin) if value is None
        else Fact.known(name, value, origin)
        for name, value in zip((low, high), numbers, strict=True)
    ]  # fmt: skip
    return facts[0], facts[1]


def _variables(document: Document, group: _Group, gpus: Fact[int], nodes: Fact[int]) -> Environment:
    """dstack's own variables, and those of ``env``: a mapping, or a list of ``NAME=VALUE`` and names passed through."""
    found: dict[str, Fact[str]] = {name: Fact.unknown(f"env.{name}", reason) for name, reason in _PER_NODE.items()}
    found["DSTACK_NODES_NUM"] = nodes.map(str)._replace(name="env.DSTACK_NODES_NUM")
    found["DSTACK_GPUS_PER_NODE"] = gpus.map(str)._replace(name="env.DSTACK_GPUS_PER_NODE")
    total = "env.DSTACK_GPUS_NUM"
    found["DSTACK_GPUS_NUM"] = gpus.map(str)._replace(name=total)
    if gpus.is_known and nodes.is_known:
        found["DSTACK_GPUS_NUM"] = Fact.known(total, str(gpus.value * nodes.value), gpus.origin or _derived("nodes × GPUs"))
    for owner in (group.root, group.own):
        for name, key, value in owner.entries_at("env"):
            text = value.text if isinstance(value, ScalarNode) and not value.is_null else None
            found[name] = _variable(document, name, text, value if text is not None else key)
        for item in owner.elements_at("env"):
            if isinstance(item, ScalarNode):
                name, equals, text = item.text.partition("=")
                found[name] = _variable(document, name, text if equals else None, item)
    return Environment(found)


def _derived(text: str) -> Origin:
    return Origin(OriginKind.DERIVED, text)


def _variable(document: Document, name: str, text: str | None, node: Node) -> Fact[str]:
    label = f"env.{name}"
    origin = Origin(OriginKind.FILE, label, Place.of(document, node))
    if text is None or "${{" in text:
        return Fact.unknown(label, "dstack takes it from the shell or its secrets", f"write {name}=VALUE", origin)
    return Fact.known(label, text, origin)


def _wanted(node: Node | None) -> tuple[list[Wanted], ScalarNode | None]:
    """(the alternatives, the scalar that is the number and nothing else)."""
    if isinstance(node, ScalarNode):
        return _of_text(node), None
    if not isinstance(node, MappingNode):
        return [], None
    names = [item.text for item in node.elements_at("name") if isinstance(item, ScalarNode)]
    single = node.text_at("name")
    names = names or ([part.strip() for part in single.split(",")] if single else [])
    count_node, memory = node.get("count"), node.text_at("memory") or ""
    count, why = _count(count_node.text if isinstance(count_node, ScalarNode) else "")
    plain = count_node if isinstance(count_node, ScalarNode) and count is not None else None
    return [Wanted(_sized(name, memory), count, count_node or node, why) for name in names or [""]], plain


def _of_text(node: ScalarNode) -> list[Wanted]:
    """``H100``, ``H100,H200:8``, ``24GB..:2``, ``nvidia:A100:80GB:4``, ``4``."""
    names, memory, number = [""], "", ""
    for token in node.text.replace(" ", "").split(":"):
        if token.lower() in _VENDORS:
            continue
        if token[:1].isalpha():
            names = token.split(",")
        elif _MEMORY.search(token):
            memory = token
        else:
            number = token
    count, why = _count(number)
    return [Wanted(_sized(name, memory), count, node, why) for name in names]


def _sized(name: str, memory: str) -> str:
    """The name with its memory size, where one size is asked for and the name does not have it."""
    if name and re.fullmatch(r"\d+gb", memory, re.IGNORECASE) and "gb" not in name.lower():
        return f"{name}-{memory.upper()}"
    return name


def _count(text: str) -> tuple[int | None, str]:
    """(the number of GPUs, why there is none)."""
    if text.isdecimal() and len(text) < 10:
        return int(text), ""
    low, dots, high = text.partition("..")
    if dots and low == high and low.isdecimal() and len(low) < 10:
        return int(low), ""
    if not text:
        return None, f"{_WHAT} asks for one GPU or more"
    return None, f"{_WHAT} allows {text} GPUs"
