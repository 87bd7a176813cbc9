"""Volumes: whether anything puts the model where the engine is told to find it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.command import SHELLS, Form
from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import guards, pods
from servelint_rules.engine_options import is_written
from servelint_rules.hub import MODEL_FLAGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.deployment import Pod
    from servelint.engines.command import Argument, Command
    from servelint.source.nodes import Node

# Formats whose controllers bring no model into the pod by themselves.
_FORMATS = ("kubernetes", "leaderworkerset", "jobset", "rbg", "aibrix")
# Commands of a script that put nothing into a directory.
_IDLE = frozenset(
    (
        "echo",
        "set",
        "sleep",
        "true",
        "exit",
        "mkdir",
        "ls",
        "date",
        "pwd",
        "env",
        "printenv",
        "chmod",
        "chown",
        ":",
        "export",
        "du",
    )
)


@rule(
    "K8S630", "model-path-on-empty-volume", "Nothing puts the model where the engine looks for it",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0", formats=_FORMATS,
)  # fmt: skip
def model_path_on_empty_volume(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A model that is served from a path on an `emptyDir`, where no init container, no sidecar and no other container of the pod
    mounts that volume, or where those that do run a script that is written in the manifest and copies nothing (its download is
    commented out).

    ## Why it matters

    An `emptyDir` is empty when the pod starts. The engine finds no `config.json` there and takes the path for the name of a
    repository on the hub: "Repo id must be in the form …". The pod restarts for ever.

    ## How to fix

    Fetch the model in an init container that mounts the volume, mount a claim that holds it, or name the model by its id on the
    hub.

    ## Certainty

    Proven where nothing else mounts the volume and the engine is started by the manifest itself. A warning, because a controller
    may add an init container. Where the engine's own container runs a script it may fetch the model; that is not judged.

    ## References

    - [Kubernetes: emptyDir](https://kubernetes.io/docs/concepts/storage/volumes/#emptydir)
    - vLLM, `vllm/transformers_utils/config.py`: a path without `config.json` is taken for a repository
    """
    container, pod, command = case.container, case.container.pod, case.container.command
    if pod is None or command is None or not command.complete or command.program.shell or not guards.shows_all(case):
        return
    if container.node.get("lifecycle", "postStart") is not None:
        return  # it may fetch the model
    argument = _served(command)
    path = (argument.value or "").rstrip("/") if argument is not None else ""
    if argument is None or not path.startswith("/") or not is_written(argument):
        return
    mount = _mount(container.node, path)
    if mount is None:
        return
    name = mount.text_at("name") or ""
    volume = next((v for v in pod.node.elements_at("spec", "volumes") if v.text_at("name") == name), None)
    if volume is None or volume.get("emptyDir") is None:
        return
    writers = list(_others(pod, container.node, name))
    if not all(_is_idle(writer) for writer in writers):
        return
    by = f"and {writers[0].text_at('name') or 'what mounts it'} puts nothing into it" if writers else "and nothing else mounts it"
    yield Verdict(
        command.place_of(argument),
        f"{path} lies on the emptyDir {name}, {by}",
        related=(Related(Place.of(container.document, volume), "empty when the pod starts"),),
        proposals=(Proposal("fetch the model in an init container that mounts the volume, or mount a claim", False, None),),
        certainty=Certainty.PROVEN if not writers else Certainty.HEURISTIC,
        key=container.name,
    )


def _served(command: Command) -> Argument | None:
    """What names the model on the command line; None where nothing does."""
    for name in MODEL_FLAGS:
        argument = command.last(name)
        if argument is not None:
            return argument
    first = command.arguments[0] if command.arguments else None
    return first if first is not None and first.form is Form.POSITIONAL else None


def _mount(container: Node, path: str) -> Node | None:
    """The mount on which ``path`` lies: the deepest one above it."""
    above = [
        mount
        for mount in container.elements_at("volumeMounts")
        if f"{path}/".startswith((mount.text_at("mountPath") or "\0").rstrip("/") + "/")
    ]
    return max(above, key=lambda mount: len(mount.text_at("mountPath") or ""), default=None)


def _others(pod: Pod, container: Node, volume: str) -> Iterator[Node]:
    """The other containers of the pod, init containers too, that mount ``volume``."""
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for other in pod.node.elements_at("spec", key):
            if other is not container and any(m.text_at("name") == volume for m in other.elements_at("volumeMounts")):
                yield other


def _is_idle(container: Node) -> bool:
    """The container runs a script that is written out, and whose commands put nothing anywhere."""
    words = [text for key in ("command", "args") for text in pods.texts(container.get(key))]
    if len(words) != 3 or words[0].rpartition("/")[2] not in SHELLS or not words[1].startswith("-") or not words[1].endswith("c"):
        return False
    for line in words[2].replace("&&", "\n").replace(";", "\n").splitlines():
        told = line.strip()
        if not told or told.startswith("#"):
            continue
        if told.split()[0] not in _IDLE or any(mark in told for mark in (">", "|", "`", "$(", "\\")):
            return False
    return True
