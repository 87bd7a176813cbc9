"""GPU requests: whether a container asks for the devices that its engine needs, in a way that the API server accepts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.formats import devices
from servelint.rulebook import Scope, rule
from servelint_rules import gpu_counts, guards, listening
from servelint_rules.figures import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.deployment import Container
    from servelint.formats.devices import Devices


@rule(
    "K8S607", "gpu-limit-missing", "GPU limit missing or not valid",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    formats=(*guards.TEMPLATED, "helm-values"), fixable=True,
)  # fmt: skip
def gpu_limit_missing(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The accelerators that an engine's container asks for: in `requests` without a limit, with a limit other than the
    request, or not a whole number; and a container whose command line needs several GPUs but asks for none, or that runs
    an image of the engine's project for GPUs and asks for none.

    ## Why it matters

    GPUs are extended resources: they cannot be overcommitted, so the API server refuses a request without an equal limit
    ("Limit must be set for non overcommitable resources") and a fraction ("must be an integer"). A pod that asks for none
    gets none, and may be scheduled to a node that has none.

    ## How to fix

    State the number under `limits`; the request follows from it. Whole GPUs only: to share one, use MIG or time-slicing
    through the device plugin.

    ## Certainty

    Proven: from the validation of the Kubernetes API. The case of several GPUs needs degrees that are written out, and a pod
    that has no other way to the devices (privileged, runtime class, host path, `NVIDIA_VISIBLE_DEVICES`, a claim). That an
    image runs on GPUs only is a warning: on nodes whose default runtime is NVIDIA's, a container that asks for no GPU sees
    all of them.

    ## References

    - Kubernetes, `pkg/apis/core/validation/validation.go`: `validateContainerResourceRequirements`
    - [Kubernetes: schedule GPUs](https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/#using-device-plugins)
    """
    container = case.container
    if case.deployment.format == "helm-values":
        from servelint_rules import chart_requests  # lazy: few files are values of a chart

        yield from chart_requests.none_asked(case)
        return
    if not guards.shows_all(case):
        return
    asked = devices.devices(container.node)
    if asked.written is not None:
        yield from _invalid_count(container, asked)
    elif not asked.resource:
        yield from _none_asked(case)


def _invalid_count(container: Container, asked: Devices) -> Iterator[Verdict]:
    from servelint.source import edits

    document, resource = container.document, asked.resource
    for node in (asked.limit, asked.request):
        if node is None or any(mark in node.text for mark in ("$", "{{", "<")):
            continue
        if devices.whole(node) is None:
            yield Verdict(Place.of(document, node), f"{resource}: {node.text} is not a whole number of devices", key=resource)
            return
    if asked.request is not None and asked.limit is None:
        place = Place.of(document, asked.request)
        from servelint.formats.snippets import add_limit

        yield Verdict(
            place,
            f"{asked.request.text} × {resource} requested without a limit: the API server refuses the pod",
            proposals=(
                Proposal(
                    f"set the limit to {asked.request.text} as well",
                    True,
                    partial(add_limit, document, container.node, resource, asked.request.text),
                ),
            ),
            key=resource,
        )
    elif asked.request is not None and asked.limit is not None and not _equal(asked):
        place = Place.of(document, asked.request)
        yield Verdict(
            place,
            f"{resource}: request {asked.request.text} and limit {asked.limit.text} must be equal",
            related=(Related(Place.of(document, asked.limit), f"limit {asked.limit.text}"),),
            proposals=(
                Proposal(
                    f"set the request to {asked.limit.text}", False, edits.set_scalar(document, asked.request, asked.limit.text)
                ),
            ),
            key=resource,
        )


def _equal(asked: Devices) -> bool:
    return asked.limit is not None and asked.request is not None and devices.whole(asked.limit) == devices.whole(asked.request)


def _none_asked(case: ContainerCase) -> Iterator[Verdict]:
    container, pool, pod = case.container, case.pool, case.container.pod
    if pod is None or pool.gpu_resource or container is not pool.containers[0] or not pool.nodes.is_known:
        return
    if guards.sees_host_devices(container) or not guards.on_gpus(case) or gpu_counts.is_launched_from_outside(container):
        return
    if pod.node.elements_at("spec", "resourceClaims") or any(
        devices.devices(other).resource for other in pod.node.elements_at("spec", "containers")
    ):
        return
    degrees = [(f, label) for f, label in ((pool.tensor, "tensor"), (pool.pipeline, "pipeline")) if f.is_stated and f.value > 1]
    if not degrees:
        yield from _image_for_gpus(container)
        return
    if not guards.is_literal(container.command, *gpu_counts.DEGREE_FLAGS):
        return
    needed = 1
    for fact, _ in degrees:
        needed *= fact.value
    fact, label = degrees[0]
    place = fact.place or container.place
    each = needed // pool.nodes.value if needed % pool.nodes.value == 0 else 0
    from servelint.formats.snippets import add_limit

    yield Verdict(
        place,
        f"{label}-parallel size {fact.value} needs {count(needed, 'GPU')}, and the container asks for none",
        proposals=(
            Proposal(
                f"set the limit nvidia.com/gpu: {each}",
                False,
                partial(add_limit, container.document, container.node, "nvidia.com/gpu", str(each)),
            ),
        )
        if each
        else (),
        key="none",
    )


def _is_unfinished(container: Container) -> bool:
    """A template that is made complete elsewhere: its GPUs stand in a comment, or another image is a bare name to be replaced."""
    pod = container.pod
    if pod is None:
        return True
    images = [
        other.text_at("image") or "" for key in ("containers", "initContainers") for other in pod.node.elements_at("spec", key)
    ]
    if any(image and not set(image) & set("/:@.") for image in images):
        return True
    span, text = pod.node.span, pod.document.source.text
    lines = text[span.start : span.end].splitlines()
    return any(line.lstrip().startswith("#") and "/gpu" in line for line in lines)


def _image_for_gpus(container: Container) -> Iterator[Verdict]:
    command = container.command
    if command is None or not command.complete or not container.image.is_known or not listening.is_release(command):
        return
    if command.engine not in ("vllm", "sglang") or _is_unfinished(container):
        return
    from servelint.formats.snippets import add_limit

    name = container.image.value.rpartition("/")[2]
    yield Verdict(
        container.image.place or container.place,
        f"{name} runs on GPUs only, and the container asks for none",
        proposals=(
            Proposal(
                "set the limit nvidia.com/gpu: 1",
                False,
                lambda: add_limit(container.document, container.node, "nvidia.com/gpu", "1"),
            ),
        ),
        severity=Severity.WARNING,
        certainty=Certainty.HEURISTIC,
        key="none",
    )
