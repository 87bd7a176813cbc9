"""From the services of a Compose file to deployments: one for each engine, or for engines that share out a request's phases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.deployment import Deployment, Role
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import containers, launches
from servelint.formats.compose import accelerators, files
from servelint.formats.compose.interpolation import interpolate
from servelint.formats.compose.service import Service
from servelint.formats.compose.words import WordList
from servelint.formats.needles import names_an_engine
from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from servelint.deployment import Pool
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

_OVERRIDDEN = "this service is completed by another file"
_MERGED = "lint what `docker compose config` prints"


def deployments(document: Document, services: MappingNode, surroundings: Surroundings) -> list[Deployment]:
    """The deployments among ``services``, in the order of the file."""
    found: list[Pool] = []
    every = [
        Service(document, name, key, node, services) for name, key, node in services.pairs() if isinstance(node, MappingNode)
    ]
    extended = {name for service in every for name in service.bases}
    for service in every:
        if service.name not in extended or service.get("command") is not None:  # else it is there to be extended
            found += _pools(service, surroundings)
    alone = [pool for pool in found if pool.role is Role.SERVE]
    together = [pool for pool in found if pool.role is not Role.SERVE]
    made = [Deployment(pool.name, "compose", document, (pool,)) for pool in alone]
    if together:
        made.append(Deployment(together[0].name, "compose", document, tuple(together)))
    order = {pool.name: index for index, pool in enumerate(found)}
    return sorted(made, key=lambda deployment: order[deployment.name])


def _pools(service: Service, surroundings: Surroundings) -> list[Pool]:
    image, reference = service.image(containers.IMAGE)
    words = WordList(service.document)
    words.extend(service.get("entrypoint"))
    own = not words.words
    words.extend(service.get("command"))
    text = "\n".join([reference, *(word.text for word in words.words)])
    if not names_an_engine(text, surroundings.engines):
        return []
    from servelint.engines import shell  # lazy: only services that may run an engine are taken apart

    environment = service.environment(words.unset, surroundings)
    given = tuple(words.words)
    programs = shell.programs_of_words(
        service.document, given, environment, words.text_of, service.get("image") or service.node, entrypoint=own
    )
    asked = accelerators.asked(service, environment)
    replicas = _replicas(service)
    launch = launches.Launch(
        service.document, service.name, service.node, service.key, image, reference, programs, environment,
        asked.gpus, asked.resource, facts={"replicas_min": replicas, "replicas_max": replicas._replace(name="replicas.max")},
        files=files.reader(service, environment, surroundings),
    )  # fmt: skip
    found = launches.pools(launch, surroundings.engines)
    if not found and reference:
        from servelint.formats.compose import own_images  # lazy: most services run an engine's own command, or none

        own_pool = own_images.pool(launch, surroundings.engines)
        found = [own_pool] if own_pool is not None else []
    return found


def _replicas(service: Service) -> Fact[int]:
    node = service.get("deploy", "replicas")
    node = node if node is not None else service.get("scale")
    if not isinstance(node, ScalarNode):
        if service.partial:
            return Fact.unknown(launches.REPLICAS, _OVERRIDDEN, _MERGED)
        return Fact.known(launches.REPLICAS, 1, Origin(OriginKind.DEFAULT, "default of Compose for deploy.replicas"))
    value = interpolate(node.text)
    origin = Origin(OriginKind.FILE, "deploy.replicas", Place.of(service.document, node))
    text = value.text.text.strip()
    if not value.changed and not value.unset:
        return launches.whole(service.document, node, launches.REPLICAS, "deploy.replicas") or Fact.unknown(
            launches.REPLICAS, "not stated"
        )
    if value.unset or not text.isdecimal() or len(text) > 9:
        return Fact.unknown(launches.REPLICAS, f"deploy.replicas is {node.text!r}", "write the number", origin)
    return Fact.known(launches.REPLICAS, int(text), origin)
