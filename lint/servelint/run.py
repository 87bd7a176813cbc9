"""A run: files in, report out. ``lint_texts`` is the pure part; ``lint_paths`` reads the files for it."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from servelint import judge
from servelint.config import Config
from servelint.errors import UsageError
from servelint.facts import Place
from servelint.finding import Finding, NotChecked, ReadError, Verdict
from servelint.plugins import Registry, registry
from servelint.records import NamedTuple
from servelint.resolve import complete
from servelint.source.reader import decode, haystack, read_text
from servelint.source.text import SourceText, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Deployment
    from servelint.rulebook import Rule
    from servelint.source.nodes import Comment, Document

    Lookup = Callable[[str], Architecture | None]


class Report(NamedTuple):
    """What a run found. ``findings`` are sorted by path, then worst first, then place. ``fatal``: sentences about named
    inputs that could not be read at all. ``rules``: how many rules were run."""

    findings: tuple[Finding, ...]
    not_checked: tuple[NotChecked, ...]
    errors: tuple[ReadError, ...]
    files: int
    documents: int
    deployments: tuple[Deployment, ...]
    rules: int
    sources: Mapping[str, SourceText]
    fatal: tuple[str, ...] = ()


class Session(NamedTuple):
    """What stays the same over the lints of one run: configuration, plugins and the way to look up a model."""

    config: Config
    registry: Registry
    lookup: Lookup


class _Reading:
    """The surroundings a format recognises a document in; collects what it reports."""

    def __init__(self, session: Session) -> None:
        self.engines = session.registry.engines
        self.documents: Sequence[Document] = ()
        self.problems: list[tuple[str, Verdict, str]] = []

    def problem(self, code: str, verdict: Verdict, deployment: str = "") -> None:
        self.problems.append((code, verdict, deployment))


class _Lint:
    """One file's lint: everything of it before the files are put together."""

    def __init__(self) -> None:
        self.said: list[judge.Said] = []
        self.not_checked: list[NotChecked] = []
        self.errors: list[ReadError] = []
        self.deployments: list[Deployment] = []
        self.documents = 0
        self.findings: list[Finding] = []
        self.codes: set[str] = set()


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

    return lookup


def open_session(config: Config) -> Session:
    """Loads the plugins; raises :class:`UsageError` for one that fails, and for codes that select nothing."""
    plugins = registry(config.plugins)
    known = plugins.known_codes()
    for option, prefixes in (("select", config.select), ("ignore", config.ignore), ("severity", tuple(config.severity))):
        for prefix in prefixes:
            if not any(code.startswith(prefix) for code in known) and plugins.rule(prefix) is None:
                raise UsageError(f"{option}: no rule has the code or prefix {prefix!r}; `servelint rules` lists them")
    return Session(config, plugins, model_lookup(config))


def _document_rule(session: Session, code: str) -> Rule:
    rule = session.registry.rule(code)
    if rule is None:
        raise LookupError(f"a format reported {code}, which no plugin defines")
    return rule


def _unreadable(source: SourceText, error: ReadError, documents: Sequence[Document]) -> Verdict:
    """A read error as a verdict, placed where it says."""
    from servelint.source.nodes import Document  # already loaded by the reader

    starts = source.line_starts
    line = min(max(error.line, 1), len(starts))
    begin = min(starts[line - 1] + max(error.column, 1) - 1, len(source.text))
    document = Document(source, len(documents), None, Span(begin, begin))
    place = Place(document, Span(begin, min(begin + 1, len(source.text))))
    return Verdict(place, error.message, key=f"document {len(documents)}")


def _suppress(
    lint: _Lint, source: SourceText, documents: Sequence[Document], comments: Sequence[Comment], session: Session
) -> None:
    """Drops suppressed findings and reports the suppressions that cover nothing."""
    if "servelint:" not in source.text:
        return
    from servelint.suppression import suppressions  # lazy: few files have any

    every = suppressions(source, documents, comments)
    used: set[tuple[int, str]] = set()
    kept = []
    for finding in lint.findings:
        covering = [i for i, s in enumerate(every) if s.covers(finding)]
        used.update((i, finding.code) for i in covering)
        if not covering:
            kept.append(finding)
    lint.findings = kept
    rule = session.registry.rule("DOC104")
    if rule is None or not session.config.selects("DOC104"):
        return
    unchecked = {code for item in lint.not_checked for code in item.codes}
    said = []
    for i, suppression in enumerate(every):
        document = suppression.document or (documents[0] if documents else None)
        if document is None:
            continue
        reasons = [suppression.problem] if suppression.problem else []
        for code in suppression.codes:
            if (i, code) in used or code in unchecked:
                continue
            if session.registry.rule(code) is None:
                reasons.append(f"there is no rule {code}")
            elif code in lint.codes:
                reasons.append(f"{code} finds nothing here")
        said += [
            judge.Said(rule, Verdict(Place(document, suppression.comment.span), reason, key=reason), "", "") for reason in reasons
        ]
    lint.findings += judge.findings(said, session.config)


def _lint_text(source: SourceText, session: Session) -> _Lint:
    lint = _Lint()
    config, plugins = session.config, session.registry
    result = read_text(source)
    lint.documents = len(result.documents)
    reading = _Reading(session)
    reading.documents = result.documents
    stated: list[Deployment] = []
    words = source.text.lower()
    formats = plugins.formats_for(words.encode("utf-8", "surrogatepass"))
    for document in result.documents:
        for fmt in formats:
            stated += fmt.recognise(document, reading)
    engines = {engine.name: engine for engine in plugins.engines}
    for deployment in stated:
        completed = complete(deployment, config, engines, session.lookup)
        lint.deployments.append(completed)
        rules = plugins.rules_for(judge.scopes_of(completed), words, config)
        lint.codes.update(rule.code for rule in rules)
        judgement = judge.judge(completed, rules)
        lint.said += judgement.said
        lint.not_checked += judgement.not_checked
    # A file none of whose documents is ours is none of our business, broken or not.
    ours = bool(stated) or bool(reading.problems)
    if ours or (result.errors and not result.documents):
        lint.errors += result.errors
        for error in result.errors:
            reading.problem("DOC101", _unreadable(source, error, result.documents))
    for code, verdict, name in reading.problems:
        if config.selects(code):
            lint.codes.add(code)
            lint.said.append(judge.Said(_document_rule(session, code), verdict, name, ""))
    lint.findings = judge.findings(lint.said, config)
    _suppress(lint, source, result.documents, result.comments, session)
    return lint


def _order(finding: Finding) -> tuple[str, int, int, int, str, str]:
    place = finding.place
    return (finding.path, -finding.severity, place.document.index, place.span.start, finding.code, finding.identity)


def lint_texts(sources: Iterable[SourceText], session: Session) -> Report:
    """The report on texts already read: the same texts give the same report, in the same order."""
    lints = []
    texts = {}
    for source in sources:
        texts[source.path] = source
        lints.append(_lint_text(source, session))
    codes: set[str] = set().union(*(lint.codes for lint in lints))
    return Report(
        tuple(sorted((f for lint in lints for f in lint.findings), key=_order)),
        tuple(n for lint in lints for n in lint.not_checked if n.codes),
        tuple(e for lint in lints for e in lint.errors),
        len(lints),
        sum(lint.documents for lint in lints),
        tuple(d for lint in lints for d in lint.deployments),
        len(codes),
        texts,
    )


def lint_paths(paths: Sequence[str], session: Session, *, stdin: bytes | None = None, stdin_filename: str = "<stdin>") -> Report:
    """Reads the files that ``paths`` stand for (``-``: the bytes ``stdin``) and lints them.

    A file without any needle of a format is dismissed unread. What cannot be read is an error and a finding; where nothing
    that was named could be read, ``fatal`` says so.
    """
    from servelint.source import discovery

    found = discovery.find([p for p in paths if p != discovery.STDIN], session.config)
    texts: list[SourceText] = []
    garbled: dict[str, SourceText] = {}
    errors = list(found.errors)
    files = 0
    inputs: Iterable[tuple[str, bytes | ReadError]] = ((path, discovery.load(path)) for path in found.files)
    if stdin is not None:
        inputs = chain(inputs, [(stdin_filename, stdin)])
    for path, data in inputs:
        if isinstance(data, ReadError):
            errors.append(data)
            continue
        files += 1
        if not session.registry.formats_for(haystack(data)):
            continue
        source = decode(path, data)
        if isinstance(source, ReadError):
            errors.append(source)
            garbled[path] = SourceText(path, data.decode("utf-8", "replace"))  # so that the error keeps its line
        else:
            texts.append(source)
    report = lint_texts(texts, session)
    unread = [_unreadable(garbled.get(error.path, SourceText(error.path, "")), error, ()) for error in errors]
    rule = _document_rule(session, "DOC101")
    said = [judge.Said(rule, verdict, "", "") for verdict in unread if session.config.selects("DOC101")]
    return report._replace(
        findings=tuple(sorted((*report.findings, *judge.findings(said, session.config)), key=_order)),
        errors=(*errors, *report.errors),
        files=files,
        sources={**report.sources, **{v.place.document.source.path: v.place.document.source for v in unread}},
        fatal=tuple(f"{error.path}: {error.message}" for error in errors) if errors and not files else (),
    )


def lint(paths: Sequence[str], config: Config | None = None) -> Report:
    """Lints files and folders; findings carry their verified fixes. Raises :class:`UsageError` for a bad configuration."""
    from servelint.fixes.verify import with_fixes

    session = open_session(config or Config())
    return with_fixes(lint_paths(paths, session), session)
