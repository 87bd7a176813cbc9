"""CLI130: references to variables that nothing defines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.command import SHELLS
from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint.source.nodes import ScalarNode
from servelint_rules import guards, pods

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.deployment import Pod
    from servelint.source.nodes import Document, Node

# What controllers put into the pods they make, by the format of their object: LeaderWorkerSet (api/leaderworkerset/v1, and
# pkg/utils/accelerators/tpu.go) and llmaz, which makes such; sgl-project/rbg (api/workloads/constants/env.go and the older
# names in v1alpha1); vllm-project/aibrix (pkg/controller/constants/stormservice.go) and KubeRay below it; kthena
# (pkg/model-serving-controller/utils); Kubernetes itself for indexed Jobs.
_GIVEN = {
    "leaderworkerset": ("LWS_", "TPU_"),
    "llmaz": ("LWS_", "TPU_"),
    "rbg": ("RBG_", "LWS_", "ROLE_", "GROUP_NAME", "INSTANCE_NAME", "COMPONENT_"),
    "aibrix": ("STORM_SERVICE_", "ROLESET_", "ROLE_", "PODSET_", "POD_GROUP_", "RAY_", "KUBERAY_", "FQ_RAY_IP", "AIBRIX_"),
    "kthena": ("ENTRY_ADDRESS", "GROUP_SIZE", "WORKER_INDEX"),
    "kubernetes": ("JOB_COMPLETION_INDEX",),
    "jobset": ("JOB_COMPLETION_INDEX",),
}
# The kubelet makes variables for the Services of the namespace.
_LINKS = ("_SERVICE_HOST", "_SERVICE_PORT", "_PORT", "_TCP", "_ADDR", "_PROTO")
_FIELDS = {
    "POD_NAME": "metadata.name", "NAMESPACE": "metadata.namespace", "POD_NAMESPACE": "metadata.namespace",
    "POD_IP": "status.podIP", "HOST_IP": "status.hostIP", "NODE_NAME": "spec.nodeName", "POD_UID": "metadata.uid",
}  # fmt: skip


@rule(
    "CLI130", "undefined-reference", "Reference to a variable that is not defined",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    formats=guards.TEMPLATED,
)  # fmt: skip
def undefined_reference(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `$(NAME)` in the `command`, `args` and `env` of every container of the engine's pod, where the container has no variable
    NAME; and in a value of `env` where NAME is defined further down, or is the variable itself (`PATH: /opt/bin:$(PATH)`).
    Variables that controllers give their pods
    (`LWS_LEADER_ADDRESS`, `RBG_ROLE_INDEX`, `ENTRY_ADDRESS` …) count for the objects of those controllers only.

    ## Why it matters

    Kubernetes leaves a reference that it cannot resolve as it is written: the program gets the letters `$(POD_NAME)`, and a
    router or a metrics collector knows every pod by the same name. In `env` only variables that stand above count.

    ## How to fix

    Define the variable in that container's own `env` (`valueFrom: {fieldRef: {fieldPath: metadata.name}}`); the variables of
    the container beside it are not shared. In `env`, move the definition above its use.

    ## Certainty

    Proven where the variable is defined below its use. Where nothing defines it a heuristic, since kustomize's `vars` may
    fill such names in before the manifest is applied. Lists that a shell reads (`$(hostname)` is a command there), containers
    with `envFrom`, patches and unfinished bases are left out.

    ## References

    - [Kubernetes: define dependent environment variables](https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/)
    - Kubernetes, `third_party/forked/golang/expansion`
    """
    container, pod = case.container, case.container.pod
    if pod is None or not guards.shows_all(case) or not pods.speaks_for(container, case.deployment):
        return
    own = {item.text_at("name") for item in container.node.elements_at("env")}
    given = (*_GIVEN.get(case.deployment.format, ()), *(name for name in container.environment if name not in own))
    for key in ("initContainers", "containers"):
        for each in pod.node.elements_at("spec", key):
            yield from _of(pod, each, given)


def _of(pod: Pod, container: Node, given: tuple[str, ...]) -> Iterator[Verdict]:
    items = container.elements_at("env")
    listed = {item.text_at("name") or "": item for item in items}
    is_open = bool(container.elements_at("envFrom")) or any(not isinstance(item.get("name"), ScalarNode) for item in items)
    seen: set[str] = set()
    above: set[str] = set()
    for item in items:
        value, own = item.get("value"), item.text_at("name") or ""
        for name in _names(value) if value is not None else ():
            below = listed.get(name) if name not in above else None
            if below is None or _is_given(name, given) or name in seen or is_open:
                continue
            seen.add(name)
            yield _itself(pod.document, item, name) if name == own else _too_late(pod.document, item, name, below)
        above.add(own)
    if is_open:
        return
    words = [value for item in items if (value := item.get("value")) is not None]
    if not _is_read_by_a_shell(container):
        words += [word for key in ("command", "args") for word in container.elements_at(key)]
    for word in words:
        missing = [name for name in _names(word) if not (name in listed or name in seen or _is_given(name, given))]
        if missing:
            seen.update(missing)
            yield _undefined(pod.document, word, container, missing)


def _itself(document: Document, item: Node, name: str) -> Verdict:
    return Verdict(
        Place.of(document, item.get("value") or item),
        f"$({name}) stays as it is written: what the image sets {name} to is not known to Kubernetes",
        proposals=(Proposal(f"write out the image's {name}, or set it in a shell", False, None),),
        key=f"{name} itself",
    )


def _too_late(document: Document, item: Node, name: str, below: Node) -> Verdict:
    return Verdict(
        Place.of(document, item.get("value") or item),
        f"$({name}) stays as it is written: {name} is defined below, and only what stands above counts",
        related=(Related(Place.of(document, below.get("name") or below), "defined here"),),
        proposals=(Proposal(f"move {name} above its use", False, None),),
        key=f"{item.text_at('name')} {name}",
    )


def _undefined(document: Document, word: Node, container: Node, missing: list[str]) -> Verdict:
    who, names = container.text_at("name") or "", " and ".join(missing)
    fields = [f"{name} from the field {_FIELDS[name]}" if name in _FIELDS else name for name in missing]
    one = len(missing) == 1
    stays = "stays as it is written" if one else "stay as they are written"
    return Verdict(
        Place.of(document, word),
        f"{' and '.join(f'$({name})' for name in missing)} {stays}: the container {who} does not "
        f"define {'it' if one else 'them'}",
        proposals=(Proposal(f"define in its env: {', '.join(fields)}", False, None),),
        certainty=Certainty.HEURISTIC,
        key=f"{who} {names}",
    )


def _names(word: Node) -> list[str]:
    """The variables to which ``word`` refers; ``$$(NAME)`` is none."""
    if not isinstance(word, ScalarNode) or "$(" not in word.text:
        return []
    import re  # lazy: few words refer to a variable

    plain = word.text.replace("$$", "")
    return list(dict.fromkeys(re.findall(r"\$\(([A-Z_][A-Z0-9_]*)\)", plain)))


def _is_given(name: str, given: tuple[str, ...]) -> bool:
    return name.startswith(given) or name.endswith(_LINKS) if given else name.endswith(_LINKS)


def _is_read_by_a_shell(container: Node) -> bool:
    words = [node.text for key in ("command", "args") for node in container.elements_at(key) if isinstance(node, ScalarNode)]
    return any(word.rpartition("/")[2] in SHELLS or "\n" in word.strip() for word in words) or "-c" in words
