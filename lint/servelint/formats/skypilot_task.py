"""From a SkyPilot task to a deployment. Imported when a task is recognised."""

from __future__ import annotations

import math
import os.path
from typing import TYPE_CHECKING, Any

from servelint.deployment import Deployment, Environment
from servelint.facts import Fact, FactState, Origin, OriginKind, Place
from servelint.formats import containers, installed_version, launches, wanted_accelerators
from servelint.formats.needles import names_an_engine
from servelint.formats.wanted_accelerators import Wanted
from servelint.formats.writers import EntryWriter
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from servelint.deployment import Pool
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_WHAT = "resources.accelerators"
# Names by which SkyPilot means one of several memory sizes (sky/catalog: the larger ones have names of their own).
_SIZES = {"A100": "A100-40GB", "V100": "V100-16GB"}
_PER_NODE = {
    "SKYPILOT_NODE_RANK": "SkyPilot sets it, and it differs from node to node",
    "SKYPILOT_NODE_IPS": "SkyPilot sets it to the addresses of the nodes",
    "SKYPILOT_TASK_ID": "SkyPilot sets it for each run",
    "SKYPILOT_SERVE_REPLICA_ID": "SkyPilot sets it for each replica",
}


def deployments(document: Document, root: MappingNode, run: ScalarNode, surroundings: Surroundings) -> list[Deployment]:
    """The task's deployment, where its ``run`` script starts an engine."""
    from servelint.engines import shell

    if not names_an_engine(f"{run.text}\n{root.text_at('resources', 'image_id') or ''}", surroundings.engines):
        return []
    wanted = _wanted(root.get("resources"))
    gpus = wanted_accelerators.gpus(document, wanted, _WHAT)
    nodes = launches.whole(document, root.get("num_nodes"), launches.NODES, "num_nodes", least=1)
    if nodes is None:
        origin = Origin(OriginKind.DEFAULT, "default of SkyPilot for num_nodes")
        nodes = Fact.known(launches.NODES, 1, origin, EntryWriter(document, root, "num_nodes"))
    variables = _variables(document, root, gpus, nodes)
    programs = shell.programs_of_text(document, run, variables)
    image, reference = _image(document, root.get("resources"))
    accelerator = wanted_accelerators.accelerator(document, wanted, _WHAT)
    low, high = _replicas(document, root)
    facts: dict[str, Fact[Any]] = {"replicas_min": low, "replicas_max": high}
    if accelerator is not None:
        facts["accelerator"] = accelerator
    name = root.text_at("name") or os.path.basename(document.source.path).partition(".")[0]
    launch = launches.Launch(
        document, name, root, launches.label_of(root), image, reference, programs, variables, gpus,
        wanted_accelerators.resource(wanted), nodes, facts,
    )  # fmt: skip
    pools = launches.pools(launch, surroundings.engines)
    setup = root.get("setup")
    if pools and isinstance(setup, ScalarNode):
        scripts = (*shell.programs_of_text(document, setup, variables), *programs)
        pools = [_installed(pool, scripts) for pool in pools]
    return [Deployment(name, "skypilot", document, tuple(pools))] if pools else []


def _installed(pool: Pool, programs: Any) -> Pool:
    version = installed_version.installed(programs, pool.engine.get(""))
    return pool if version is None else pool._replace(version=version)


def _variables(document: Document, root: MappingNode, gpus: Fact[int], nodes: Fact[int]) -> Environment:
    """The environment of ``run``: SkyPilot's own variables, and those that the task lists."""
    found: dict[str, Fact[str]] = {name: Fact.unknown(f"env.{name}", reason) for name, reason in _PER_NODE.items()}
    found["SKYPILOT_NUM_NODES"] = nodes.map(str)._replace(name="env.SKYPILOT_NUM_NODES")
    label = "env.SKYPILOT_NUM_GPUS_PER_NODE"
    if gpus.state is FactState.ALTERNATIVES:
        counts = ", ".join(map(str, sorted(gpus.values)))
        reason = f"{_WHAT} allow nodes with different numbers of GPUs: {counts}"
        found["SKYPILOT_NUM_GPUS_PER_NODE"] = Fact.unknown(label, reason, "list alternatives of one size", gpus.origin)
    else:
        found["SKYPILOT_NUM_GPUS_PER_NODE"] = gpus.map(str)._replace(name=label)
    for key in ("envs", "secrets"):
        for name, key_node, value in root.entries_at(key):
            label = f"env.{name}"
            if isinstance(value, ScalarNode) and not value.is_null:
                found[name] = Fact.known(label, value.text, Origin(OriginKind.FILE, label, Place.of(document, value)))
            else:
                origin = Origin(OriginKind.FILE, label, Place.of(document, key_node))
                found[name] = Fact.unknown(
                    label, "it is given when the task is launched", f"write a default: {name}: VALUE", origin
                )
    return Environment(found)


def _image(document: Document, resources: Node | None) -> tuple[Fact[str], str]:
    node = resources.get("image_id") if resources is not None else None
    if not isinstance(node, ScalarNode) or not node.text.startswith("docker:"):
        return Fact.unknown(containers.IMAGE, "the task runs in no container image of its own"), ""
    text = node.text.removeprefix("docker:")
    origin = Origin(OriginKind.FILE, "image_id", Place.of(document, node))
    return containers.referred(text, origin), text


def _wanted(resources: Node | None) -> list[Wanted]:
    """The accelerators that one node may have: those of ``any_of`` or ``ordered``, else those of the resources themselves."""
    if isinstance(resources, SequenceNode):
        return [one for item in resources.items for one in _wanted(item.resolved)]
    if not isinstance(resources, MappingNode):
        return []
    own = _named(resources)
    for key in ("any_of", "ordered"):
        choices = [_named(item) for item in resources.elements_at(key) if isinstance(item, MappingNode)]
        if any(choices):
            every = {(one.name, one.number): one for choice in choices for one in choice or own}
            return list(every.values())
    return own


def _named(resources: MappingNode) -> list[Wanted]:
    key = "accelerators" if resources.get("accelerators") is not None else "gpus"  # its alias (SkyPilot, sky/resources.py)
    node = resources.get(key)
    if node is None:
        machine = resources.get("instance_type")
        return _of_machine(machine) if isinstance(machine, ScalarNode) else []
    if isinstance(node, MappingNode):  # {H100: 8}, or a set: {H100:8, H200:8}
        return [
            _spec(f"{name}:{value.text}" if isinstance(value, ScalarNode) and not value.is_null else name, label.resolved)
            for name, label, value in node.pairs()
        ]
    if isinstance(node, SequenceNode):
        return [_spec(item.text, item) for item in resources.elements_at(key) if isinstance(item, ScalarNode)]
    return [_spec(node.text, node)] if isinstance(node, ScalarNode) and node.text else []


def _of_machine(node: ScalarNode) -> list[Wanted]:
    from servelint.catalogue import instances  # lazy: tasks hardly ever name a machine

    found = instances.find(node.text)
    if found is None or not found.accelerator or found.count is None or found.count != int(found.count):
        return []
    return [Wanted(found.accelerator, int(found.count), node)]


def _spec(text: str, node: Node) -> Wanted:
    """``H100:8``; without a number, one. Half a GPU is a share of one."""
    name, _, number = text.replace(" ", "").partition(":")
    name = _SIZES.get(name.upper(), name)
    if name.lower().startswith("tpu-"):
        return Wanted(name, None, node, "a TPU slice counts as one accelerator, whatever the number of its chips")
    if "$" in text:
        return Wanted("", None, node, f"{text} is filled in when the task is launched")
    try:
        count = float(number or "1")
    except ValueError:
        return Wanted(name, None, node, f"{text!r} has no number of GPUs")
    if count < 1 or not count.is_integer() or not math.isfinite(count):
        return Wanted(name, None, node, f"{text} is a share of a GPU")
    return Wanted(name, int(count), node)


def _replicas(document: Document, root: MappingNode) -> tuple[Fact[int], Fact[int]]:
    """(fewest, most) replicas: of a service, else one."""
    low_name, high_name = launches.REPLICAS, "replicas.max"
    service = root.get("service")
    if service is None:
        one = Fact.known(low_name, 1, Origin(OriginKind.DERIVED, "a task runs once"))
        return one, one._replace(name=high_name)
    fixed = launches.whole(document, service.get("replicas"), low_name, "service.replicas")
    low = launches.whole(document, service.get("replica_policy", "min_replicas"), low_name, "min_replicas") or fixed
    high = launches.whole(document, service.get("replica_policy", "max_replicas"), high_name, "max_replicas")
    if low is None:
        low = Fact.known(low_name, 1, Origin(OriginKind.DEFAULT, "default of SkyPilot for service.replicas"))
    return low, high if high is not None else low._replace(name=high_name)
