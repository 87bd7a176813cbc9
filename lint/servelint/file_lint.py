"""The lint of one file: its documents recognised, completed and judged, and the comments that suppress what is found in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint import judge
from servelint.facts import Place
from servelint.finding import NotChecked, Verdict
from servelint.resolve import complete
from servelint.source.needles import Words
from servelint.source.reader import TEMPLATE_MESSAGE, read_text
from servelint.source.text import Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from servelint.config import Config
    from servelint.deployment import Deployment
    from servelint.engines.base import Engine
    from servelint.finding import Finding, ReadError
    from servelint.formats.run_objects import RunObjects
    from servelint.rulebook import Rule
    from servelint.run import Session
    from servelint.source.nodes import Document, Node
    from servelint.source.text import SourceText


class Reading:
    """The surroundings a format recognises a document in; collects what it reports and which other objects it asked for."""

    def __init__(self, engines: Sequence[Engine], documents: Sequence[Document], objects: RunObjects | None) -> None:
        self.engines = engines
        self.documents = documents
        self.problems: list[tuple[str, Verdict, str]] = []
        self.document: Document | None = None  # that is being recognised
        self.objects = objects
        self.asked: set[tuple[str, str]] = set()

    def elsewhere(self, kind: str, name: str) -> tuple[Document, Node] | None:
        if self.objects is None or self.document is None:
            return None
        self.asked.add((kind, name))
        namespace = self.document.text_at("metadata", "namespace") or ""
        found = self.objects.nearest(self.document, kind, name, namespace, others_only=True)
        return (found.document, found.node) if found is not None else None

    def file(self, path: str) -> SourceText | None:
        if self.objects is None or self.document is None:
            return None
        from servelint.formats.run_objects import FILE, beside  # lazy: few documents name other files

        where = beside(self.document.source.path, path)
        self.asked.add((FILE, where))
        return self.objects.file(where)

    def every_object(self) -> RunObjects:
        """The objects of all files. Whose replicas an autoscaler of another file may set is asked for by that."""
        if self.objects is None:
            from servelint.formats.run_objects import RunObjects  # lazy: a file alone seldom needs it

            self.objects = RunObjects([document.source for document in self.documents[:1]])
        return self.objects

    def problem(self, code: str, verdict: Verdict, deployment: str = "") -> None:
        self.problems.append((code, verdict, deployment))


class Lint:
    """One file's lint: everything of it before the files are put together. ``asked``: kinds and names of the objects that it
    looked for in other files. ``said_of_others``: what it says in files from which it took something."""

    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.said: list[judge.Said] = []
        self.said_of_others: list[judge.Said] = []
        self.not_checked: list[NotChecked] = []
        self.errors: list[ReadError] = []
        self.deployments: list[Deployment] = []
        self.documents = 0
        self.codes: set[str] = set()
        self.asked: set[tuple[str, str]] = set()
        self._alone: list[Finding] | None = None

    def without(self, dropped: Sequence[Deployment]) -> Lint:
        """The lint without some of its deployments, and without what was said of them."""
        left = Lint(self.source)
        left.errors, left.documents, left.codes, left.asked = self.errors, self.documents, self.codes, self.asked
        left.deployments = [each for each in self.deployments if each not in dropped]
        names = {each.name for each in dropped}.difference(each.name for each in left.deployments)
        left.said = [each for each in self.said if each.deployment not in names]
        left.said_of_others = [each for each in self.said_of_others if each.deployment not in names]
        left.not_checked = [each for each in self.not_checked if each.deployment not in names]
        return left

    def findings(self, together: Sequence[judge.Said], config: Config) -> list[Finding]:
        """What was said of the file, and ``together``: what the rules on all files say in it. Nothing is suppressed yet."""
        if together:
            return judge.findings([*self.said, *together], config)
        if self._alone is None:
            self._alone = judge.findings(self.said, config)
        return self._alone


def document_rule(session: Session, code: str) -> Rule:
    rule = session.registry.rule(code)
    if rule is None:
        raise LookupError(f"a format reported {code}, which no plugin defines")
    return rule


def unreadable(source: SourceText, error: ReadError, documents: Sequence[Document]) -> Verdict:
    """A read error as a verdict, placed where it says."""
    from servelint.source.nodes import Document  # already loaded by the reader

    starts = source.line_starts
    line = min(max(error.line, 1), len(starts))
    begin = min(starts[line - 1] + max(error.column, 1) - 1, len(source.text))
    document = Document(source, len(documents), None, Span(begin, begin))
    place = Place(document, Span(begin, min(begin + 1, len(source.text))))
    return Verdict(place, error.message, key=f"document {len(documents)}")


def unsuppressed(
    lint: Lint, findings: list[Finding], ran: set[str], unchecked: Sequence[NotChecked], session: Session
) -> list[Finding]:
    """The findings that no comment covers, and those about comments that cover nothing: no finding of a rule that ``ran``."""
    source = lint.source
    if "servelint:" not in source.text:
        return findings
    from servelint.suppression import suppressions  # lazy: few files have any

    result = read_text(source)
    documents = result.documents
    every = suppressions(source, documents, result.comments)
    used: set[tuple[int, str]] = set()
    kept = []
    for finding in findings:
        covering = [i for i, s in enumerate(every) if s.covers(finding)]
        used.update((i, finding.code) for i in covering)
        if not covering:
            kept.append(finding)
    rule = session.registry.rule("DOC104")
    if rule is None or not session.config.selects("DOC104"):
        return kept
    stopped = {code for item in unchecked for code in item.codes}
    said = []
    for i, suppression in enumerate(every):
        document = suppression.document or (documents[0] if documents else None)
        if document is None:
            continue
        reasons = [suppression.problem] if suppression.problem else []
        for code in suppression.codes:
            if (i, code) in used or code in stopped:
                continue
            if session.registry.rule(code) is None:
                reasons.append(f"there is no rule {code}")
            elif code in ran:
                reasons.append(f"{code} finds nothing here")
        said += [
            judge.Said(rule, Verdict(Place(document, suppression.comment.span), reason, key=reason), "", "") for reason in reasons
        ]
    return kept + judge.findings(said, session.config)


def _unrendered(path: str) -> NotChecked:
    """A file that is a template: nothing is wrong with it, and nothing can be checked."""
    reason = "this is a template, not YAML"
    return NotChecked(path, "", ("DOC101",), "rendered manifests", reason, "helm template … | servelint check -")


def _words(deployment: Deployment, source: SourceText) -> Words:
    """The words of all files that the deployment was read from."""
    containers = [container for pool in deployment.pools for container in pool.containers]
    documents = [container.document for container in containers]
    for container in containers:
        if container.command is not None:
            documents += [argument.document for argument in container.command.arguments if argument.document is not None]
    others = {each.physical.source.path: each.physical.source for each in documents if each.physical.source is not source}
    return Words("\n".join(each.words.text for each in (source, *others.values()))) if others else source.words


def lint_text(source: SourceText, session: Session, objects: RunObjects | None) -> Lint:
    lint = Lint(source)
    config, plugins = session.config, session.registry
    result = read_text(source)
    lint.documents = len(result.documents)
    words = source.words
    reading = Reading(plugins.engines_for(words), result.documents, objects)
    stated: list[Deployment] = []
    formats = plugins.formats_for(words)
    for document in result.documents:
        reading.document = document
        count, problems = len(stated), len(reading.problems)
        for fmt in formats:
            # A name that is written as "" would make findings of nothing; what the deployment is has to do.
            stated += [each if each.name else each._replace(name=each.format) for each in fmt.recognise(document, reading)]
        unread = len(stated) == count or "." in (document.text_at("apiVersion") or "")  # or a custom resource, in part
        if formats and unread and len(reading.problems) == problems:
            from servelint.formats import kind_shapes  # lazy: few documents are of such kinds

            kind_shapes.report(document, reading)
    if objects is not None and not stated:
        plugins.rules_for(judge.TOGETHER, words, config)  # loads the rules that its objects may concern
    engines = {engine.name: engine for engine in plugins.engines}
    for each in stated:
        deployment = each
        if objects is not None or any(word in words.text for word in ("scaletargetref", "resourceclaim", "claimname")):
            from servelint.formats.joins import joined  # lazy: most runs are of one file without such objects

            deployment = joined(each, reading, reading.every_object())
            reading.asked.add((f"scale {each.document.text_at('kind')}", each.document.text_at("metadata", "name") or ""))
        completed = complete(deployment, config, engines, session.lookup)
        lint.deployments.append(completed)
        scopes = judge.scopes_of(completed) | judge.TOGETHER
        rules = plugins.rules_for(scopes, _words(completed, source), config)
        rules = [rule for rule in rules if rule.scope not in judge.TOGETHER]  # those are loaded, and run when all is read
        lint.codes.update(rule.code for rule in rules)
        judgement = judge.judge(completed, rules, session.knowledge)
        lint.said += judgement.said
        lint.not_checked += judgement.not_checked
    lint.asked = reading.asked
    # A file none of whose documents is ours is none of our business, broken or not; but what is broken may be the very
    # document that is ours, and then an engine is named in the file.
    ours = bool(stated) or bool(reading.problems)
    if result.errors and not ours:
        ours = plugins.names_engine(words)
    templates = [error for error in result.errors if error.message.startswith(TEMPLATE_MESSAGE)]
    if templates and ours:
        lint.not_checked.append(_unrendered(source.path))
    broken = [error for error in result.errors if error not in templates]
    if ours or (broken and not result.documents):
        lint.errors += broken
        for error in broken:
            reading.problem("DOC101", unreadable(source, error, result.documents))
    for code, verdict, name in reading.problems:
        if config.selects(code):
            lint.codes.add(code)
            lint.said.append(judge.Said(document_rule(session, code), verdict, name, ""))
    if objects is not None:
        lint.said_of_others = [each for each in lint.said if each.verdict.place.document.source is not source]
        lint.said = [each for each in lint.said if each.verdict.place.document.source is source]
    return lint


def without_joined(lints: Sequence[Lint]) -> list[Lint]:
    """The lints without the configurations that a deployment of another file reads: they are judged there."""
    alone = [(lint, [each for each in lint.deployments if each.format == "engine-config"]) for lint in lints if lint.deployments]
    if len(lints) < 2 or not any(found for _, found in alone):
        return list(lints)
    read = {
        id(argument.document.physical)
        for lint in lints
        for deployment in lint.deployments
        for pool in deployment.pools
        for container in pool.containers
        if container.command is not None
        for argument in container.command.arguments
        if argument.document is not None and argument.document.physical.source is not lint.source
    }
    dropped = {id(lint): joined for lint, found in alone if (joined := [each for each in found if id(each.document) in read])}
    return [lint.without(dropped[id(lint)]) if id(lint) in dropped else lint for lint in lints]
