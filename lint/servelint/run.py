"""A run: files in, report out. ``lint_texts`` is the pure part; ``lint_paths`` reads the files for it."""

from __future__ import annotations

import gc
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from servelint import judge
from servelint.config import Config
from servelint.errors import UsageError
from servelint.file_lint import Lint, document_rule, lint_text, unreadable, unsuppressed, without_joined
from servelint.finding import Finding, NotChecked, ReadError
from servelint.plugins import Registry, registry
from servelint.records import NamedTuple
from servelint.source.reader import decode
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from servelint.case import GroupCase
    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Deployment
    from servelint.formats.run_objects import RunObjects

    Lookup = Callable[[str], Architecture | None]


class Report(NamedTuple):
    """What a run found. ``findings`` are sorted by path, then worst first, then place. ``fatal``: sentences about named
    inputs that could not be read at all. ``rules``: how many rules were run. ``state``: for :func:`lint_again`."""

    findings: tuple[Finding, ...]
    not_checked: tuple[NotChecked, ...]
    errors: tuple[ReadError, ...]
    files: int
    documents: int
    deployments: tuple[Deployment, ...]
    rules: int
    sources: Mapping[str, SourceText]
    fatal: tuple[str, ...] = ()
    state: _State | None = None


class Session(NamedTuple):
    """What stays the same over the lints of one run: configuration, plugins, the way to look up a model, and the content of the
    organization's knowledge file."""

    config: Config
    registry: Registry
    lookup: Lookup
    knowledge: Mapping[str, Any] | None = None


class _State(NamedTuple):
    """What a run read and made of each file, for a run on the same files with some of them changed.

    ``judged``: the groups of pools that were judged, with what was said, by what they consist of.
    """

    lints: tuple[Lint, ...]
    objects: RunObjects | None
    judged: dict[tuple[object, ...], tuple[GroupCase, judge.Judgement]]


def model_lookup(config: Config) -> Lookup:
    """Architectures by model id: given configurations first, then a local Hugging Face cache, then the catalogue."""

    def lookup(model: str) -> Architecture | None:
        from servelint.catalogue import models  # lazy: only manifests that name a model need the catalogue

        path = config.model_configs.get(model)
        if path is not None or config.hf_cache:
            from servelint.catalogue import local_config

            if path is not None:
                given = local_config.from_file(path, model)
                if isinstance(given, str):
                    raise UsageError(given)
                return given
            cached = local_config.from_hf_cache(config.hf_cache or "", model)
            if cached is not None:
                return cached
        return models.find(model)

    return cache(lookup)  # the deployments of a repository serve few models


def open_session(config: Config) -> Session:
    """Loads the plugins; raises :class:`UsageError` for one that fails, and for codes that select nothing."""
    plugins = registry(config.plugins)
    known = plugins.known_codes()
    engines = {engine.name for engine in plugins.engines}
    for engine in config.engine_versions:
        if engine not in engines:
            names = ", ".join(sorted(e.name for e in plugins.engines if getattr(e, "described", True)))
            raise UsageError(f"engine_versions: there is no engine {engine!r}; the known ones are {names}")
    for option, prefixes in (("select", config.select), ("ignore", config.ignore), ("severity", tuple(config.severity))):
        for prefix in prefixes:
            if not any(code.startswith(prefix) for code in known) and plugins.rule(prefix) is None:
                raise UsageError(f"{option}: no rule has the code or prefix {prefix!r}; `servelint rules` lists them")
    knowledge = None
    if config.knowledge is not None:
        from servelint.config_file import read_knowledge  # lazy: few organizations have principles of their own

        knowledge = read_knowledge(config.knowledge)
    return Session(config, plugins, model_lookup(config), knowledge)


def _order(finding: Finding) -> tuple[str, int, int, int, str, str]:
    place = finding.place
    return (finding.path, -finding.severity, place.document.index, place.span.start, finding.code, finding.identity)


def lint_texts(sources: Iterable[SourceText], session: Session, beside: Sequence[SourceText] = ()) -> Report:
    """The report on texts already read: the same texts give the same report, in the same order.

    ``beside``: files of the run that no format is asked about; what they define is joined by name where something refers to it.
    """
    collecting = gc.isenabled()
    gc.disable()  # what a lint makes is kept for the report; looking for cycles in it takes as long as the rules
    try:
        return _lint_texts(tuple(sources), session, beside)
    finally:
        if collecting:
            gc.enable()


def _lint_texts(every: tuple[SourceText, ...], session: Session, beside: Sequence[SourceText]) -> Report:
    objects = None
    if len(every) + len(beside) > 1:
        from servelint.formats.run_objects import RunObjects  # lazy: a run of one file joins nothing

        objects = RunObjects(every, beside)
    for source in beside:
        session.registry.rules_for(judge.TOGETHER, source.words, session.config)  # loads the rules that it may concern
    return _report(_State(tuple(lint_text(source, session, objects) for source in every), objects, {}), session)


def lint_again(report: Report, changed: Mapping[str, SourceText], session: Session, *, near: bool = False) -> Report:
    """The report on the same files, with those of ``changed`` in place of what they were.

    Only they are linted anew, and the files that asked for an object which one of them defines or defined. ``near``: the
    report is on the files of their projects alone, the only ones to which anything of them is joined.
    """
    state = report.state
    if state is None:
        return lint_texts(changed.values(), session)
    keys: set[tuple[str, str]] = set()
    objects = state.objects
    if objects is not None:
        from servelint.formats.run_objects import keys_of

        for path, source in changed.items():
            keys |= keys_of(source) | (keys_of(report.sources[path]) if path in report.sources else set())
        objects = objects.with_changed(changed)
    concerned = state.lints
    if near and objects is not None:
        concerned = tuple(lint for lint in concerned if any(objects.are_near(path, lint.source.path) for path in changed))
    lints = tuple(
        lint_text(changed.get(lint.source.path, lint.source), session, objects)
        if lint.source.path in changed or lint.asked & keys
        else lint
        for lint in concerned
    )
    again = _report(_State(lints, objects, dict(state.judged) if near else state.judged), session)
    if near and objects is not None:
        # Rules on the whole run see objects of other projects here, without the deployments that go with them.
        own = [each for each in again.findings if any(objects.are_near(path, each.path) for path in changed)]
        again = again._replace(findings=tuple(own))
    return again._replace(files=max(report.files, again.files), fatal=report.fatal)


def _judged_together(state: _State, session: Session) -> tuple[judge.Judgement, set[str]]:
    """What the rules say that are judged on all files together, and their codes."""
    deployments = tuple(deployment for lint in state.lints for deployment in lint.deployments)
    rules = session.registry.loaded_rules(judge.TOGETHER, session.config) if deployments else []
    if not rules:
        return judge.Judgement([], []), set()
    from servelint.case import WorkspaceCase
    from servelint.formats import role_groups  # lazy: most runs have no such rule
    from servelint.formats.run_objects import RunObjects
    from servelint.rulebook import Scope

    objects = state.objects or RunObjects([lint.source for lint in state.lints])
    on_groups = [rule for rule in rules if rule.scope is Scope.GROUP]
    groups: list[GroupCase] = []
    said: list[judge.Said] = []
    not_checked: list[NotChecked] = []
    for group in role_groups.groups_of(deployments, objects):
        key = (*(id(pool) for _, pool in group.members), group.name, group.joined_by, *(rule.code for rule in on_groups))
        if key not in state.judged:  # the case keeps its pools, so that no other can have their id
            case = judge.group_case(group)
            state.judged[key] = case, judge.judge_group(case, on_groups)
        case, judgement = state.judged[key]
        groups.append(case)
        said += judgement.said
        not_checked += judgement.not_checked
    workspace = WorkspaceCase(deployments, objects, tuple(groups), session.config.complete)
    judgement = judge.judge_workspace(workspace, [rule for rule in rules if rule.scope is Scope.WORKSPACE])
    return judge.Judgement([*said, *judgement.said], [*not_checked, *judgement.not_checked]), {rule.code for rule in rules}


def _report(state: _State, session: Session) -> Report:
    """The report on files that were linted, with what is said on them together."""
    lints = without_joined(state.lints)
    together, ran = _judged_together(state._replace(lints=tuple(lints)), session)
    said: dict[str, list[judge.Said]] = {}
    for each in chain(together.said, *(lint.said_of_others for lint in lints)):
        said.setdefault(each.verdict.place.document.source.path, []).append(each)
    paths = {lint.source.path for lint in lints}
    lints += [Lint(each[0].verdict.place.document.source) for path, each in said.items() if path not in paths]
    findings: list[Finding] = []
    for lint in lints:
        # That such a rule finds nothing in a file says little where its other files are not at hand.
        codes = lint.codes | ran if session.config.complete else lint.codes
        found = lint.findings(said.get(lint.source.path, ()), session.config)
        findings += unsuppressed(lint, found, codes, (*lint.not_checked, *together.not_checked), session)
    every = ran.union(*(lint.codes for lint in lints))
    return Report(
        tuple(sorted(findings, key=_order)),
        tuple(n for n in (*(n for lint in lints for n in lint.not_checked), *together.not_checked) if n.codes),
        tuple(e for lint in lints for e in lint.errors),
        len(state.lints),
        sum(lint.documents for lint in lints),
        tuple(d for lint in lints for d in lint.deployments),
        len(every),
        {lint.source.path: lint.source for lint in lints},
        state=state,
    )


def lint_paths(
    paths: Sequence[str],
    session: Session,
    *,
    stdin: bytes | None = None,
    stdin_filename: str = "<stdin>",
    by_template: bool = False,
) -> Report:
    """Reads the files that ``paths`` stand for (``-``: the bytes ``stdin``) and lints them.

    ``by_template``: what ``helm template`` rendered into ``stdin`` is reported under the paths of its templates, with the
    lines of ``stdin``; such a report's edits fit no file.

    A file without any needle of a format is dismissed unread. What cannot be read is an error and a finding; where nothing
    that was named could be read, ``fatal`` says so.
    """
    from servelint.source import discovery

    found = discovery.find([p for p in paths if p != discovery.STDIN], session.config)
    texts: list[SourceText] = []
    beside: list[SourceText] = []
    garbled: dict[str, SourceText] = {}
    errors = list(found.errors)
    dismissed: list[str] = []
    files = 0
    inputs: Iterable[tuple[str, bytes | ReadError]] = ((path, discovery.load(path)) for path in found.files)
    if stdin is not None:
        inputs = chain(inputs, [(stdin_filename, stdin)])
    for path, data in inputs:
        if isinstance(data, ReadError):
            errors.append(data)
            continue
        files += 1
        source = decode(path, data)
        text = source if isinstance(source, SourceText) else SourceText(path, data.decode("utf-8", "replace"))
        if discovery.holds_variables(path) or not session.registry.formats_for(text.words):
            if text is source and "apiversion" in text.words.text:
                beside.append(text)  # read only if it may define an object that one of the others refers to
            elif data is not stdin:
                dismissed.append(path)
        elif isinstance(source, ReadError):
            errors.append(source)
            garbled[path] = text  # so that the error keeps its line
        elif by_template and data is stdin and b"# Source:" in data:
            from servelint.source import rendered  # lazy: only for rendered charts

            texts += rendered.parts(source)
        else:
            texts.append(source)
    beside += _named_by(texts, dismissed)
    report = lint_texts(texts, session, beside if texts else ())
    unread = [unreadable(garbled.get(error.path, SourceText(error.path, "")), error, ()) for error in errors]
    rule = document_rule(session, "DOC101")
    said = [judge.Said(rule, verdict, "", "") for verdict in unread if session.config.selects("DOC101")]
    return report._replace(
        findings=tuple(sorted((*report.findings, *judge.findings(said, session.config)), key=_order)),
        errors=(*errors, *report.errors),
        files=files,
        sources={**report.sources, **{v.place.document.source.path: v.place.document.source for v in unread}},
        fatal=tuple(f"{error.path}: {error.message}" for error in errors) if errors and not files else (),
    )


def _named_by(texts: Sequence[SourceText], dismissed: Sequence[str]) -> list[SourceText]:
    """Those of the ``dismissed`` files whose name stands in a file that may name others by their path."""
    from servelint.formats.needles import NAMES_FILES

    naming = [text.words.text for text in texts if NAMES_FILES in text.words.text] if dismissed else []
    if not naming:
        return []
    import re  # lazy: few runs have such files

    from servelint.source import discovery

    names = {name for words in naming for name in re.findall(r"[^\s/:\"',=(){}\[\]]+", words)}
    read = ((path, discovery.load(path)) for path in dismissed if path.rpartition("/")[2].lower() in names)
    sources = [decode(path, data) for path, data in read if isinstance(data, bytes)]
    return [source for source in sources if isinstance(source, SourceText)]


def lint(paths: Sequence[str], config: Config | None = None) -> Report:
    """Lints files and folders; findings carry their verified fixes. Raises :class:`UsageError` for a bad configuration."""
    from servelint.fixes.verify import with_fixes

    session = open_session(config or Config())
    return with_fixes(lint_paths(paths, session), session)
