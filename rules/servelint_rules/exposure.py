"""SEC: what a server exposes that it should not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.command import Form
from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.records import NamedTuple
from servelint.rulebook import Scope, rule
from servelint_rules.engine_options import flag_place, stated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.source.nodes import Node


@rule(
    "SEC103", "api-key-only", "The API key protects a part of the server only",
    severity=Severity.INFO, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0", engines=("vllm",), advice=True,
)  # fmt: skip
def api_key_only(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `--api-key` (or `VLLM_API_KEY`) on vLLM's server.

    ## Why it matters

    vLLM asks for the key under `/v1` (and `/v2`, `/inference`) only. `/invocations`, which also generates, and `/metrics`,
    `/tokenize` or `/pooling` answer without one.

    ## How to fix

    Let nothing but a gateway reach the port (a NetworkPolicy), and let the gateway pass on what clients need.

    ## Certainty

    Proven from the help text and the middleware of the server; whether something stands before it the manifest of one pod
    does not show, so it is advice.

    ## References

    - vLLM, `vllm/entrypoints/openai/cli_args.py`: the help of `--api-key`
    """
    command = case.container.command
    if command is None:
        return
    argument = command.last("--api-key")
    place = flag_place(command, argument) if argument is not None else None
    if place is None and (variable := case.container.variable("VLLM_API_KEY")) is not None:
        place = variable.place
    if place is not None:
        yield Verdict(place, "/invocations and other paths outside /v1 answer without the key")


class _Switch(NamedTuple):
    opens: str
    instead: str


# vllm/envs.py and docs/usage/security.md.
_SWITCHES = {
    "VLLM_SERVER_DEV_MODE": _Switch(
        "clients may reset caches, put the engine to sleep and call methods of its workers", "unset it"
    ),
    "VLLM_ALLOW_INSECURE_SERIALIZATION": _Switch("messages between processes may hold pickled code", "unset it"),
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": _Switch(
        "whoever reaches the server may load an adapter from any path or repository",
        "load adapters by --lora-modules, or let only a controller reach the port",
    ),
}
_ON = frozenset(("1", "true"))
_ADAPTERS = "VLLM_ALLOW_RUNTIME_LORA_UPDATING"
# Lines that begin so stand for what loads adapters: objects of AIBrix and of production-stack, values of its chart, and the
# label by which AIBrix' controller takes a pod's adapters in hand.
_LOADERS = (
    "kind: ModelAdapter", "kind: LoraAdapter", "loraAdapters:", "enableLoraController: true",
    'adapter.model.aibrix.ai/enabled: "true"',
)  # fmt: skip
_SYNCER = "lora-syncer"  # the image of a sidecar (gateway-api-inference-extension, tools/dynamic-lora-sidecar)


@rule(
    "SEC104", "dev-mode-exposed", "Switch for development on a server",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0", engines=("vllm",),
)  # fmt: skip
def dev_mode_exposed(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `VLLM_SERVER_DEV_MODE`, `VLLM_ALLOW_INSECURE_SERIALIZATION` and `VLLM_ALLOW_RUNTIME_LORA_UPDATING` where they are on.
    Where something that is set up beside the engine loads adapters at run time, the last is needed, and SEC108.

    ## Why it matters

    Each opens the server to everyone who reaches its port: development endpoints that reset caches, put the engine to sleep
    or call methods of its workers, pickled objects between processes, and adapters from any path. The API key does not
    protect them.

    ## How to fix

    Take the variable out, or keep the port to the controller that needs it (a NetworkPolicy).

    ## Certainty

    Proven that the switch is on; a warning, because the manifest of a pod does not show who reaches it.

    ## References

    - [vLLM: security](https://docs.vllm.ai/en/latest/usage/security.html)
    - vLLM, `vllm/envs.py` and `vllm/entrypoints/openai/api_server.py`
    """
    for name, switch in _SWITCHES.items():
        place = _switched_on(case, name)
        if place is None or (name == _ADAPTERS and _loads_adapters(case)):
            continue
        yield Verdict(place, f"{name}: {switch.opens}", proposals=(Proposal(switch.instead, False, None),), key=name)


@rule(
    "SEC108", "adapters-at-run-time", "Adapters are loaded at run time, by whoever asks",
    severity=Severity.INFO, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0", engines=("vllm",), advice=True,
)  # fmt: skip
def adapters_at_run_time(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `VLLM_ALLOW_RUNTIME_LORA_UPDATING` where it is needed: the same file has an object or a sidecar by which a controller loads
    adapters (AIBrix' `ModelAdapter`, production-stack's `LoraAdapter` and its controller, the `lora-syncer` of the gateway's
    inference extension), or the engine itself looks for adapters by a resolver plugin.

    ## Why it matters

    The controller is not the only one who may ask: whoever reaches the port may load an adapter from any path or repository,
    with no key asked for.

    ## How to fix

    A NetworkPolicy that lets the controller and the gateway reach the port, and nobody else.

    ## Certainty

    Proven that the switch is on; advice, because it is needed and a pod's manifest does not show who reaches it.

    ## References

    - [vLLM: LoRA adapters, dynamically serving](https://docs.vllm.ai/en/latest/features/lora.html)
    - [AIBrix: LoRA](https://aibrix.readthedocs.io/latest/features/lora-dynamic-loading.html)
    """
    place = _switched_on(case, _ADAPTERS)
    if place is not None and _loads_adapters(case):
        yield Verdict(
            place,
            "needed by what loads the adapters here; the port answers everyone else, too",
            proposals=(Proposal("a NetworkPolicy in front of the port", False, None),),
            key=_ADAPTERS,
        )


def _switched_on(case: ContainerCase, name: str) -> Place | None:
    """Where the variable stands; None where it is not on."""
    fact = case.container.variable(name)
    return fact.place if fact is not None and fact.is_known and fact.value.strip().lower() in _ON else None


def _loads_adapters(case: ContainerCase) -> bool:
    """Something in the file, or a plugin of the engine, loads adapters while the engine runs."""
    plugins = case.container.variable("VLLM_PLUGINS")
    if plugins is not None and "lora" in plugins.get("").lower():
        return True
    lines = (line.partition(" #")[0] for line in case.container.document.physical.source.text.splitlines())
    return any(line.strip().lstrip("- ").startswith(_LOADERS) or _SYNCER in line for line in lines)


_SECRETS = frozenset(("--api-key", "--admin-api-key", "--hf-token", "--ngrok-authtoken", "--ssl-keyfile-password"))
# Without what is between their words.
_NO_SECRETS = frozenset((
    "", "empty", "none", "null", "dummy", "true", "false", "changeme", "secret", "token", "placeholder", "notneeded",
    "notrequired", "notused", "unused", "nokey", "nokeyneeded", "nokeyrequired", "sknokeyrequired", "fake", "fakekey",
    "dummykey", "na", "sk",
))  # fmt: skip
_TO_BE_REPLACED = ("your", "skyour", "replace", "insert")
_TOKEN_LENGTH = 34  # of a token of the hub, "hf_" and what follows


@rule(
    "SEC105", "secret-in-args", "Secret on a command line",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
)  # fmt: skip
def secret_in_args(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Options that take a secret (`--api-key`, `--admin-api-key`, `--hf-token`, TGI's `--ngrok-authtoken`) with the secret itself as
    their value, and anything that looks like a token of the hub (`hf_…`) on the engine's command line.

    ## Why it matters

    Who may read the repository, the Deployment or the process list reads the secret; and it stays in the history after it
    is taken out.

    ## How to fix

    Put it into a Secret, the variable into `env` with `secretKeyRef`, and `$(NAME)` into the arguments. vLLM reads
    `VLLM_API_KEY`, the hub's libraries `HF_TOKEN`: then no argument is needed. Revoke the one that was committed.

    ## Certainty

    Proven that the value is written there. Placeholders (`EMPTY`, `dummy`, `not-needed`, `YOUR_API_KEY`, `sk-xxxx`, `<key>`,
    variables) are left out.

    ## References

    - [Kubernetes: good practices for Secrets](https://kubernetes.io/docs/concepts/security/secrets-good-practices/)
    - vLLM, `vllm/envs.py`: `VLLM_API_KEY`
    """
    command = case.container.command
    if command is None:
        return
    for argument, _, value in stated(case):
        text = value.strip()
        plain = "".join(filter(str.isalnum, text.lower().strip("x*-_.")))
        if text.startswith("<") or plain in _NO_SECRETS or plain.startswith(_TO_BE_REPLACED):
            continue
        is_token = text.startswith("hf_") and len(text) >= _TOKEN_LENGTH and text[3:].isalnum()
        if argument.form is not Form.JAMMED and (argument.name in _SECRETS or is_token):
            yield Verdict(
                command.place_of(argument),
                f"the value of {argument.written} is written out here",
                proposals=(Proposal("a Secret, a variable from it, and $(NAME) here", False, None),),
                key=argument.name,
            )


@rule(
    "SEC106", "privileged", "Pod with the rights of its node",
    severity=Severity.INFO, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0", advice=True,
)  # fmt: skip
def privileged(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `privileged: true` on the engine's container, and `hostIPC` or `hostPID` on its pod.

    ## Why it matters

    A privileged container sees every device and may change its node; `hostIPC` shares memory segments with every other
    process there. Engines need neither for GPUs: the device plugin brings the devices, and shared memory comes from a
    volume.

    ## How to fix

    In place of `hostIPC`, a volume `emptyDir: {medium: Memory, sizeLimit: …}` at `/dev/shm`. In place of `privileged`, the
    capabilities that are needed (`IPC_LOCK` for RDMA) and the devices by their plugin.

    ## Certainty

    Proven that it is set; advice, because some networks and older device plugins still need it.

    ## References

    - [Kubernetes: Pod Security Standards](https://kubernetes.io/docs/concepts/security/pod-security-standards/)
    """
    pod = case.container.pod
    if pod is None:
        return
    found: list[tuple[str, Node | None]] = [("privileged", case.container.node.get("securityContext", "privileged"))]
    found += [(key, pod.node.get("spec", key)) for key in ("hostIPC", "hostPID")]
    for key, node in found:
        if node is not None and getattr(node.resolved, "text", "").lower() == "true":
            yield Verdict(Place.of(pod.document, node), f"{key}: the container has more rights than an engine needs", key=key)
