"""DIS724: an endpoint picker that scores by prefix cache, for engines that keep none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.command import Form
from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint.source.nodes import ScalarNode, walk
from servelint_rules.kv_transfer import command_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import WorkspaceCase
    from servelint.deployment import Pool
    from servelint.engines.command import Argument, Command
    from servelint.source.nodes import Document

_SCORER = "prefix-cache-scorer"
# The plugin's older and newer names in the endpoint picker (gateway-api-inference-extension, llm-d-inference-scheduler).
_NAMES = ("prefix-cache-scorer", "precise-prefix-cache-scorer")


@rule(
    "DIS724", "prefix-scorer-without-cache", "Requests routed by a prefix cache that no engine keeps",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.WORKSPACE, since="0.1.0",
    engines=("vllm", "sglang"), inputs=("other files of the run",),
)  # fmt: skip
def prefix_scorer_without_cache(case: WorkspaceCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A file in which an endpoint picker's scheduling profile has a `prefix-cache-scorer` and in which every engine turns the
    prefix cache off (`--no-enable-prefix-caching`, `--disable-radix-cache`).

    ## Why it matters

    The scorer sends a request to where its prefix was served before, so that it need not be computed again. Without the
    cache it is computed again all the same, and the scorer only pulls requests with a common prefix onto one instance while
    others idle.

    ## How to fix

    Leave the prefix cache on (vLLM's default), at least in the prefill pool; or take the scorer out of the profiles.

    ## Certainty

    Heuristic: a benchmark may do so on purpose. Nothing is said where one engine of the file keeps its cache, or where a
    pool's options are not all known and none of them turns the cache off.

    ## References

    - [Gateway API inference extension: prefix cache aware plugin](https://gateway-api-inference-extension.sigs.k8s.io/guides/epp-configuration/prefix-aware/)
    - [vLLM: automatic prefix caching](https://docs.vllm.ai/en/stable/features/automatic_prefix_caching/)
    """
    pools: dict[str, list[Pool]] = {}
    documents: dict[str, list[Document]] = {}
    for deployment in case.deployments:
        document = deployment.document
        if _SCORER in document.source.text:
            pools.setdefault(document.source.path, []).extend(deployment.pools)
            if document not in documents.setdefault(document.source.path, []):
                documents[document.source.path].append(document)
    for path, several in pools.items():
        off = [(pool, found) for pool in several if (found := _turned_off(pool)) is not None]
        scorer = next((place for document in documents[path] if (place := _scorer(document)) is not None), None)
        if scorer is None or not off or len(off) != len(several):
            continue
        places = {command.flag_place_of(argument): pool for pool, (command, argument) in reversed(off)}  # pools may share a text
        for place, pool in reversed(places.items()):
            yield Verdict(
                place,
                f"no engine of this file keeps a prefix cache, and requests are routed by it ({_SCORER})",
                related=(Related(scorer, "the endpoint picker scores by it"),),
                proposals=(Proposal(f"leave the prefix cache on, or take {_SCORER} out", False, None),),
                key=pool.name,
            )


def _turned_off(pool: Pool) -> tuple[Command, Argument] | None:
    """The option by which the pool turns its prefix cache off."""
    command = command_of(pool)
    if command is None:
        return None
    argument = command.last("--disable-radix-cache" if command.engine == "sglang" else "--enable-prefix-caching")
    if argument is None:
        return None
    if command.engine == "sglang":
        off = argument.form is Form.BARE or (argument.value or "").lower() in ("", "true")
    else:
        off = argument.written.startswith("--no-") or (argument.value or "").lower() == "false"
    return (command, argument) if off else None


def _scorer(document: Document) -> Place | None:
    """Where a configuration in the document, of its own or in a text, gives the scorer a part."""
    for each in walk(document.root) if document.root is not None else ():
        node = each.resolved
        if isinstance(node, ScalarNode) and _SCORER in node.text:
            lines = [line.partition("#")[0] for line in node.text.splitlines()]
            words = [line.strip().removeprefix("- ") for line in lines]
            if any(word in (f"{key}: {name}", name) for word in words for key in ("pluginRef", "type") for name in _NAMES):
                span = node.span
                at = document.source.text.find(_SCORER, span.start, span.end)
                place = type(span)(at, at + len(_SCORER)) if at >= 0 else span
                return Place(document.physical, place)
    return None
