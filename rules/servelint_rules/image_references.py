"""K8S635: whether the engine's image is a reference that a container runtime can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode, ScalarNode
from servelint_rules import guards

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.deployment import Container
    from servelint.source.nodes import Node

# What stands for an image that something else fills in.
_PLACEHOLDER = frozenset("${}<>()%[]* \t")
_WORDS = ("replace", "your", "my", "change", "todo", "xxx", "example", "placeholder", "image", "tag", "version", "registry")
# An object whose controller joins repository and tag with a colon (k8s-nim-operator, nimservice_types.go: GetImage).
_JOINED = "NIMService"


@rule(
    "K8S635", "image-reference-invalid", "Image is not a valid reference",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
)  # fmt: skip
def image_reference_invalid(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The image of an engine against the grammar of image references: two tags, an empty one, characters that a tag may not have,
    upper case in the repository. And a `repository` in the values of a chart (or of a NIMService) that has a tag of its own,
    where a `tag` stands beside it.

    ## Why it matters

    The kubelet does not even try to pull such an image: the pod stays in `InvalidImageName`. In a chart each of the two keys
    looks right; only what the template joins, `repository:1.8.5:1.8.3`, is wrong.

    ## How to fix

    One tag, behind the repository or under `tag`.

    ## Certainty

    Proven where the reference stands in the manifest. In a chart's values it is a warning: a template might not join them.
    What is filled in later (`$`, `<…>`, `YOUR-REGISTRY`) is left out.

    ## References

    - [distribution/reference, reference.go: the grammar](https://github.com/distribution/reference/blob/main/reference.go)
    - [Kubernetes: images](https://kubernetes.io/docs/concepts/containers/images/#image-names)
    """
    for container in case.pool.containers[:1]:
        image = container.node.get("image")
        if isinstance(image, MappingNode):
            yield from _joined(container, image)
        elif isinstance(image, ScalarNode) and (case.deployment.format == "compose" or guards.is_complete(container.pod)):
            fault = fault_of(image.text)
            if fault:
                yield Verdict(Place.of(container.document, image), fault, key=container.name)
        if isinstance(image := container.node.get("spec", "image"), MappingNode):
            yield from _joined(container, image)


def _joined(container: Container, image: Node) -> Iterator[Verdict]:
    repository, tag = image.get("repository"), image.get("tag")
    if not isinstance(repository, ScalarNode) or not isinstance(tag, ScalarNode) or not tag.text:
        return
    written = f"{repository.text}:{tag.text}"
    if set(written) & _PLACEHOLDER or ":" not in repository.text.rpartition("/")[2]:
        return
    own = container.document.text_at("kind") == _JOINED
    place = Place.of(container.document, repository)
    yield Verdict(
        place,
        f"the repository has a tag, and `tag` adds another: {written} is no image",
        related=(Related(Place.of(container.document, tag), f"the second tag, {tag.text}"),),
        proposals=(Proposal(f"leave the tag to `tag`: {repository.text.rpartition(':')[0]}", False, None),),
        severity=Severity.ERROR if own else Severity.WARNING,
        certainty=Certainty.PROVEN if own else Certainty.HEURISTIC,
    )


def fault_of(reference: str) -> str:
    """What is wrong with an image reference, "" for nothing and for what something else fills in."""
    if not reference or set(reference) & _PLACEHOLDER or reference == "auto":
        return ""
    name, at, digest = reference.partition("@")
    if at and not _is_digest(digest):
        return f"{digest or 'nothing'} is no digest: algorithm:hexadecimal, such as sha256:… with 64 digits"
    folder, slash, last = name.rpartition("/")
    parts = last.split(":")
    if len(parts) > 2:
        return f"{last} has two tags"
    if len(parts) == 2 and not _is_tag(parts[1]):
        return f"the tag is empty: {last}" if not parts[1] else f"{parts[1]} is no tag: letters, digits, “_”, “.” and “-” only"
    first, below, rest = (f"{folder}{slash}{parts[0]}").partition("/")
    has_host = bool(below) and ("." in first or ":" in first or first == "localhost")
    path = rest if has_host else f"{first}{below}{rest}"
    wrong = next((each for each in path.split("/") if not _is_component(each)), None)
    if wrong is None or _stands_for_another(wrong, has_host=has_host):
        return ""
    if wrong != wrong.lower():
        return f"a repository is lower case: {wrong}"
    return f"“{wrong}” is no part of a repository's name" if wrong else f"the name of the repository has an empty part: {name}"


def _stands_for_another(component: str, *, has_host: bool) -> bool:
    """The component is a word for what is to be put in its place (``YOUR_REPO``, ``myRegistry``)."""
    lowered = component.lower()
    if component == component.upper() and component != lowered:
        return True
    return component != lowered and (not has_host or any(word in lowered for word in _WORDS))


def _is_tag(tag: str) -> bool:
    return 0 < len(tag) <= 128 and all(c.isascii() and (c.isalnum() or c in "_.-") for c in tag) and tag[0] not in ".-"


def _is_digest(digest: str) -> bool:
    algorithm, colon, value = digest.partition(":")
    return bool(colon) and algorithm[:1].isalpha() and len(value) >= 32 and all(c in "0123456789abcdefABCDEF" for c in value)


def _is_component(component: str) -> bool:
    """Words of letters and digits, joined by one dot, one or two underscores, or any number of hyphens."""
    if all(part.isascii() and part.isalnum() and part == part.lower() for part in component.split("-")):
        return True
    import re  # lazy: few names have more than single hyphens

    return re.fullmatch(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*", component) is not None
