"""Plugins: found by entry point (group ``servelint``) or by path, registered with pluggy, asked once.

The entry points are read from ``*.dist-info/entry_points.txt`` on ``sys.path``: importlib.metadata alone would cost half
the start-up. Entries of ``sys.path`` that are no directories (zip files, custom importers) go through importlib.metadata.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pluggy

from servelint import hooks
from servelint.errors import UsageError
from servelint.formats.needles import ENGINE
from servelint.records import NamedTuple
from servelint.rulebook import Rule, Theme
from servelint.source.needles import Needles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from servelint.config import Config
    from servelint.engines.base import Engine
    from servelint.formats.base import Format
    from servelint.rulebook import Scope
    from servelint.source.needles import Words

GROUP = "servelint"
_BY_PATH = "path:"


class EntryPoint(NamedTuple):
    name: str
    module: str
    distribution: str


def _parse(text: str, distribution: str) -> Iterator[EntryPoint]:
    section = ""
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("["):
            section = line.strip("[]").strip()
        elif section == GROUP and "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield EntryPoint(name.strip(), value.split("[")[0].split(":")[0].strip(), distribution)


def entry_points(paths: Iterable[str]) -> list[EntryPoint]:
    """The ``servelint`` entry points of the distributions on ``paths``, sorted, each name once (the first on the path wins)."""
    found: dict[str, EntryPoint] = {}
    for path in paths:
        folder = path or "."
        if os.path.isdir(folder):
            try:
                names = sorted(os.listdir(folder))
            except OSError:
                continue  # an unreadable entry of sys.path cannot be imported from either
            for name in names:
                if not name.endswith((".dist-info", ".egg-info")):
                    continue
                try:
                    with open(os.path.join(folder, name, "entry_points.txt"), encoding="utf-8") as file:
                        text = file.read()
                except OSError:
                    continue  # most distributions have no entry points
                if GROUP in text:
                    for point in _parse(text, name.rsplit(".", 1)[0].replace("-", " ", 1)):
                        found.setdefault(point.name, point)
        elif os.path.exists(folder):
            from importlib.metadata import DistributionFinder, MetadataPathFinder  # lazy: only for zip files and the like

            for distribution in MetadataPathFinder.find_distributions(DistributionFinder.Context(path=[folder])):
                text = distribution.read_text("entry_points.txt") or ""
                for point in _parse(text, f"{distribution.metadata['Name']} {distribution.version}"):
                    found.setdefault(point.name, point)
    return [found[name] for name in sorted(found)]


def _load_file(path: str) -> Any:
    """A plugin module from a path the operator named (``--plugin``, configuration): a ``.py`` file or a package directory."""
    from importlib.util import module_from_spec, spec_from_file_location  # lazy: only for plugins given by path

    absolute = os.path.abspath(path)
    location = os.path.join(absolute, "__init__.py") if os.path.isdir(absolute) else absolute
    if not os.path.isfile(location):
        raise UsageError(f"plugin {path}: no such file; --plugin takes a .py file or a package directory")
    name = "servelint_plugin_" + os.path.basename(absolute).removesuffix(".py").replace("-", "_")
    spec = spec_from_file_location(name, location)
    if spec is None or spec.loader is None:
        raise UsageError(f"plugin {path}: not a Python module")
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class Registry:
    """Everything the plugins provide. Rules of a theme are imported when :meth:`rules_for` first needs their scope."""

    def __init__(self, plugins: Iterable[tuple[str, Any]]) -> None:
        manager = pluggy.PluginManager(hooks.PROJECT)
        manager.add_hookspecs(hooks)
        for name, plugin in plugins:
            manager.register(plugin, name=name)
            if name.startswith(_BY_PATH):
                _hooks_are_ours(manager, name, plugin)
        self.formats: tuple[Format, ...] = tuple(_readers(manager, "servelint_formats", "format"))
        self.engines: tuple[Engine, ...] = tuple(_readers(manager, "servelint_engines", "engine"))
        self._engine_needles = [frozenset(_words_of(engine.needles)) for engine in self.engines]
        self._of_engines = frozenset[str]().union(*self._engine_needles)
        self._of_formats = [_needle_sets(fmt) for fmt in self.formats]
        self._needles = Needles(self._of_engines.union(*(each for sets in self._of_formats for part in sets for each in part)))
        self._rules: dict[str, Rule] = {}
        self._of_theme: dict[str, list[Rule]] = {}
        self._themes: list[Theme] = []
        self._chosen_by: Config | None = None
        self._chosen: dict[tuple[object, ...], list[Rule]] = {}
        self._asked_for: list[Theme] = []
        self._theme_needles = Needles(())
        self._running: dict[str, list[Rule]] = {}
        for item in _rules_of(manager):
            if isinstance(item, Theme):
                self._themes.append(item)
            else:
                self._add(item)
        self._single = list(self._rules.values())

    def formats_for(self, words: Words) -> list[Format]:
        """The formats that a file of these words may be of."""
        found = self._needles.found_in(words)
        is_known = not found.isdisjoint(self._of_engines)
        return [
            fmt
            for fmt, (alone, with_engine) in zip(self.formats, self._of_formats, strict=True)
            if any(map(found.issuperset, alone)) or (is_known and any(map(found.issuperset, with_engine)))
        ]

    def names_engine(self, words: Words) -> bool:
        """Whether any engine's needle occurs in a file of these words."""
        return not self._needles.found_in(words).isdisjoint(self._of_engines)

    def engines_for(self, words: Words) -> tuple[Engine, ...]:
        """The engines to ask about such a file: those that are described, which formats may imply, and others that it names."""
        found = self._needles.found_in(words)
        return tuple(
            engine
            for engine, needles in zip(self.engines, self._engine_needles, strict=True)
            if getattr(engine, "described", True) or not found.isdisjoint(needles)
        )

    def _add(self, rule: Rule) -> None:
        other = self._rules.get(rule.code)
        if other is not None and other is not rule:
            raise UsageError(f"rule code {rule.code} is defined twice: in {other.origin} and in {rule.origin}")
        self._rules[rule.code] = rule

    def _loaded(self, theme: Theme) -> list[Rule]:
        """The rules of a theme, whose module is imported the first time."""
        rules = self._of_theme.get(theme.module)
        if rules is None:
            try:
                values = vars(import_module(theme.module)).values()
            except Exception as error:
                raise UsageError(f"the theme {theme.module} failed to load: {type(error).__name__}: {error}") from error
            rules = self._of_theme[theme.module] = [v for v in values if isinstance(v, Rule) and v.origin == theme.module]
            for rule in rules:
                self._add(rule)
            if len(rules) != len(theme.codes):
                defined = ", ".join(rule.code for rule in rules) or "none"
                raise UsageError(f"the theme {theme.module} lists the codes {', '.join(theme.codes)}, and defines {defined}")
        return rules

    def rules_for(self, scopes: frozenset[Scope], words: Words, config: Config) -> list[Rule]:
        """The rules of these scopes that are to run on a file of these words, by code.

        Themes that cannot concern such a file, or of which no rule is asked for, stay unloaded.
        """
        if self._chosen_by is not config:
            self._chosen_by, self._chosen = config, {}
            self._running = {"": [rule for rule in self._single if config.runs(rule)]}
            self._asked_for = [theme for theme in self._themes if _is_asked_for(theme, config)]
            self._theme_needles = Needles(word for theme in self._asked_for for word in theme.words)
        found = self._theme_needles.found_in(words)
        concerned = [theme for theme in self._asked_for if not theme.scopes.isdisjoint(scopes) and theme.concerns(found)]
        key = (scopes, *[theme.module for theme in concerned])
        if key not in self._chosen:
            for theme in concerned:
                if theme.module not in self._running:
                    self._running[theme.module] = [rule for rule in self._loaded(theme) if config.runs(rule)]
            modules = ("", *[theme.module for theme in concerned])
            self._chosen[key] = _sorted(rule for module in modules for rule in self._running[module] if rule.scope in scopes)
        return self._chosen[key]

    def loaded_rules(self, scopes: frozenset[Scope], config: Config) -> list[Rule]:
        """The rules of these scopes that some file of the run concerned, by code."""
        return _sorted(rule for rule in self._rules.values() if rule.scope in scopes and config.runs(rule))

    def rules(self) -> dict[str, Rule]:
        """Every rule, by code."""
        for theme in self._themes:
            self._loaded(theme)
        return dict(sorted(self._rules.items()))

    def rule(self, code: str) -> Rule | None:
        """One rule by code or alias; only the module that holds it is imported for a code."""
        for theme in self._themes:
            if code in theme.codes:
                self._loaded(theme)
        if code in self._rules:
            return self._rules[code]
        return next((r for r in self.rules().values() if code in r.aliases), None)

    def known_codes(self) -> frozenset[str]:
        """Every code without importing the themes."""
        return frozenset(self._rules) | {code for theme in self._themes for code in theme.codes}


def _needle_sets(fmt: Format) -> tuple[list[set[str]], list[set[str]]]:
    """The needle sets of a format as words: those that are enough, and those that are together with any engine's."""
    alone: list[set[str]] = []
    with_engine: list[set[str]] = []
    for needles in fmt.needles:
        words = _words_of(needle for needle in needles if needle != ENGINE)
        (with_engine if ENGINE in needles else alone).append(words)
    return alone, with_engine


def _words_of(needles: Iterable[bytes]) -> set[str]:
    """Needles as texts."""
    return {needle.decode() for needle in needles}


def _readers(manager: pluggy.PluginManager, hook: str, kind: str) -> list[Any]:
    """The formats or engines of all plugins, those of others with a check of what they give."""
    items = _provided(manager, hook)
    if all(map(_is_ours, items)):
        return items
    from servelint import plugin_checks  # lazy: most runs have no format or engine of others

    def problem(item: Any) -> str:
        return "" if _is_ours(item) else plugin_checks.problem(kind, item)

    wrong = next(filter(None, map(problem, items)), "")
    if wrong:
        _blame(manager, hook, problem=problem)
        raise UsageError(f"a plugin: {wrong}")
    return [item if _is_ours(item) else plugin_checks.checked(kind, item) for item in items]


def _rules_of(manager: pluggy.PluginManager) -> list[Any]:
    """The rules and themes of all plugins, those themes of others checked."""
    hook = "servelint_rules"
    items = _provided(manager, hook, (Rule, Theme))
    others = [item for item in items if isinstance(item, Theme) and not str(item.module).startswith("servelint_rules.")]
    if others:
        from servelint import plugin_checks  # lazy, as for formats

        if any(map(plugin_checks.problem_of_theme, others)):
            _blame(manager, hook, problem=plugin_checks.problem_of_theme)
    return items


def _is_ours(item: Any) -> bool:
    return type(item).__module__.startswith("servelint.")


def _hooks_are_ours(manager: pluggy.PluginManager, name: str, plugin: Any) -> None:
    """Raises :class:`UsageError` where a plugin has no hook, or one of a misspelt name, which would never be called."""
    callers = manager.get_hookcallers(plugin) or []
    unknown = [caller.name for caller in callers if not caller.has_spec()]
    if callers and not unknown:
        return
    problem = f"has a hook {unknown[0]}, which nobody calls" if unknown else "has no hook (a function marked @hookimpl)"
    known = "servelint_rules, servelint_formats, servelint_engines"
    raise UsageError(f"plugin {name.removeprefix(_BY_PATH)} {problem}; there are {known}")


def _provided(manager: pluggy.PluginManager, hook: str, kinds: tuple[type, ...] = (object,)) -> list[Any]:
    """What all plugins give for a hook; raises :class:`UsageError` naming the plugin whose hook fails or gives something else."""
    try:
        # pluggy calls the last registered first; reversed, the built-in ones come first whatever else is installed.
        parts = getattr(manager.hook, hook)()
        items = [item for part in reversed(parts) for item in part]
    except Exception as error:
        _blame(manager, hook)
        raise UsageError(f"a plugin's hook {hook} failed: {type(error).__name__}: {error}") from error
    # pluggy leaves out what gives None.
    if len(parts) < len(_hooks_of(manager, hook)) or not all(isinstance(item, kinds) for item in items):
        _blame(manager, hook, kinds)
    return items


def _hooks_of(manager: pluggy.PluginManager, hook: str) -> list[pluggy.HookImpl]:
    """What the plugins give for a hook; not what only stands around others'."""
    return [each for each in getattr(manager.hook, hook).get_hookimpls() if not (each.hookwrapper or each.wrapper)]


def _blame(
    manager: pluggy.PluginManager, hook: str, kinds: tuple[type, ...] = (object,), problem: Callable[[Any], str] = lambda _: ""
) -> None:
    """Raises :class:`UsageError` that names the plugin whose hook is at fault."""
    from servelint import plugin_checks  # lazy: nothing is wrong in most runs

    plugin_checks.blame(_hooks_of(manager, hook), hook, kinds, problem)


def _sorted(rules: Iterable[Rule]) -> list[Rule]:
    return sorted(rules, key=lambda rule: rule.code)


def _is_asked_for(theme: Theme, config: Config) -> bool:
    if theme.advice and not config.advises:
        return any(code in config.select for code in theme.codes)
    return any(map(config.selects, theme.codes))


def registry(plugin_paths: Iterable[str] = ()) -> Registry:
    """The installed plugins and those named by path. Raises :class:`UsageError` naming the plugin that fails to load."""
    plugins: list[tuple[str, Any]] = []
    for point in entry_points(sys.path):
        try:
            plugins.append((f"{point.distribution}:{point.name}", import_module(point.module)))
        except (Exception, SystemExit) as error:  # a foreign plugin may raise anything; its name is what the user needs
            reason = f"{type(error).__name__}: {error}"
            raise UsageError(f"plugin {point.name} ({point.distribution}) failed to load: {reason}") from error
    for path in plugin_paths:
        try:
            plugins.append((_BY_PATH + path, _load_file(path)))
        except UsageError:
            raise
        except (Exception, SystemExit) as error:
            raise UsageError(f"plugin {path} failed to load: {type(error).__name__}: {error}") from error
    return Registry(plugins)
