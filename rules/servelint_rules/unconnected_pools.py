"""DIS718: pools that are called prefill and decode, and hand nothing over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import guards
from servelint_rules.kv_transfer import command_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import WorkspaceCase
    from servelint.deployment import Deployment, Pool

_WORDS = {"prefill": "prefill", "prefiller": "prefill", "decode": "decode", "decoder": "decode"}
# What makes an engine one end of a transfer.
_OPTION = {"vllm": "--kv-transfer-config", "sglang": "--disaggregation-mode"}
_FORMATS = (*guards.TEMPLATED, "compose")
_Key = tuple[str, str, str, str, str]


@rule(
    "DIS718", "pools-hand-nothing-over", "Prefill and decode pools without a way to hand the KV cache over",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.WORKSPACE, since="0.1.0",
    engines=("vllm", "sglang"), formats=_FORMATS, inputs=("other files of the run",),
)  # fmt: skip
def pools_hand_nothing_over(case: WorkspaceCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Engines of one file whose names differ in the word for the phase alone (`prefill-engine`, `decode-engine`) and of which
    neither is told of a transfer: no `--kv-transfer-config` (vLLM), no `--disaggregation-mode` (SGLang). Where one of the two
    is, see DIS703.

    ## Why it matters

    What a service is called decides nothing. Without a connector the decode engine computes the whole prompt once more, and
    what the prefill engine computed is thrown away: twice the work and the first token later than from two plain replicas.

    ## How to fix

    Configure the transfer in both: `--kv-transfer-config '{"kv_connector": "NixlConnector", "kv_role": "kv_producer"}'` in
    the prefill engine and `kv_consumer` in the decode engine, or `--disaggregation-mode prefill` and `decode`.

    ## Certainty

    Heuristic: names are taken for what they say. Only complete command lines count; Dynamo's workers, which bring a
    connector with them, are left out.

    ## References

    - [vLLM: disaggregated prefilling](https://docs.vllm.ai/en/stable/features/disagg_prefill/)
    - [SGLang: PD disaggregation](https://docs.sglang.io/advanced_features/pd_disaggregation.html)
    """
    found: dict[_Key, dict[str, list[Pool]]] = {}
    for deployment in case.deployments:
        for pool in deployment.pools if deployment.format in _FORMATS else ():
            name = pool.name if len(deployment.pools) > 1 or deployment.format == "compose" else deployment.name
            phase, stem = _phase(name)
            if phase:
                found.setdefault((*_where(deployment, pool), stem), {}).setdefault(phase, []).append(pool)
    for (_, _, _, engine, _), phases in found.items():
        prefills, decodes = phases.get("prefill", []), phases.get("decode", [])
        if not (prefills and decodes) or engine not in _OPTION or any(_connected(pool) for pool in (*prefills, *decodes)):
            continue
        option = _OPTION[engine]
        first, second = prefills[0], decodes[0]
        yield Verdict(
            second.place,
            f"{second.name} computes every prompt again: neither it nor {first.name} has {option}",
            related=(Related(first.place, f"{first.name} hands nothing over"),),
            proposals=(Proposal(f"give both {option}", False, None),),
            key=second.name,
        )


def _phase(name: str) -> tuple[str, str]:
    """(phase, name without the word for it); "" for the phase where the name has none, or both."""
    words = name.lower().replace("_", "-").replace(".", "-").split("-")
    phases = {_WORDS[word] for word in words if word in _WORDS}
    return (phases.pop() if len(phases) == 1 else "", "-".join(word for word in words if word not in _WORDS))


def _where(deployment: Deployment, pool: Pool) -> tuple[str, str, str, str]:
    """File, format, namespace and engine: pools that agree in them may be two ends."""
    namespace = deployment.document.text_at("metadata", "namespace") or ""
    return deployment.document.source.path, deployment.format, namespace, str(pool.engine.get(""))


def _connected(pool: Pool) -> bool:
    """It is told of a transfer, or may be: an option, a file or a launcher that is not at hand."""
    command = command_of(pool)
    if command is None or not command.complete or not command.arguments or "dynamo" in command.launcher:
        return True
    pod = pool.containers[0].pod
    if pod is not None and not guards.may_lack(pod):
        return True
    return any("disagg" in a.name or "kv-transfer" in a.name or a.name == "--server_role" for a in command.arguments)
