"""What a plugin's formats, engines and themes must have and give. What is wrong is one sentence: whose it is, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Deployment, Pool
from servelint.errors import UsageError
from servelint.facts import Fact, Place
from servelint.rulebook import Scope, Theme

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pluggy import HookImpl

    from servelint.engines.command import Command, Program
    from servelint.engines.versions import Version
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

# What is added where it is missing; the methods as servelint.formats.base and servelint.engines.base describe them.
_METHODS = {
    "format": ("recognise(self, document, surroundings)",),
    "engine": (
        "owns_image(self, image)", "version(self, image)", "command(self, programs, image)",
        "facts(self, command, environment)", "defaults(self, pool)",
    ),
}  # fmt: skip
_NEEDLES = {
    "format": ("sets of lower-case byte strings in UTF-8", 'needles = ((b"a word of such files", ENGINE),)'),
    "engine": ("lower-case byte strings in UTF-8", 'needles = (b"its name",)'),
}
_NAME = 'name = "a-name-of-its-own"'


def problem(kind: str, item: Any) -> str:
    """What is wrong with a ``format`` or an ``engine`` as such, and what to write instead; "" if nothing is."""
    if isinstance(item, type):
        return f"its {kind} {item.__name__} is a class; give an object of it: {item.__name__}()"
    title = f"its {kind} {type(item).__name__}"
    try:
        name, needles = getattr(item, "name", None), getattr(item, "needles", None)
        methods = [getattr(item, text.partition("(")[0], None) for text in _METHODS[kind]]
    except Exception as error:  # noqa: BLE001 - a property of a plugin may raise anything
        return f"{title} cannot be asked for its attributes: {type(error).__name__}: {error}"
    if not isinstance(name, str) or not name:
        return f"{title} has no name; add {_NAME}" if name is None else f"{title} has the name {name!r:.40}; write {_NAME}"
    wanted, example = _NEEDLES[kind]
    if needles is None:
        return f"{title} has no needles; add {example}"
    flat = needles if kind == "engine" else _flattened(needles)
    if not _is_several(flat) or not flat or not all(map(_is_needle, flat)):
        return f"{title} has needles that are no {wanted}: {needles!r:.60}; write {example}"
    for text, method in zip(_METHODS[kind], methods, strict=True):
        if not callable(method):
            return f"{title} has no {text.partition('(')[0]}; add def {text}"
    return ""


def problem_of_theme(theme: Any) -> str:
    """What is wrong with the fields of a theme; "" if nothing is, or it is none."""
    if not isinstance(theme, Theme):
        return ""
    module: Any = theme.module
    title = f"its theme {module}"
    if not isinstance(module, str):
        return f"{title} is no module's name"
    if not _is_several(theme.scopes) or not theme.scopes or not all(isinstance(scope, Scope) for scope in theme.scopes):
        return f"{title} has scopes that are none: {theme.scopes!r:.60}; write frozenset({{Scope.POOL}})"
    for field in ("codes", "words"):
        values = getattr(theme, field)
        if not isinstance(values, tuple) or not all(isinstance(value, str) for value in values):
            return f"{title} has {field} that are no tuple of texts: {values!r:.60}"
    if any(word != word.lower() for word in theme.words):
        return f"{title} has words that are not in lower case, in which they are looked for: {theme.words!r:.60}"
    return ""


def _is_several(value: Any) -> bool:
    return isinstance(value, tuple | list | set | frozenset)


def _flattened(needles: Any) -> list[Any] | None:
    if not _is_several(needles) or not all(map(_is_several, needles)):
        return None
    return [needle for each in needles for needle in each]


def _is_needle(value: Any) -> bool:
    try:
        return isinstance(value, bytes) and value.decode().lower() == value.decode()
    except UnicodeDecodeError:
        return False


class _Checked:
    """Something of a plugin's, of which everything that is not checked here is asked as it is."""

    def __init__(self, kind: str, item: Any) -> None:
        self.name: str = item.name
        self.needles = item.needles
        self._item = item
        self._title = f"{kind} {item.name} ({type(item).__module__})"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._item, name)

    def _asked(self, ask: Callable[[], Any], subject: str) -> Any:
        try:
            return ask()
        except UsageError:
            raise
        except Exception as error:
            # A plugin may raise anything; without its name nobody could tell whose it is.
            raise UsageError(f"{self._title} failed on {subject}: {type(error).__name__}: {error}") from error

    def _wrong(self, what: str, given: Any, wanted: str) -> UsageError:
        return UsageError(f"{self._title}: {what} gives {given!r:.60}, which is no {wanted}")


class CheckedFormat(_Checked):
    """A plugin's format. See :class:`servelint.formats.base.Format`."""

    def __init__(self, item: Any) -> None:
        super().__init__("format", item)

    def recognise(self, document: Document, surroundings: Surroundings) -> list[Deployment]:
        path = document.source.path
        given = self._asked(lambda: self._item.recognise(document, surroundings), path)
        if not hasattr(given, "__iter__"):
            raise self._wrong("recognise", given, "Deployments (none: return ())")
        found: list[Any] = self._asked(lambda: list(given), path)
        for each in found:
            if not isinstance(each, Deployment):
                raise self._wrong("recognise", each, "Deployment")
            if not _is_several(each.pools) or not all(isinstance(pool, Pool) for pool in each.pools):
                raise self._wrong(f"the deployment {each.name!r}", each.pools, "tuple of Pools")
            for pool in each.pools:
                if not isinstance(pool.place, Place):
                    raise self._wrong(f"the pool {pool.name!r}", pool.place, "Place")
                for path_of_fact, fact in pool.facts():
                    if not isinstance(fact, Fact):
                        raise self._wrong(f"{path_of_fact} of the pool {pool.name!r}", fact, "Fact")
        return found


class CheckedEngine(_Checked):
    """A plugin's engine. See :class:`servelint.engines.base.Engine`."""

    def __init__(self, item: Any) -> None:
        super().__init__("engine", item)

    def owns_image(self, image: str) -> bool:
        return bool(self._asked(lambda: self._item.owns_image(image), f"the image {image}"))

    def version(self, image: Fact[str]) -> Fact[Version]:
        found = self._asked(lambda: self._item.version(image), f"the image {image.get('?')}")
        if not isinstance(found, Fact):
            raise self._wrong("version", found, "Fact")
        return found

    def command(self, programs: Sequence[Program], image: str) -> Command | None:
        from servelint.engines.command import Command  # lazy: loaded with the first container that is taken apart

        found = self._asked(lambda: self._item.command(programs, image), f"the programs of {image or 'a container'}")
        if found is not None and not isinstance(found, Command):
            raise self._wrong("command", found, "Command")
        return found

    def facts(self, command: Command, environment: Mapping[str, Fact[str]]) -> dict[str, Fact[Any]]:
        return self._stated("facts", self._asked(lambda: self._item.facts(command, environment), command.launcher))

    def defaults(self, pool: Pool) -> dict[str, Fact[Any]]:
        return self._stated("defaults", self._asked(lambda: self._item.defaults(pool), f"the pool {pool.name}"))

    def _stated(self, what: str, given: Any) -> dict[str, Fact[Any]]:
        if not isinstance(given, dict):
            raise self._wrong(what, given, "dict of Facts by the fields of Pool")
        for name, fact in given.items():
            if not isinstance(Pool._field_defaults.get(name), Fact):
                raise self._wrong(what, name, "field of Pool that holds a fact")
            if not isinstance(fact, Fact):
                raise self._wrong(f"{what}[{name!r}]", fact, "Fact")
        return given


def blame(hooks: Iterable[HookImpl], hook: str, kinds: tuple[type, ...], problem: Callable[[Any], str]) -> None:
    """Asks the plugins one by one, as pluggy does not say which of them it was; raises :class:`UsageError` for the first that
    fails, gives something else than ``kinds``, or something with a ``problem``."""
    for each in hooks:
        title = f"plugin {each.plugin_name.removeprefix('path:')}"
        given: Any = ()
        try:
            given = each.function()
            items = [] if given is None else list(given)
        except Exception as error:
            raise UsageError(f"{title}: its hook {hook} failed: {type(error).__name__}: {error}") from error
        if given is None:
            raise UsageError(f"{title}: its hook {hook} gives None; return a list")
        for item in items:
            wanted = " or ".join(kind.__name__ for kind in kinds)
            other = "" if isinstance(item, kinds) else f"its hook {hook} gives {item!r:.60}, which is no {wanted}"
            wrong = other or problem(item)
            if wrong:
                raise UsageError(f"{title}: {wrong}")


def checked(kind: str, item: Any) -> CheckedFormat | CheckedEngine:
    """The item, which has no :func:`problem`, with a check of what the methods of its protocol give."""
    return CheckedFormat(item) if kind == "format" else CheckedEngine(item)
