"""CLI108: what Kubernetes puts into a pod for the Services around it, read by the engine as its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode, ScalarNode
from servelint_rules import guards, pods
from servelint_rules.workloads import is_beside, workloads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import WorkspaceCase
    from servelint.deployment import Container
    from servelint.finding import Edit
    from servelint.formats.run_objects import KubernetesObject
    from servelint_rules.workloads import Workload

# Read in every start (vllm/utils/network_utils.py, get_open_port); the others only where the feature is used.
_ALWAYS_READ = "VLLM_PORT"


@rule(
    "CLI108", "service-name-collides-with-env", "Service whose name sets a variable that the engine reads",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.WORKSPACE, since="0.1.0",
    formats=guards.TEMPLATED, fixable=True, inputs=("other files of the run",),
)  # fmt: skip
def service_name_collides_with_env(case: WorkspaceCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Services in the namespace of a vLLM pod whose name makes a variable of vLLM: for a Service `vllm` the kubelet sets
    `VLLM_PORT=tcp://10.0.0.1:8000` in every pod that starts after it. Headless Services make no variables; a pod with
    `enableServiceLinks: false`, or one that sets the variable itself, is safe.

    ## Why it matters

    vLLM takes `VLLM_PORT` for the port of its own processes and stops: "VLLM_PORT 'tcp://…' appears to be a URI" (before 0.9
    with the bare error of `int()`). It does so after the weights are loaded, and nothing in the log names the Service.
    It may work at first: the variables are only there if the Service existed when the pod started.

    ## How to fix

    Set `enableServiceLinks: false` in the pod's spec, which changes nothing else for an engine that is reached by DNS; or
    rename the Service, and everything that asks for it.

    ## Certainty

    Proven for `VLLM_PORT`. Other variables of that kind (`VLLM_NIXL_SIDE_CHANNEL_PORT`, from a Service
    `vllm-nixl-side-channel`) are read only with their feature, so for them it is a warning. The Service and the pod state
    the same namespace, or neither does and they stand in one file or directory. A warning, too, where their directories
    share nothing but the top of the run, which may be two projects, and where a ConfigMap or Secret that the pod needs is
    not at hand and may set the variable; nothing is said where the command line then refers to it, or where the script of
    the container sets it or takes it away.

    ## References

    - [Kubernetes: environment variables of Services](https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables)
    - vLLM, `vllm/envs.py`: `get_vllm_port`
    - [vllm#15613](https://github.com/vllm-project/vllm/issues/15613), [vllm#34199](https://github.com/vllm-project/vllm/issues/34199),
      [GenAIInfra#612](https://github.com/opea-project/GenAIInfra/pull/612)
    """
    found = [(each, _prefix(each)) for each in case.objects.of_kind("Service", ("vllm",))]
    services = [(each, prefix) for each, prefix in found if prefix.startswith("VLLM") and _has_address(each) and _is_read(prefix)]
    if not services:
        return
    for workload in workloads(case):
        beside = [(each, f"{prefix}_PORT") for each, prefix in services if is_beside(workload, each)]
        links = (workload.pod.node.text_at("spec", "enableServiceLinks") or "true").lower() != "false"
        if not beside or not links or not guards.may_lack(workload.pod):
            continue
        for each, variable in beside:
            if (container := _reads(workload, variable)) is not None:
                sure = case.objects.are_near(workload.path, each.path) and not _may_set_it(case, container)
                yield _verdict(workload, container, each, variable, sure=sure)


def _prefix(service: KubernetesObject) -> str:
    return service.name.upper().replace("-", "_")


def _has_address(service: KubernetesObject) -> bool:
    """It gets a cluster IP: neither headless nor an alias (pkg/kubelet/envvars, FromServices)."""
    spec = service.node.get("spec")
    if spec is None or service.node.text_at("apiVersion") != "v1":
        return False
    return spec.text_at("clusterIP") != "None" and spec.text_at("type") != "ExternalName"


def _is_read(prefix: str) -> bool:
    """vLLM reads the variable of the Service as a number."""
    from servelint.engines.flags import environment_table  # lazy: only beside a Service of such a name

    flag = environment_table("vllm").flag(f"{prefix}_PORT")
    return flag is not None and flag.kind_at(None) == "int"


def _reads(workload: Workload, variable: str) -> Container | None:
    """The container of the pod whose engine reads ``variable`` and does not get it otherwise."""
    for container in workload.pool.containers:
        if container.engine != "vllm" or container.pod is None or container.pod.node is not workload.pod.node:
            continue
        if container.variable(variable) is None and not _is_settled(container, variable):
            return container
    return None


def _is_settled(container: Container, variable: str) -> bool:
    """The script sets the variable or takes it away; or the command line refers to it, and it then stands in what ``envFrom``
    names, which wins over that of a Service (pkg/kubelet/kubelet_pods.go, makeEnvironmentVariables)."""
    text = "\n".join(text for key in ("command", "args") for text in pods.texts(container.node.get(key)))
    references = sum(text.count(f"{mark}{variable}") for mark in ("$", "${", "$("))
    return text.count(variable) > references or (references > 0 and bool(container.open_environment))


def _may_set_it(case: WorkspaceCase, container: Container) -> bool:
    """A ConfigMap or Secret that must be there, and is not at hand, may set the variable."""
    for item in container.node.elements_at("envFrom"):
        reference = item.get("configMapRef") or item.get("secretRef")
        if reference is None or (reference.text_at("optional") or "").lower() == "true":
            continue
        if item.get("configMapRef") is None or len(case.objects.called("ConfigMap", reference.text_at("name") or "")) != 1:
            return True
    return False


def _verdict(workload: Workload, container: Container, service: KubernetesObject, variable: str, *, sure: bool) -> Verdict:
    """``sure``: the two are of one project, and nothing else may set the variable."""
    name = service.node.get("metadata", "name") or service.node
    port = service.node.text_at("spec", "ports", 0, "port") or "…"
    always = sure and variable == _ALWAYS_READ
    spec = workload.pod.node.get("spec")
    document = workload.pod.document

    def edits() -> tuple[Edit, ...] | None:
        from servelint.source.edits import insert_entry  # lazy: only findings edit

        return insert_entry(document, spec, "enableServiceLinks", "false", None) if isinstance(spec, MappingNode) else None

    links = pods.key_place(document, spec, "enableServiceLinks")
    proposal = Proposal("set enableServiceLinks: false in the pod's spec", True, None if links is not None else edits)
    return Verdict(
        Place.of(service.document, name),
        f"pods of {workload.deployment.name} get {variable}=tcp://…:{port} for it, which vLLM reads as a port",
        related=(Related(_label(container), f"vLLM runs here, in the namespace {workload.namespace or 'of the Service'}"),),
        proposals=(proposal,),
        severity=Severity.ERROR if always else Severity.WARNING,
        certainty=Certainty.PROVEN if always else Certainty.HEURISTIC,
        key=workload.deployment.name,
    )


def _label(container: Container) -> Place:
    name = container.node.get("name")
    return Place.of(container.document, name if isinstance(name, ScalarNode) else container.node)
