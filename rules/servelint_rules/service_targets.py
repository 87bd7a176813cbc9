"""Services that select no pod: in a run of all files for certain, in one file where it shows which workload was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.formats.role_groups import label_pairs
from servelint.source.nodes import MappingNode
from servelint_rules import guards, pods
from servelint_rules.workloads import workloads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import WorkspaceCase
    from servelint.formats.run_objects import KubernetesObject
    from servelint.source.nodes import Node
    from servelint_rules.workloads import Workload

# The keys by which the RBG controller labels pods (api/workloads/constants/label.go; before, api/workloads/v1alpha1/constant.go).
_OLD = ("rolebasedgroup.workloads.x-k8s.io/name", "rolebasedgroup.workloads.x-k8s.io/role")
_NEW = ("rbg.workloads.x-k8s.io/group-name", "rbg.workloads.x-k8s.io/role-name")
_COMMON = "app.kubernetes.io/"
# Kinds whose controllers add no label without a domain to their pods but those of _GIVEN.
_PLAIN = frozenset(("Deployment", "StatefulSet", "ReplicaSet", "DaemonSet", "Pod", "LeaderWorkerSet"))
# Labels without a domain that the controllers of Job, Deployment, StatefulSet and DaemonSet give their pods.
_GIVEN = frozenset(("job-name", "controller-uid", "pod-template-hash", "controller-revision-hash"))
_Pairs = set[tuple[str, str]]


def services_without_pods(case: WorkspaceCase) -> Iterator[Verdict]:
    """Verdicts on the Services in the file of an engine that select nothing."""
    engines: dict[str, list[Workload]] = {}
    for workload in workloads(case):
        engines.setdefault(workload.path, []).append(workload)
    templates = [*_templates(case), *(each.pod.node for each in workloads(case))]
    every = [set(label_pairs(pod, "metadata", "labels")) for pod in templates]
    for service in case.objects.of_kind("Service", ("selector",)):
        selector = service.node.get("spec", "selector")
        if service.path not in engines or not isinstance(selector, MappingNode) or service.node.text_at("apiVersion") != "v1":
            continue
        wanted = set(label_pairs(selector))
        verdict = _group_verdict(case, service, selector, dict(wanted))
        plain = not any(key in _GIVEN or ("/" in key and not key.startswith(_COMMON)) for key, _ in wanted)  # else a controller's
        if verdict is None and wanted and plain and not any(wanted <= labels for labels in every):
            if case.complete:
                verdict = _nothing(service, selector, wanted)
            else:
                meant = [each for each in engines[service.path] if each.namespace in ("", service.namespace)]
                verdict = _near(service, selector, wanted, meant[0]) if len(meant) == 1 else None
        if verdict is not None:
            yield verdict


def _place(service: KubernetesObject, selector: Node) -> Place:
    return pods.key_place(service.document, service.node.get("spec"), "selector") or Place.of(service.document, selector)


def _nothing(service: KubernetesObject, selector: Node, wanted: _Pairs) -> Verdict:
    text = ", ".join(f"{key}={value}" for key, value in sorted(wanted))
    return Verdict(
        _place(service, selector),
        f"no pod of the run has the labels {text}",
        proposals=(Proposal("select labels that the pod template has", False, None),),
        key=f"service {service.name}",
    )


def _near(service: KubernetesObject, selector: MappingNode, wanted: _Pairs, workload: Workload) -> Verdict | None:
    """The labels differ from those of the only engine in the file in one pair, and that looks like a slip."""
    if (
        workload.pod.owner not in _PLAIN
        or not guards.may_lack(workload.pod)
        or any(mark in text for pair in wanted for text in pair for mark in "${}<")
    ):
        return None
    labels = dict(label_pairs(workload.pod.node, "metadata", "labels"))
    missing = [pair for pair in wanted if pair not in labels.items()]
    if len(missing) != 1 or not labels:
        return None
    key, value = missing[0]
    has = labels.get(key)
    other = next((name for name, text in labels.items() if text == value and name != key), None)
    if has is not None and (_is_slip(value, has) or _same_name(service, workload)):
        what = f"{key}={has}"
    elif has is None and other is not None and not any(name == other for name, _ in wanted):
        what = f"{other}={value}"
    else:
        return None
    entry = selector.entry(key)
    return Verdict(
        Place.of(service.document, entry[1]) if entry is not None else _place(service, selector),
        f"selects {key}={value}, which no pod of the run has; the engine in this file has {what}",
        related=(Related(workload.pool.place, "the engine"),),
        proposals=(Proposal(f"select {what}", False, None),),
        severity=Severity.WARNING,
        certainty=Certainty.HEURISTIC,
        key=f"service {service.name}",
    )


def _same_name(service: KubernetesObject, workload: Workload) -> bool:
    """The Service is called like the workload, with or without a word for what it is."""
    name = workload.pod.document.text_at("metadata", "name") or ""
    return bool(name) and any(service.name == f"{name}{end}" for end in ("", "-service", "-svc"))


def _is_slip(one: str, other: str) -> bool:
    """The same but for separators and case, or for one letter (two of a long name)."""
    plain = [text.lower().replace("-", "").replace("_", "").replace(".", "") for text in (one, other)]
    if plain[0] == plain[1]:
        return True
    if plain[0].rstrip("0123456789") == plain[1].rstrip("0123456789"):
        return False  # numbers tell siblings apart
    from servelint_rules.slips import distance  # lazy: few selectors fit nothing

    return distance(one, other) <= (2 if min(len(one), len(other)) >= 10 else 1)


def _group_verdict(
    case: WorkspaceCase, service: KubernetesObject, selector: MappingNode, wanted: dict[str, str]
) -> Verdict | None:
    """A Service for a role of a RoleBasedGroup: by the labels of an older API, or by the name of another group."""
    keys = next((keys for keys in (_OLD, _NEW) if keys[0] in wanted), None)
    groups = [g for g in case.objects.of_kind("RoleBasedGroup") if g.path == service.path]
    if keys is None or not groups:
        return None
    name, role = wanted[keys[0]], wanted.get(keys[1])
    own = next((group for group in groups if group.name == name), None)
    if own is not None:
        if keys is not _OLD or not (own.node.text_at("apiVersion") or "").endswith("/v1alpha2"):
            return None
        return _verdict(
            service, selector, keys[0], own, f"pods of {name} ({own.node.text_at('apiVersion')}) have no label {keys[0]}",
            f"select {_NEW[0]}: {name}" + (f" and {_NEW[1]}: {role}" if role else ""),
        )  # fmt: skip
    if role is None or any(role in _roles(group) for group in case.objects.called("RoleBasedGroup", name)):
        return None
    meant = [group for group in groups if role in _roles(group)]
    if len(meant) != 1:
        return None
    label = f"selects the role {role} of a group {name}; the group in this file is {meant[0].name}"
    return _verdict(service, selector, keys[0], meant[0], label, f"select {keys[0]}: {meant[0].name}")


def _roles(group: KubernetesObject) -> list[str]:
    return [role.text_at("name") or "" for role in group.node.elements_at("spec", "roles")]


def _verdict(
    service: KubernetesObject, selector: MappingNode, key: str, group: KubernetesObject, label: str, title: str
) -> Verdict:
    entry = selector.entry(key)
    named = group.node.get("metadata", "name") or group.node
    return Verdict(
        Place.of(service.document, entry[0]) if entry is not None else _place(service, selector),
        label,
        related=(Related(Place.of(group.document, named), "the group"),),
        proposals=(Proposal(title, False, None),),
        severity=Severity.WARNING,
        certainty=Certainty.HEURISTIC,
        key=f"service {service.name}",
    )


def _templates(case: WorkspaceCase) -> Iterator[Node]:
    """Every pod template of plain workloads, engines or not."""
    for kind in ("Deployment", "StatefulSet", "ReplicaSet", "DaemonSet", "Job"):
        for each in case.objects.of_kind(kind, ("template",)):
            template = each.node.get("spec", "template")
            if template is not None:
                yield template
    for each in case.objects.of_kind("Pod", ("containers",)):
        yield each.node
    for each in case.objects.of_kind("LeaderWorkerSet", ("workertemplate",)):
        for key in ("leaderTemplate", "workerTemplate"):
            template = each.node.get("spec", "leaderWorkerTemplate", key)
            if template is not None:
                yield template
