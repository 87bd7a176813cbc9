"""The Kubernetes objects of all files of a run, by kind and name, and which of several is meant; the files themselves by path.

Names connect files only where that is no guess: of several objects that bear a name, the one in the nearest directory is meant
(same file, same directory, then the directory that shares the longest path); two that are equally near are none. Two
directories that share nothing but the top of the run may be two projects, and are never joined.
"""

from __future__ import annotations

import posixpath
from functools import lru_cache
from typing import TYPE_CHECKING

from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode
from servelint.source.reader import read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from servelint.source.nodes import Document, Node
    from servelint.source.text import SourceText

# Objects that set the number of another's pods, and where each names it.
SCALERS = ("HorizontalPodAutoscaler", "ScaledObject", "PodAutoscaler")
_TARGET = ("spec", "scaleTargetRef")
# What is asked for by path, among the (kind, name) of what files ask for.
FILE = "file"


class KubernetesObject(NamedTuple):
    """``namespace`` is "" where the object does not state one: whoever applies it decides."""

    kind: str
    name: str
    namespace: str
    document: Document
    node: Node

    @property
    def path(self) -> str:
        return self.document.source.path


_Listed = tuple[KubernetesObject, tuple[str, str] | None]  # with what it scales


class RunObjects:
    """The objects of ``sources``, which are read anyway, and of ``beside``: files that no format is asked about, each read only
    when it may define an object that is asked for. ``used`` holds those of them that were read."""

    def __init__(self, sources: Sequence[SourceText], beside: Sequence[SourceText] = ()) -> None:
        self._sources = tuple(sources)
        self.beside = tuple(beside)
        self.used: dict[str, SourceText] = {}
        self._unread = {source.path: source for source in beside}
        self._top = _common([_folders(source.path) for source in (*self._sources, *self.beside)])
        self._listed: dict[SourceText, list[_Listed]] = {}
        self._telling: dict[str, list[SourceText]] = {}  # the files of `beside` that mention a kind
        self._by_path: dict[str, SourceText] | None = None
        self._by_name: dict[tuple[str, str], list[KubernetesObject]] | None = None
        self._by_kind: dict[str, list[KubernetesObject]] = {}
        self._by_target: dict[tuple[str, str], list[KubernetesObject]] = {}
        self._by_claim: dict[str, list[KubernetesObject]] = {}  # Jobs
        self._jobs = 0  # of which the claims are known

    def __bool__(self) -> bool:
        """Whether there is more than one file."""
        return len(self._sources) + len(self.beside) > 1

    def with_changed(self, changed: Mapping[str, SourceText]) -> RunObjects:
        """The objects after ``changed`` has replaced the files of those paths. A file that was read stays one that is read."""
        sources = [changed.get(source.path, source) for source in self._sources]
        beside = [changed.get(source.path, source) for source in self.beside]
        made = RunObjects(sources, beside)
        made._listed = dict(self._listed)
        if self._by_name is not None:
            made._replace_in(self, changed)
        return made

    def _replace_in(self, other: RunObjects, changed: Mapping[str, SourceText]) -> None:
        """Takes over the index of ``other``, with the objects of the changed files in place of what they were."""
        was = [source for source in (*other._sources, *other.used.values()) if source.path in changed]
        by_name = self._by_name = dict(other._by_name or {})
        self._by_kind, self._by_target = dict(other._by_kind), dict(other._by_target)
        for each, target in (pair for source in was for pair in self._listed[source]):
            by_name[each.kind, each.name] = _without(by_name[each.kind, each.name], changed)
            self._by_kind[each.kind] = _without(self._by_kind[each.kind], changed)
            if target is not None:
                self._by_target[target] = _without(self._by_target[target], changed)
        for path, source in other.used.items():
            self.used[path] = changed.get(path, source)
            del self._unread[path]
        for source in was:
            self._add(changed[source.path])

    # -- asking

    def called(self, kind: str, name: str) -> list[KubernetesObject]:
        """Every object of ``kind`` called ``name``, in the order of the files."""
        index = self._index()
        if self._unread and name:
            self._read_those(kind, (name,))
        return index.get((kind, name), [])

    def of_kind(self, kind: str, mentioning: Sequence[str] = ()) -> list[KubernetesObject]:
        """The objects of ``kind``; of the files that are read only for this, those that mention one of the words."""
        self._index()
        if self._unread:
            self._read_those(kind, mentioning)
        return self._by_kind.get(kind, [])

    def jobs_with(self, claim: str) -> list[KubernetesObject]:
        """The Jobs whose pods mount the PersistentVolumeClaim ``claim``, of any namespace."""
        jobs = self.of_kind("Job", (claim,))
        for job in jobs[self._jobs :]:
            volumes = job.node.elements_at("spec", "template", "spec", "volumes")
            for name in {volume.text_at("persistentVolumeClaim", "claimName") for volume in volumes}:
                self._by_claim.setdefault(name or "", []).append(job)
        self._jobs = len(jobs)
        return self._by_claim.get(claim, [])

    def mentions(self, *kinds: str) -> bool:
        """Whether there may be an object of one of the kinds."""
        self._index()
        return any(kind in self._by_kind for kind in kinds) or any(
            kind.lower() in source.words.text for source in self._unread.values() for kind in kinds
        )

    def nearest(
        self, document: Document, kind: str, name: str, namespace: str = "", *, others_only: bool = False
    ) -> KubernetesObject | None:
        """The object that ``document`` means by ``kind`` and ``name``; None where none is at hand, or several are equally near.

        Objects of another namespace are left out where both sides state one. ``others_only``: not those of its own file.
        """
        path = document.source.path
        found = [
            each
            for each in self.called(kind, name)
            if (not namespace or each.namespace in ("", namespace)) and not (others_only and each.path == path)
            if self.are_near(path, each.path)
        ]
        return closest(path, found)

    def scalers(self, document: Document, kind: str, name: str, namespace: str = "") -> list[KubernetesObject]:
        """The autoscalers nearest to ``document`` whose target is ``kind`` and ``name`` and which mean this one of them."""
        self._index()
        for scaler in SCALERS if self._unread else ():
            self._read_those(scaler, (name,))
        path = document.source.path
        named = [each for each in self._by_target.get((kind, name), []) if self.are_near(path, each.path)]
        found = [each for each in named if not namespace or each.namespace in ("", namespace)]
        best = max((closeness(path, each.path) for each in found), default=None)
        nearest = [each for each in found if closeness(path, each.path) == best]
        others = [other.path for other in self.called(kind, name) if other.path != path] if nearest else []
        return [each for each in nearest if all(closeness(each.path, other) < closeness(each.path, path) for other in others)]

    def file(self, path: str) -> SourceText | None:
        """The file at ``path``, as :func:`beside` gives it."""
        if self._by_path is None:
            self._by_path = {_normal(source.path): source for source in (*self.beside, *self._sources)}
        return self._by_path.get(path)

    def are_near(self, path: str, other: str) -> bool:
        """Whether the files are of one project: one lies in a directory above the other, or they share one below the top."""
        ours, theirs = _folders(path), _folders(other)
        common = _common([ours, theirs])
        return common in (len(ours), len(theirs)) or common > self._top

    # -- reading

    def _index(self) -> dict[tuple[str, str], list[KubernetesObject]]:
        if self._by_name is None:
            self._by_name = {}
            for source in self._sources:
                self._add(source)
        return self._by_name

    def _read_those(self, kind: str, names: Sequence[str]) -> None:
        telling = self._telling.get(kind)
        if telling is None:
            word = kind.lower()
            telling = self._telling[kind] = [source for source in self._unread.values() if word in source.words.text]
        wanted = [name.lower() for name in names]
        for source in telling:
            if source.path in self._unread and any(name in source.words.text for name in wanted):
                self._read(source)

    def _read(self, source: SourceText) -> None:
        self._index()
        del self._unread[source.path]
        self.used[source.path] = source
        self._add(source)

    def _add(self, source: SourceText) -> None:
        index = self._by_name if self._by_name is not None else {}
        listed = self._listed.get(source)
        if listed is None:
            listed = self._listed[source] = [(each, target_of(each)) for each in objects_of(read_text(source).documents)]
        for each, target in listed:
            index[each.kind, each.name] = [*index.get((each.kind, each.name), ()), each]  # lists may be shared with another run
            self._by_kind[each.kind] = [*self._by_kind.get(each.kind, ()), each]
            if target is not None:
                self._by_target[target] = [*self._by_target.get(target, ()), each]


def _without(found: list[KubernetesObject], changed: Mapping[str, SourceText]) -> list[KubernetesObject]:
    return [each for each in found if each.path not in changed]


def objects_of(documents: Iterable[Document]) -> Iterator[KubernetesObject]:
    """The Kubernetes objects in ``documents``, items of a List among them."""
    for document in documents:
        root = document.root
        if not isinstance(root, MappingNode):
            continue
        kind = root.text_at("kind") or ""
        listed = kind.endswith("List") and root.get("items") is not None
        for item in root.elements_at("items") if listed else [root]:
            kind = item.text_at("kind") or ""
            if kind and item.text_at("apiVersion"):
                name = item.text_at("metadata", "name") or ""
                yield KubernetesObject(kind, name, item.text_at("metadata", "namespace") or "", document, item)


@lru_cache(8)  # rules ask several times for objects of the file at hand
def _in_file(source: SourceText) -> dict[tuple[str, str], list[KubernetesObject]]:
    found: dict[tuple[str, str], list[KubernetesObject]] = {}
    for each in objects_of(read_text(source).documents):
        found.setdefault((each.kind, each.name), []).append(each)
    return found


def in_file(source: SourceText, kind: str, name: str) -> list[KubernetesObject]:
    """The objects of ``kind`` called ``name`` in one file."""
    return _in_file(source).get((kind, name), [])


def keys_of(source: SourceText) -> set[tuple[str, str]]:
    """What a file may answer: its path, kind and name of its objects, and those of the targets of its autoscalers."""
    keys: set[tuple[str, str]] = {(FILE, _normal(source.path))}
    for each in objects_of(read_text(source).documents):
        keys.add((each.kind, each.name))
        target = target_of(each)
        if target is not None:
            keys.add(("scale " + target[0], target[1]))
    return keys


def target_of(each: KubernetesObject) -> tuple[str, str] | None:
    """(kind, name) that an autoscaler scales; None for other objects. KEDA's default kind is Deployment."""
    if each.kind not in SCALERS:
        return None
    name = each.node.text_at(*_TARGET, "name")
    kind = each.node.text_at(*_TARGET, "kind") or ("Deployment" if each.kind == "ScaledObject" else "")
    return (kind, name) if name and kind else None


def beside(path: str, relative: str) -> str:
    """The path of a file that the file at ``path`` calls ``relative``, as one name for it."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(_normal(path)), relative))


def _normal(path: str) -> str:
    return posixpath.normpath(path.replace("\\", "/"))


def closeness(path: str, other: str) -> tuple[bool, int, bool]:
    """How near two files are, larger being nearer: the same file, directories in common, the same directory."""
    ours, theirs = _folders(path), _folders(other)
    return path == other, _common([ours, theirs]), ours == theirs


def _folders(path: str) -> list[str]:
    return path.replace("\\", "/").split("/")[:-1]


def _common(paths: Sequence[list[str]]) -> int:
    """How many directories from the first on the paths have in common."""
    if not paths:
        return 0
    first, last = min(paths), max(paths)
    return next((i for i, (one, two) in enumerate(zip(first, last, strict=False)) if one != two), min(len(first), len(last)))


def closest(path: str, found: Sequence[KubernetesObject]) -> KubernetesObject | None:
    """The nearest of ``found``; None where several are equally near."""
    if len(found) < 2:
        return found[0] if found else None
    ranked = [(closeness(path, each.path), each) for each in found]
    best = max(rank for rank, _ in ranked)
    nearest = [each for rank, each in ranked if rank == best]
    return nearest[0] if len(nearest) == 1 else None
