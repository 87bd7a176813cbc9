"""Which files a run reads: those named, and the manifests below the folders named."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Protocol

from servelint.finding import ReadError
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pathspec import GitIgnoreSpec

EXTENSIONS = (".yaml", ".yml", ".json")
VERSION_CONTROL = frozenset((".git", ".hg", ".svn"))
STDIN = "-"


class Selection(Protocol):
    """What of the configuration decides which files are read.

    ``exclude``: patterns as in a ``.gitignore``, relative to the folder of the configuration file ``path`` (or, without
    one, to the working directory). ``force_exclude``: they hold for files named on the command line, too.
    """

    @property
    def exclude(self) -> Sequence[str]: ...
    @property
    def force_exclude(self) -> bool: ...
    @property
    def path(self) -> str: ...


class Found(NamedTuple):
    """``files``: to be read, each once, sorted by path, named as the command line names them (``/`` between folders).

    ``named``: those of them that the command line names itself. ``errors``: one sentence each about what is missing or
    cannot be opened.
    """

    files: tuple[str, ...]
    errors: tuple[ReadError, ...]
    named: frozenset[str] = frozenset()


def find(paths: Iterable[str], config: Selection) -> Found:
    """The files that ``paths`` (files and folders; "-" is left to the caller) stand for.

    A named file is taken whatever its name. A folder is searched for ``.yaml``, ``.yml`` and ``.json`` files, except what
    ``.gitignore`` files (of the folder, below it, and above it up to the repository's root) or ``config.exclude`` leave
    out. Links to files are followed within the folder named, links to folders are not: their files are found where they
    are.
    """
    walk = _Walk(config)
    named: dict[str, str] = {}
    for path in paths:
        if path == STDIN:
            continue
        if not os.path.lexists(path):
            walk.error(path, "there is no such file or folder; check the path")
        elif os.path.isdir(path):
            walk.folder(path)
        elif not os.path.exists(path):
            walk.error(path, "a symbolic link to a file that does not exist; mend or remove it")
        elif not (config.force_exclude and walk.excluded(path, False)):
            named.setdefault(os.path.realpath(path), _shown(path))
    clean = [path for path in {**walk.files, **named}.values() if walk.nameable(path)]
    clean.sort(key=lambda path: path.split("/"))
    return Found(tuple(clean), tuple(sorted(walk.errors)), frozenset(named.values()).intersection(clean))


def load(path: str) -> bytes | ReadError:
    """The bytes of a file, or one sentence about why there are none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        return ReadError(path, 0, 0, _cannot(error))


def holds_variables(path: str) -> bool:
    """Whether the file's name says that it holds lines of NAME=VALUE (``.env``, ``vllm.env``, ``.env.production``), no YAML."""
    name = path.rpartition("/")[2]
    return name.endswith(".env") or (name.startswith(".env") and not name.endswith(EXTENSIONS))


def _cannot(error: OSError) -> str:
    reason = (error.strerror or str(error)).lower()
    if isinstance(error, PermissionError):
        return f"cannot be read ({reason}); allow reading it, or exclude it"
    return f"cannot be read ({reason}); check the path"


def _shown(path: str) -> str:
    """``path`` as people see it: no ``./`` before it, no ``//`` in it, but ``..`` left alone (it may follow a link)."""
    parts = path.replace(os.sep, "/").split("/")
    kept = [part for i, part in enumerate(parts) if part not in (".", "") or (i == 0 and part == "")]
    return "/".join(kept) or ("/" if path.startswith(os.sep) else ".")


class _Rules(NamedTuple):
    """The patterns of one ``.gitignore`` (or of the configuration), which hold below ``folder`` (a real path)."""

    folder: str
    spec: GitIgnoreSpec

    def verdict(self, real: str, is_folder: bool) -> bool | None:
        """True: left out, False: taken again by a negated pattern, None: not mentioned."""
        prefix = self.folder if self.folder.endswith(os.sep) else self.folder + os.sep
        if not real.startswith(prefix):
            return None
        relative = real[len(prefix) :].replace(os.sep, "/")
        return self.spec.check_file(relative + "/" if is_folder else relative).include


def _rules(folder: str, lines: Iterable[str]) -> _Rules | None:
    from pathspec import GitIgnoreSpec  # lazy: 10 ms that only a search with ignore rules has to pay

    kept = [line for line in lines if line.strip() and not line.startswith("#")]
    if not kept:
        return None
    good = []
    for line in kept:
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError:
            continue  # git ignores a pattern that is none, too
        good.append(line)
    return _Rules(folder, GitIgnoreSpec.from_lines(good))


class _Walk:
    """The search of folders: what it has found and what it could not open."""

    def __init__(self, config: Selection) -> None:
        self.files: dict[str, str] = {}  # real path → as people see it
        self.errors: set[ReadError] = set()
        base = os.path.dirname(config.path) or os.curdir
        self._excludes = _rules(os.path.realpath(base), config.exclude) if config.exclude else None
        self._visited: set[str] = set()

    def error(self, path: str, message: str) -> None:
        self.errors.add(ReadError(_printable(_shown(path)), 0, 0, message))

    def nameable(self, path: str) -> bool:
        """Reports use UTF-8: a name that is not of it cannot be shown or written to a report."""
        try:
            path.encode("utf-8")
        except UnicodeEncodeError:
            self.error(path, "the name is not valid UTF-8; rename the file")
            return False
        return True

    def excluded(self, path: str, is_folder: bool) -> bool:
        """Whether the configuration leaves ``path`` out, itself or by a folder it is in."""
        if self._excludes is None:
            return False
        real = os.path.join(os.path.realpath(os.path.dirname(path) or os.curdir), os.path.basename(path))
        return self._excludes.verdict(real, is_folder) is True

    def folder(self, path: str) -> None:
        """Search the folder ``path``, named on the command line: it is searched even if a pattern names it."""
        root = os.path.realpath(path)
        if self.excluded(root, True):
            return
        above = _rules_above(root)
        if any(rules.verdict(root, True) for rules in above):
            above = []
        pending = [(_shown(path), root, above)]
        links: list[tuple[str, str]] = []
        while pending:
            shown, real, rules = pending.pop()
            if real in self._visited:
                continue
            self._visited.add(real)
            try:
                with os.scandir(real) as entries:
                    inside = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                self.error(shown, _cannot(error))
                continue
            if any(entry.name == ".gitignore" for entry in inside):
                rules = rules + list(_gitignore(real))
            pending += reversed(list(self._entries(shown, inside, rules, links)))
        self._links(root, links)

    def _entries(
        self, shown: str, inside: list[os.DirEntry[str]], rules: list[_Rules], links: list[tuple[str, str]]
    ) -> Iterator[tuple[str, str, list[_Rules]]]:
        """Takes the files of a folder and yields its folders."""
        for entry in inside:
            name = f"{shown}/{entry.name}" if shown not in (".", "/") else (entry.name if shown == "." else f"/{entry.name}")
            is_folder = entry.is_dir(follow_symlinks=False)
            if not is_folder and not entry.name.lower().endswith(EXTENSIONS):
                continue
            if (is_folder and entry.name in VERSION_CONTROL) or self._left_out(entry.path, is_folder, rules):
                continue
            if is_folder:
                yield name, entry.path, rules
            elif entry.is_symlink():
                links.append((name, entry.path))
            elif entry.is_file(follow_symlinks=False):
                self.files[entry.path] = name

    def _left_out(self, real: str, is_folder: bool, rules: list[_Rules]) -> bool:
        if self._excludes is not None and self._excludes.verdict(real, is_folder):
            return True
        for each in reversed(rules):
            verdict = each.verdict(real, is_folder)
            if verdict is not None:
                return verdict
        return False

    def _links(self, root: str, links: list[tuple[str, str]]) -> None:
        """Links to files are taken last, and only if what they point to is below the root and was not found itself."""
        prefix = root if root.endswith(os.sep) else root + os.sep
        for name, path in links:
            target = os.path.realpath(path)
            if not os.path.exists(path):
                self.error(name, "a symbolic link to a file that does not exist; mend or remove it")
            elif target.startswith(prefix) and target not in self.files and stat.S_ISREG(os.stat(target).st_mode):
                self.files[target] = name


def _printable(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _gitignore(folder: str) -> Iterator[_Rules]:
    try:
        with open(os.path.join(folder, ".gitignore"), encoding="utf-8", errors="replace") as file:
            rules = _rules(folder, file.read().splitlines())
    except OSError:
        return  # unreadable ignore rules leave nothing out
    if rules is not None:
        yield rules


def _rules_above(root: str) -> list[_Rules]:
    """The ignore rules of the folders from the repository's root down to the parent of ``root``; none outside of one."""
    folders = []
    folder = root
    while not os.path.exists(os.path.join(folder, ".git")):
        parent = os.path.dirname(folder)
        if parent == folder:
            return []
        folder = parent
        folders.append(folder)
    return [rules for folder in reversed(folders) for rules in _gitignore(folder)]
