"""Images: whether the engine's image is the same tomorrow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.formats import containers
from servelint.rulebook import Scope, rule
from servelint_rules import guards

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase

# Tags that move with every build. A date, a commit or a version in the tag pins it.
_VALUES = "helm-values"


@rule(
    "K8S606", "image-not-pinned", "Engine image is not pinned to a version",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    formats=(*guards.TEMPLATED, "compose", "truss", _VALUES),
)  # fmt: skip
def image_not_pinned(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The image of a container that runs an engine: no tag at all, or a tag that moves with every build (`latest`, `nightly`,
    `main`, `dev` and the like, also with a suffix such as `latest-cu129`). In the values of a Helm chart only a tag that is
    written there counts: what the chart takes without one its templates say.

    ## Why it matters

    Engines change defaults, flags and memory accounting from release to release: vLLM's memory share went from 0.90 to
    0.92, and its number of batched tokens depends on the release. With a moving tag the next rescheduled pod runs another
    engine than its neighbours, and the next push of a Truss builds on another one. No rule here that depends on a version can
    be sure of anything either.

    ## How to fix

    Name a release (`vllm/vllm-openai:v0.19.1`), or better a digest.

    ## Certainty

    Proven that the tag moves; a warning because it may be meant. Repositories that are one release's by their name are left
    out, and so are images that no registry has: built by the same compose file, or named without any repository.

    ## References

    - [Kubernetes: images, "you should avoid using the :latest tag"](https://kubernetes.io/docs/concepts/containers/images/#image-names)
    """
    container = case.container
    if (container.pod is not None and not guards.shows_all(case)) or not container.image.is_known:
        return
    if container.node.get("build") is not None or guards.is_local_image(container.image.value):
        return
    place = container.image.place
    tag = containers.tag_of(container.image.value)
    if tag is None and (_names_a_release(container.image.value) or case.deployment.format == _VALUES):
        return
    if place is None or not containers.is_moving(tag) or container.node.text_at("imagePullPolicy") == "Never":
        return
    written = container.node.get("image", "tag") or container.node.get("tag") if case.deployment.format == _VALUES else None
    if written is not None:
        place = Place.of(container.document, written)
    name = container.image.value.rpartition("/")[2]
    label = f"{name} has no tag, which means latest" if tag is None else f"the tag {tag} moves with every build"
    always = container.node.get("imagePullPolicy")
    again = container.node.text_at("imagePullPolicy") == "Always" and always is not None
    yield Verdict(
        place,
        label,
        related=(Related(Place.of(container.document, always), "every start pulls it anew"),) if again and always else (),
        proposals=(Proposal("pin the image to a release tag or a digest", False, None),),
        key=container.name,
    )


def _names_a_release(image: str) -> bool:
    """The repository itself is one release's: Google's deep learning containers (``…-cu124.2-3.ubuntu2204.py311``)."""
    parts = image.rpartition("/")[2].split(".")
    return any("-" in part and part.replace("-", "").isdecimal() for part in parts)
