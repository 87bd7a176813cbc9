"""K8S633: whether the health check of a Compose service asks a port on which somebody answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Related, Severity, Verdict
from servelint.formats.compose.interpolation import interpolate
from servelint.records import NamedTuple
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode, ScalarNode
from servelint.source.scalars import whole
from servelint_rules import listening

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.deployment import Container
    from servelint.source.nodes import Node

_URL = re.compile(r"(?P<scheme>https?)://(?P<host>\$\{\w+\}|\$\w+|[\w.-]+|\[[\w:]+\])(?::(?P<port>[0-9]{1,5}))?(?=[/\s\"'?|)]|$)")
_LOCAL = frozenset(("localhost", "127.0.0.1", "0.0.0.0", "[::1]"))  # noqa: S104 - what a check asks, nothing is bound
_PORTS = {"http": 80, "https": 443}


class _Asked(NamedTuple):
    """What the check asks: ``node`` holds the URL, ``host`` is as written."""

    node: ScalarNode
    host: str
    port: int


@rule(
    "K8S633", "compose-healthcheck-port", "Health check asks a port on which nobody answers",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=("vllm", "sglang", "tgi", "trtllm"), formats=("compose",),
)  # fmt: skip
def healthcheck_port(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The URL in the `healthcheck` of an engine's Compose service: on the container's own loopback address, against the port on
    which the engine listens; on the address of the host (`http://${HOST_IP}:…`), against the ports that the services of the
    file publish. Variables are taken with their defaults: `${PORT:-8081}` in `ports` and `${PORT:-8028}` in the check are two
    ports wherever `PORT` is not set.

    ## Why it matters

    The service never becomes healthy. Whatever waits for it (`depends_on: {condition: service_healthy}`) never starts, and
    `docker compose up --wait` ends with an error although the engine serves.

    ## How to fix

    Ask `http://localhost:PORT/health` with the port on which the engine listens in its container, not the published one.

    ## Certainty

    Proven for the loopback address, from the command line of the service; silent where anything else in the service may own
    the port. A warning for the address of the host, which may be another host's.

    ## References

    - [Compose file reference: healthcheck](https://docs.docker.com/reference/compose-file/services/#healthcheck)
    - [Compose file reference: ports](https://docs.docker.com/reference/compose-file/services/#ports)
    """
    container = case.container
    asked = _asked(container.node)
    if asked is None or container.node.get("network_mode") is not None or container.node.get("extends") is not None:
        return
    place = Place.of(container.document, asked.node)
    if asked.host in _LOCAL:
        address = listening.address(container)
        if address.port is None or address.port == asked.port or _may_listen(container, asked.port):
            return
        also: tuple[Related, ...] = ()
        if address.argument is not None and container.command is not None:
            also = (Related(container.command.place_of(address.argument), f"the engine listens on {address.port}"),)
        label = f"nothing listens on {asked.port} in the container: the engine answers on {address.port}"
        yield Verdict(place, label, related=also)
    elif "$" in asked.host:
        yield from _by_the_host(container, asked, place)


def _by_the_host(container: Container, asked: _Asked, place: Place) -> Iterator[Verdict]:
    services = container.document.get("services")
    if not isinstance(services, MappingNode):
        return
    own = [port for item in container.node.elements_at("ports") for port in _published(item)]
    every = [port for _, _, service in services.pairs() for item in service.elements_at("ports") for port in _published(item)]
    if not own or any(port in (asked.port, 0) for port in every) or _uses_host_network(services):
        return
    node = container.node.elements_at("ports")[0]
    yield Verdict(
        place,
        f"the check asks port {asked.port} of the host, and the file publishes none of that number: the engine's is {own[0]}",
        related=(Related(Place.of(container.document, node), f"published as {own[0]}"),),
        severity=Severity.WARNING,
        certainty=Certainty.HEURISTIC,
    )


def _asked(service: Node) -> _Asked | None:
    """The one URL that the check asks; None where there is none, or several."""
    test = service.get("healthcheck", "test")
    nodes = [test] if isinstance(test, ScalarNode) else service.elements_at("healthcheck", "test")
    found = []
    for node in nodes:
        if isinstance(node, ScalarNode):
            text = interpolate(node.text).text.text
            found += [_Asked(node, m["host"], whole(m["port"] or str(_PORTS[m["scheme"]])) or 0) for m in _URL.finditer(text)]
    return found[0] if len(found) == 1 else None


def _published(item: Node) -> list[int]:
    """The port of the host that an entry of ``ports`` publishes; 0 where it cannot be told (a variable, a range, any port)."""
    if isinstance(item, MappingNode):
        stated = item.text_at("published")
        text = interpolate(stated).text.text if stated is not None else ""
    elif isinstance(item, ScalarNode):
        sides = interpolate(item.text).text.text.partition("/")[0].split(":")
        text = sides[-2] if len(sides) > 1 else ""
    else:
        return []
    return [whole(text) or 0]


def _uses_host_network(services: MappingNode) -> bool:
    return any((service.text_at("network_mode") or "") == "host" for _, _, service in services.pairs())


def _may_listen(container: Container, port: int) -> bool:
    """A script that starts more than the engine, or a setting of the service that names the port."""
    command = container.command
    if command is None or command.program.shell or container.node.get("env_file") is not None:
        return True
    number = re.compile(rf"(?<!\d){port}(?!\d)")
    texts = [str(fact.get("")) for fact in container.environment.values()]
    texts += [word.text for word in command.program.words]
    return any(number.search(text) for text in texts)
