"""DIS: what one engine must be given so that its KV cache reaches another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.deployment import Role
from servelint.engines.flag import Presence
from servelint.facts import FactState
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.formats import snippets
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode, ScalarNode
from servelint_rules import guards, pods
from servelint_rules.kv_transfer import REGISTERING, ROLES, transfer_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.deployment import Container
    from servelint.engines.command import Command
    from servelint.finding import Edit

_HOST = "VLLM_NIXL_SIDE_CHANNEL_HOST"
_ALLOCATOR = "PYTORCH_CUDA_ALLOC_CONF"


@rule(
    "DIS701", "kv-role-missing", "KV connector without a role",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=("vllm",),
)  # fmt: skip
def kv_role_missing(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `--kv-transfer-config` with a `kv_connector` but without `kv_role`, or with a role other than `kv_producer`,
    `kv_consumer` and `kv_both`.

    ## Why it matters

    vLLM stops while it reads its command line: "Please specify kv_role when kv_connector is set", "Unsupported kv_role".

    ## How to fix

    State the role: `kv_producer` for prefill, `kv_consumer` for decode, `kv_both` for an instance that does both, and for
    connectors that leave the direction to the router.

    ## Certainty

    Proven: the configuration is checked in every release that has it. Values that a shell or a template fills in are not
    judged.

    ## References

    - vLLM, `vllm/config/kv_transfer.py`: `KVTransferConfig.__post_init__`
    - [vLLM: disaggregated prefilling](https://docs.vllm.ai/en/stable/features/disagg_prefill/)
    """
    command = case.container.command
    transfer = transfer_of(command)
    if command is None or transfer is None or transfer.role in ROLES or (transfer.role and "$" in transfer.role):
        return
    meant = {Role.PREFILL: "kv_producer", Role.DECODE: "kv_consumer"}.get(case.pool.role, "kv_both")
    what = "no kv_role" if transfer.role is None else f"the role {transfer.role}, which is none"
    yield Verdict(
        command.place_of(transfer.argument),
        f"{transfer.connectors[0]} is given {what}",
        proposals=(Proposal(f'add "kv_role": "{meant}"', False, None),),
        key="missing" if transfer.role is None else "unknown",
    )


@rule(
    "DIS704", "nixl-side-channel-localhost", "NIXL handshake offered on the pod's own localhost",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=("vllm",), formats=guards.TEMPLATED, fixable=True,
)  # fmt: skip
def nixl_side_channel_localhost(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A vLLM pod that hands its KV cache over through `NixlConnector` and does not set `VLLM_NIXL_SIDE_CHANNEL_HOST`, or sets
    it to an address that means each pod itself.

    ## Why it matters

    The variable is the address at which the prefill instance listens for the handshake and which it gives to the decode
    instance. Its default is `localhost`: the decode pod then calls itself, finds nothing (or its own engine), and every
    transfer fails or times out. The pods start and are ready.

    ## How to fix

    Set it to the pod's address from the field `status.podIP`.

    ## Certainty

    Proven for an instance whose role is prefill. A warning for one whose role does not show (`kv_both`). A pure decode
    instance only calls and is left out, as are pods that listen on every address (`0.0.0.0`: their router knows which one
    to give), pods on the host's network, pods that hold both instances, Dynamo's workers (which set the variable
    themselves) and pods whose environment comes from elsewhere or is set by their script.

    ## References

    - vLLM, `vllm/envs.py` and `vllm/distributed/kv_transfer/kv_connector/v1/nixl_connector.py`
    - [vLLM: NixlConnector usage guide](https://docs.vllm.ai/en/stable/features/nixl_connector_usage/)
    """
    container, pool = case.container, case.pool
    command, pod = container.command, container.pod
    transfer = transfer_of(command)
    if command is None or transfer is None or not transfer.uses("NixlConnector") or "dynamo" in command.launcher:
        return
    if pod is None or not guards.shows_all(case) or pool.role in (Role.DECODE, Role.ENCODE) or transfer.role == "kv_consumer":
        return
    if pods.says(pod.node, "spec", "hostNetwork") or _shares_pod(case) or _sets(container, _HOST):
        return
    stated = container.environment.get(_HOST)
    if stated is not None and (stated.state is not FactState.KNOWN or stated.value not in ("localhost", "127.0.0.1")):
        return
    proven = pool.role is Role.PREFILL
    document = container.document
    place = command.place_of(transfer.argument)
    what = f"{_HOST} is {'not set: localhost by default' if stated is None else stated.value}"

    def edits() -> tuple[Edit, ...] | None:
        lines = (f"name: {_HOST}", "valueFrom:", "  fieldRef:", "    fieldPath: status.podIP")
        return snippets.add_to_list(document, container.node, "env", "image", *lines)

    title = f"set {_HOST} from the field status.podIP"
    yield Verdict(
        place if stated is None or stated.place is None else stated.place,
        f"the decode pods are told to fetch the KV cache from their own localhost: {what}",
        related=() if stated is None else (Related(place, "hands the KV cache over through NIXL"),),
        proposals=(Proposal(title, True, edits if stated is None else None),),
        severity=Severity.ERROR if proven else Severity.WARNING,
        certainty=Certainty.PROVEN if proven else Certainty.HEURISTIC,
        key=container.name,
    )


def _shares_pod(case: ContainerCase) -> bool:
    """Another engine runs in the same pod: it can be reached at localhost."""
    pod = case.container.pod
    others = [c for pool in case.deployment.pools for c in pool.containers if c is not case.container]
    return any(other.pod is not None and pod is not None and other.pod.node is pod.node for other in others)


def _sets(container: Container, variable: str) -> bool:
    """A script of the container names the variable."""
    items = (*container.node.elements_at("command"), *container.node.elements_at("args"))
    return any(isinstance(item, ScalarNode) and variable in item.text for item in items)


@rule(
    "DIS705", "expandable-segments-with-kv-connector", "Memory that moves under a KV connector that registered it",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=("vllm",), fixable=True, inputs=("image tag",),
)  # fmt: skip
def expandable_segments(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `PYTORCH_CUDA_ALLOC_CONF` with `expandable_segments:True` in a container whose command line configures a KV connector,
    without `--enable-sleep-mode` or `--enable-cumem-allocator`.

    ## Why it matters

    With expandable segments PyTorch may put other physical pages behind an address. A connector that registered the KV
    cache with the network card (NIXL, Mooncake) then reads stale pages: failed transfers at the first request, or wrong
    ones. vLLM refuses the combination at start-up, with any connector. The variable is the usual advice against running out
    of memory, so the two meet often.

    ## How to fix

    Take `expandable_segments:True` out of the variable. Or let vLLM allocate the cache itself
    (`--enable-cumem-allocator`), where the release has that.

    ## Certainty

    Proven for releases that have `--enable-cumem-allocator`, which is younger than the check. Where the release is older or
    not known it is a warning, and only for the connectors that register memory.

    ## References

    - [vllm#41237](https://github.com/vllm-project/vllm/pull/41237), [vllm#48242](https://github.com/vllm-project/vllm/issues/48242)
    - vLLM, `vllm/config/vllm.py`: `_verify_kv_transfer_compat`
    """
    container = case.container
    command = container.command
    transfer = transfer_of(command)
    fact = container.variable(_ALLOCATOR)
    if command is None or transfer is None or fact is None or not fact.is_known or fact.place is None or not command.complete:
        return
    words = [word.strip() for word in fact.value.split(",")]
    expands = [word for word in words if word.replace(" ", "").lower() in ("expandable_segments:true", "expandable_segments:1")]
    if not expands or any(command.last(flag) is not None for flag in ("--enable-sleep-mode", "--enable-cumem-allocator")):
        return
    proven = _refuses(command, case)
    if not proven and not transfer.uses(*REGISTERING):
        return
    rest = ",".join(word for word in words if word not in expands)
    yield Verdict(
        fact.place,
        f"{transfer.connectors[0]} must not have its memory remapped"
        + (": vLLM refuses to start" if proven else "; the release in use may refuse to start"),
        related=(Related(command.place_of(transfer.argument), "configures the connector"),),
        proposals=(_without(container, rest),),
        severity=Severity.ERROR if proven else Severity.WARNING,
        certainty=Certainty.PROVEN if proven else Certainty.HEURISTIC,
        key=container.name,
    )


def _refuses(command: Command, case: ContainerCase) -> bool:
    version = case.pool.version.get(None)
    flag = command.table.flag("--enable-cumem-allocator")
    return version is not None and flag is not None and flag.presence(version) is Presence.PRESENT


def _without(container: Container, rest: str) -> Proposal:
    """Sets the variable to what remains, or takes it out where nothing does."""

    def edits() -> tuple[Edit, ...] | None:
        from servelint.source import edits as edit  # lazy: only findings edit
        from servelint.source.nodes import SequenceNode

        env = container.node.get("env")
        for index, item in enumerate(container.node.elements_at("env")):
            if item.text_at("name") != _ALLOCATOR or not isinstance(item, MappingNode) or not isinstance(env, SequenceNode):
                continue
            value = item.get("value")
            if not rest:
                return edit.remove_item(container.document, env, index)
            return edit.set_scalar(container.document, value, rest) if isinstance(value, ScalarNode) else None
        return None

    return Proposal("take expandable_segments:True out", True, edits)
