"""Models that are fetched to the path which an engine serves: by its own script, by an init container of its pod, or by a Job
that fills the claim which its pod mounts.

What fetches is ``hf download`` (``huggingface-cli download``), ``modelscope download``, ``git clone`` of a hub's repository, a
call of ``snapshot_download`` in a line of Python, or the downloader of kthena. A path is found again in another container by
the volume that both mount.

Sources: huggingface_hub 0.20 to 1.0 (``commands/download.py``, ``cli/download.py``); modelscope 1.20 (``cli/download.py``);
kthena 0.1 to 1.0, ``python/kthena/downloader``.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from servelint.engines import shell
from servelint.engines.command import Form
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import model_uris, mounted_files
from servelint.formats.environment import environment
from servelint.records import NamedTuple
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from servelint.deployment import Pool
    from servelint.engines.command import Command, Program, Word
    from servelint.formats.base import Surroundings
    from servelint.formats.run_objects import RunObjects
    from servelint.source.nodes import Document, Node

_TARGETS = ("--local-dir", "--local_dir", "--output-dir")
_SOURCES = ("--model", "--source")
_FLAGS = frozenset(("--quiet", "--force-download", "--resume-download", "--dry-run", "--no-quiet"))  # those without a value
_SEVERAL = ("--include", "--exclude")
_HUBS = ("huggingface.co", "hf-mirror.com", "modelscope.cn", "www.modelscope.cn")
_LITERAL = r"""(?:[rf]?["']([^"'\n]+)["']|os\.(?:environ(?:\.get\(|\[)|getenv\()\s*["'](\w+)["'][^)\],]{0,100}[\])])"""
_CALL = r"\bsnapshot_download\(([^()]*(?:\([^()]*\)[^()]*)*)\)"
_SOURCE = rf"(?:^|\b(?:repo_id|model_id)\s*=)\s*{_LITERAL}"
_TARGET = rf"\blocal_dir\s*=\s*{_LITERAL}"
_PART = r"\b(?:repo_type\s*=\s*[\"'](?:dataset|space)|allow_patterns\s*=\s*[\"'\[][^*\]]{0,2000}[\"'\]]\s*[,)])"


class _Download(NamedTuple):
    """``source``: as the command names the model. ``target``: the directory. ``place``: of the source."""

    source: str
    target: str
    place: Place


def may_fetch(template: Node, container: Node) -> bool:
    """Whether a container of the pod has words of a download; cheap, for pods whose engine serves a path."""
    holders = (container, *template.elements_at("spec", "initContainers"))
    items = (item for holder in holders for key in ("command", "args") for item in holder.elements_at(key))
    return any(word in item.text for item in items if isinstance(item, ScalarNode) for word in ("download", "clone", "--source"))


def fetched(pool: Pool, programs: Sequence[Program], surroundings: Surroundings | None = None) -> Pool:
    """The pool with the model that is downloaded to the path its engine serves; as it is, where none is.

    ``programs``: what the engine's container runs. ``surroundings``: of a pod. Two models at one path are none.
    """
    container = pool.containers[0]
    pod, served = container.pod, _served_path(pool)
    if container.command is None or not served:
        return pool
    here = _before(programs, container.command)
    found = [
        each for each in _downloads(container.document, container.node, here, container.environment) if each.target == served
    ]
    if pod is not None and surroundings is not None:
        wanted = _on_volume(container.node, served)
        for init in pod.node.elements_at("spec", "initContainers"):
            found += [each for each in _of_container(pod.document, init, surroundings) if _on_volume(init, each.target) == wanted]
    return _with_model(pool, found)


def staged(pool: Pool, surroundings: Surroundings, run: RunObjects) -> Pool:
    """The pool with the model that a Job at hand downloads to the place in a PersistentVolumeClaim which its engine serves."""
    document = pool.containers[0].document
    claim, path = _served_claim(pool)
    namespace = document.text_at("metadata", "namespace") or ""
    found: list[_Download] = []
    for job in run.jobs_with(claim) if claim else ():
        near = run.are_near(document.source.path, job.path) and (not namespace or job.namespace in ("", namespace))
        template = job.node.get("spec", "template")
        if not near or template is None:
            continue
        filled = [
            each
            for key in ("initContainers", "containers")
            for container in template.elements_at("spec", key)
            if may_fetch(template, container)
            for each in _of_container(job.document, container, surroundings)
            if _on_claim(template, container, each.target) == (claim, path)
        ]
        if filled:
            surroundings.elsewhere(job.kind, job.name)  # what is verified with a change of that file depends on it
        found += filled
    return _with_model(pool, found)


def _served_claim(pool: Pool) -> tuple[str, str]:
    """(claim, path in it) that the engine serves; ("", "") where it serves none."""
    container, place = pool.containers[0], pool.model.place
    served = _served_path(pool)
    claim = _on_claim(container.pod.node, container.node, served) if container.pod is not None and served else ("", "")
    if claim[0]:
        return claim
    address = place.document.source.text[place.span.start : place.span.end].strip("\"'") if place is not None else ""
    name, _, path = address.removeprefix("pvc://").partition("/")
    return (name, posixpath.normpath(path)) if address.startswith("pvc://") else ("", "")


def _on_claim(template: Node, container: Node, path: str) -> tuple[str, str]:
    """(claim, path in it) of a path of the container; ("", "") where it is on no claim."""
    name, inside = _on_volume(container, path)
    for volume in template.elements_at("spec", "volumes") if name else ():
        claim = volume.text_at("persistentVolumeClaim", "claimName") if volume.text_at("name") == name else None
        if claim and "$" not in claim and "{" not in claim:
            return claim, inside
    return "", ""


def _with_model(pool: Pool, found: Sequence[_Download]) -> Pool:
    """The pool with the one model that ``found``, downloads to the path it serves, name."""
    models = {name for each in found if (name := _named(each.source))}
    if len(models) != 1:
        return pool
    first = next(each for each in found if _named(each.source))
    origin = Origin(OriginKind.DERIVED, f"{first.source} is downloaded to {first.target}", first.place)
    return pool._replace(model=Fact.known(model_uris.NAME, models.pop(), origin))


def _of_container(document: Document, container: Node, surroundings: Surroundings) -> list[_Download]:
    """The downloads of a container that does nothing else."""
    variables = environment(document, container, None, surroundings)
    command, args = container.elements_at("command"), container.elements_at("args")
    return list(_downloads(document, container, shell.programs(document, command, args, variables), variables))


def _served_path(pool: Pool) -> str:
    """The path that the command line serves; "" where it serves none, or none that can be read."""
    command = pool.containers[0].command
    first = command.arguments[0] if command is not None and command.arguments else None
    for argument in command.arguments if command is not None else ():
        if argument.name in ("--model", "--model-path", "--model-id") or (argument is first and argument.form is Form.POSITIONAL):
            path = "" if argument.value_is_unknown else (argument.value or "").strip()
            return posixpath.normpath(path) if path.startswith(("/", "./")) else ""
    return ""


def _before(programs: Sequence[Program], command: Command) -> list[Program]:
    """What runs before the engine. A change of the directory leaves relative paths open, so that only what follows it counts."""
    found: list[Program] = []
    for program in programs:
        if program is command.program:
            return found
        found = [] if program.names[:1] and program.names[0] in ("cd", "pushd") else [*found, program]
    return []


def _on_volume(container: Node, path: str) -> tuple[str, str]:
    """(volume, path in it); ("", path) for one that is on none."""
    best: tuple[int, tuple[str, str]] = (-1, ("", path))
    for mount in container.elements_at("volumeMounts"):
        at = posixpath.normpath(mount.text_at("mountPath") or "/")
        if mounted_files.holds(at, path) and len(at) > best[0] and mount.get("subPathExpr") is None:
            inside = posixpath.join(mount.text_at("subPath") or "", path[len(at) :].lstrip("/"))
            best = len(at), (mount.text_at("name") or "", posixpath.normpath(inside))
    return best[1]


def _named(source: str) -> str:
    from servelint.engines.model_names import hub_id  # lazy: few pods download their model

    if "://" in source:
        return model_uris.hub_id(source) or model_uris.by_path(source)
    try:
        return hub_id(source)
    except ValueError:
        return model_uris.by_path(source)


def _downloads(
    document: Document, container: Node, programs: Sequence[Program], variables: Mapping[str, Fact[str]]
) -> Iterator[_Download]:
    for program in programs:
        yield from _of_command(document, program)
        for word in program.words:
            if "snapshot_download(" in word.text:
                yield from _of_python(document, word.node, word.text, variables)
    for item in (*container.elements_at("command"), *container.elements_at("args")):
        if isinstance(item, ScalarNode) and "snapshot_download(" in item.text and "<<" in item.text:
            yield from _of_python(document, item, item.text, variables)


def _of_command(document: Document, program: Program) -> Iterator[_Download]:
    names = program.names
    for index, name in enumerate(names[:-1]):
        if names[index + 1] == "download" and name in ("hf", "huggingface-cli", "modelscope", "huggingface_cli", "hf_cli"):
            yield from _of_options(document, program.words[index + 2 :])
        elif name == "git" and "clone" in names[index + 1 : index + 4]:
            yield from _of_clone(document, program.words[names.index("clone", index) + 1 :])
    if "--source" in names and "--output-dir" in names:
        yield from _of_options(document, program.words)


def _of_options(document: Document, words: Sequence[Word]) -> Iterator[_Download]:
    """``[REPO] [--option VALUE …]``. Who names single files fetches a part of the repository."""
    options: dict[str, Word] = {}
    positional: list[Word] = []
    index = 0
    while index < len(words):
        word = words[index]
        name, equals, value = word.text.partition("=")
        index += 1
        if not name.startswith("-"):
            positional.append(word)
        elif equals:
            options[name] = word._replace(text=value, start=word.start + len(name) + 1 if word.start >= 0 else -1)
        elif name not in _FLAGS and index < len(words):
            options[name] = words[index]
            index += 1
            while name in _SEVERAL and index < len(words) and "/" not in words[index].text and words[index].text[:1] != "-":
                index += 1
    kinds = options.get("--repo-type") or options.get("--repo_type")
    source = next((options[name] for name in _SOURCES if name in options), positional[0] if positional else None)
    target = next((options[name] for name in _TARGETS if name in options), None)
    if source is None or target is None or source.variable or target.variable or len(positional) > 1:
        return
    if kinds is None or kinds.text == "model":
        yield _Download(source.text.strip(), posixpath.normpath(target.text), _place(document, source))


def _of_clone(document: Document, words: Sequence[Word]) -> Iterator[_Download]:
    plain = [word for word in words if not word.text.startswith("-")]
    address = next((word for word in plain if "://" in word.text), None)
    if address is None or plain[-1] is address or plain[-1].variable:
        return
    host, _, path = address.text.partition("://")[2].rpartition("@")[2].partition("/")  # a token may stand in front
    names = path.removesuffix(".git").strip("/").split("/")
    if host in _HUBS and "$" not in path and len(names) >= 2 and names[0] not in ("datasets", "spaces"):
        yield _Download("/".join(names[-2:]), posixpath.normpath(plain[-1].text), _place(document, address))


def _of_python(document: Document, node: ScalarNode, text: str, variables: Mapping[str, Fact[str]]) -> Iterator[_Download]:
    for call in re.finditer(_CALL, text):
        said = call.group(1).strip()
        source, target = re.search(_SOURCE, said), re.search(_TARGET, said)
        if source is None or target is None or re.search(_PART, f"{said})"):
            continue
        values = [_value(match, variables) for match in (source, target)]
        if all(values):
            start = node.text.find(source.group(1)) if source.group(1) else -1
            span = node.source_span(document.source, start, start + len(source.group(1))) if start >= 0 else None
            place = Place(document.physical, span) if span is not None else Place.of(document, node)
            yield _Download(values[0], posixpath.normpath(values[1]), place)


def _value(match: re.Match[str], variables: Mapping[str, Fact[str]]) -> str:
    """A literal, or what the environment has; "" for what is put together."""
    literal, variable = match.group(1), match.group(2)
    if variable:
        fact = variables.get(variable)
        return fact.get("") if fact is not None else ""
    return "" if any(mark in literal for mark in "{$") else literal


def _place(document: Document, word: Word) -> Place:
    return Place(document.physical, word.span) if word.span is not None else Place.of(document, word.node)
