"""RayService, RayJob and RayCluster: a cluster with a Serve configuration, an entrypoint, or containers that run an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.deployment import Deployment, Environment
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import containers, controller_words, launches, objects, ray_cluster, ray_serve
from servelint.formats.environment import environment
from servelint.formats.needles import names_an_engine
from servelint.source.embedded import EmbeddedDocument, read
from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from servelint.deployment import Pool
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node


def deployments(document: Document, item: Node, surroundings: Surroundings) -> Iterator[Deployment]:
    """What the object serves; a cluster or job without an engine is none of ours."""
    kind = item.text_at("kind") or ""
    name = controller_words.label_of(item).text
    if kind == "RayService":
        served = list(_service(document, item, name, surroundings))
        yield from served
        if served:
            return
    if kind == "RayJob":
        pools = _job(document, item, surroundings)
    else:
        cluster = item.get("spec", "rayClusterConfig") if kind == "RayService" else item.get("spec")
        pools = ray_cluster.pools(document, cluster, surroundings, owner=kind) if cluster is not None else []
        pools = [_once(pool) for pool in pools]
    if pools:
        yield Deployment(name, "ray", document, tuple(pools))


def _once(pool: Pool) -> Pool:
    """A cluster is one replica of an engine that its head starts, whatever its groups of workers are scaled to."""
    one = Fact.known("replicas.min", 1, Origin(OriginKind.DERIVED, "one engine in the cluster"))
    return pool._replace(replicas_min=one, replicas_max=one._replace(name="replicas.max"))


def _service(document: Document, item: Node, name: str, surroundings: Surroundings) -> Iterator[Deployment]:
    text = item.get("spec", "serveConfigV2")
    objects.has_shape(surroundings, document, item, ("spec", "serveConfigV2"), ScalarNode, name)
    if not isinstance(text, ScalarNode):
        return
    content = read(document, text)
    if content.root is None:
        if content.error and not _is_template(text.text):
            _report(document, text, content.error, name, surroundings)
        return
    cluster = ray_cluster.groups(document, item.get("spec", "rayClusterConfig"))
    inner = EmbeddedDocument(document, text, content)
    yield from ray_serve.deployments(inner, content.root, cluster, "RayService", name, surroundings)


def _is_template(text: str) -> bool:
    return "{{" in text or "{%" in text


def _report(document: Document, text: ScalarNode, error: str, name: str, surroundings: Surroundings) -> None:
    from servelint.finding import Verdict  # lazy: only broken documents are reported

    verdict = Verdict(Place.of(document, text), f"serveConfigV2 is not YAML: {error}", key="serveConfigV2")
    surroundings.problem("DOC101", verdict, name)


def _job(document: Document, item: Node, surroundings: Surroundings) -> list[Pool]:
    """Engines that the job's entrypoint starts; Ray runs it in a shell on the head."""
    entrypoint = item.get("spec", "entrypoint")
    if not isinstance(entrypoint, ScalarNode):
        return []
    if not names_an_engine(entrypoint.text, surroundings.engines):
        return []
    from servelint.engines import shell  # lazy: only jobs that may run an engine are taken apart

    owner, cluster = _cluster(document, item, surroundings)
    members = ray_cluster.groups(owner, cluster)
    head = next((group for group in members if group.head), None)
    runtime = _runtime(document, item)
    variables = environment(owner, head.container, runtime) if head is not None else Environment(runtime)
    programs = shell.programs_of_text(document, entrypoint, variables)
    image = containers.image(owner, head.container) if head is not None else Fact.unknown("engine.image", ray_cluster.ABSENT)
    unsized: Fact[int] = Fact.unknown("gpus.per_node", ray_cluster.ABSENT)
    launch = launches.Launch(
        document,
        controller_words.label_of(item).text,
        head.container if head is not None else item,
        controller_words.label_of(item),
        image,
        image.get(""),
        programs,
        variables,
        unsized,
    )
    return [_once(_in_cluster(pool, members)) for pool in launches.pools(launch, surroundings.engines)]


def _in_cluster(pool: Pool, members: Sequence[ray_cluster.Group]) -> Pool:
    """The pool without what the launch alone says of its hosts."""
    unstated = pool._replace(nodes=Fact.unknown("nodes", ray_cluster.ABSENT)) if not pool.nodes.is_stated else pool
    return ray_cluster.sized(unstated, members)


def _cluster(document: Document, item: Node, surroundings: Surroundings) -> tuple[Document, Node | None]:
    """The cluster's spec: the job's own, or that of the cluster it selects."""
    own = item.get("spec", "rayClusterSpec")
    selected = item.text_at("spec", "clusterSelector", "ray.io/cluster")
    if own is None and selected:
        found = objects.named(surroundings, "RayCluster", selected)
        if found is not None:
            return found[0], found[1].get("spec")
    return document, own


def _runtime(document: Document, item: Node) -> dict[str, Fact[str]]:
    """The variables of ``runtimeEnvYAML``."""
    text = item.get("spec", "runtimeEnvYAML")
    if not isinstance(text, ScalarNode):
        return {}
    root = read(document, text).root
    if not isinstance(root, MappingNode):
        return {}
    return {
        name: Fact.known(f"env.{name}", value.text, Origin(OriginKind.FILE, name, Place.of(document, value)))
        for name, _, value in root.entries_at("env_vars")
        if isinstance(value, ScalarNode)
    }
