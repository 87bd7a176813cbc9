"""What KServe's presets start for an LLMInferenceService: the command line of the container ``main``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.formats import controller_words
from servelint.records import NamedTuple
from servelint.source.nodes import ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from servelint.engines.command import Program, Word
    from servelint.facts import Fact
    from servelint.source.nodes import Document, MappingNode, Node

CONFIG = "LLMInferenceServiceConfig"
MAIN = "main"
_ADDITIONAL = "VLLM_ADDITIONAL_ARGS"
# Field of the pool, key of ``spec.parallelism``, flag of the presets.
DEGREES = (
    ("tensor", "tensor", "--tensor-parallel-size"),
    ("pipeline", "pipeline", "--pipeline-parallel-size"),
    ("data", "data", "--data-parallel-size"),
    ("data_local", "dataLocal", "--data-parallel-size-local"),
)


class LlmObject(NamedTuple):
    """One of the two kinds. ``missing``: names of configurations it refers to that are not at hand. ``joined``: a
    configuration that is read for a service which refers to it."""

    document: Document
    item: Node
    missing: tuple[str, ...]
    label: ScalarNode
    joined: bool = False

    @property
    def is_config(self) -> bool:
        return self.item.text_at("kind") == CONFIG

    @property
    def unseen(self) -> str:
        """Whatever else may complete the object, "" if nothing does."""
        if self.joined:
            return ""
        if self.is_config:
            return "the LLMInferenceService that uses this configuration"
        return f"the {CONFIG} {', '.join(self.missing)}" if self.missing else ""


class PresetArguments:
    """What the presets start in the container ``main`` of one workload."""

    def __init__(self, subject: LlmObject, holder: MappingNode, over: Node | None) -> None:
        self._subject = subject
        self._holder = holder
        self._over = over

    def programs(self, container: Node, environment: Mapping[str, Fact[str]]) -> Sequence[Program] | None:
        if container.text_at("name") != MAIN or (container.get("command") is not None and not is_scripted(container)):
            return None
        subject = self._subject
        if (script := _own_script(container)) is not None:
            from servelint.engines import shell  # lazy: few services bring a script of their own

            return shell.programs_of_text(subject.document, script, environment)
        made = controller_words.words(subject.label, "vllm", "serve", "/mnt/models")
        unseen = subject.unseen
        if is_scripted(container):
            unseen = unseen or "a script that is put together when the container starts"
        if unseen:
            made.append(controller_words.unseen(subject.label, unseen))
        made += self._degrees()
        if isinstance(adapters := subject.item.get("spec", "model", "lora", "adapters"), SequenceNode) and adapters.items:
            made += controller_words.words(subject.label, "--enable-lora")
        made += self._additional(container, environment)
        if not (self._over is not None and self._over.get("args") is not None) and not is_scripted(container):
            made += controller_words.of_items(subject.document, container.elements_at("args"), environment)
        return (controller_words.program(subject.document, made),)

    def _degrees(self) -> list[Word]:
        made: list[Word] = []
        for _, key, flag in DEGREES:
            node = self._holder.get("parallelism", key)
            if isinstance(node, ScalarNode):
                made += controller_words.words(node, f"{flag}={node.text}")
        expert = self._holder.get("parallelism", "expert")
        if isinstance(expert, ScalarNode) and expert.text.lower() == "true":
            made += controller_words.words(expert, "--enable-expert-parallel")
        return made

    def _additional(self, container: Node, environment: Mapping[str, Fact[str]]) -> list[Word]:
        over = self._over
        if over is not None and any(e.text_at("name") == _ADDITIONAL for e in over.elements_at("env")):
            return []
        for item in container.elements_at("env"):
            if item.text_at("name") != _ADDITIONAL:
                continue
            value = item.get("value")
            if isinstance(value, ScalarNode):
                return controller_words.of_text(self._subject.document, value, environment)
            fact = environment.get(_ADDITIONAL)
            if fact is not None and not fact.is_known:
                return [controller_words.unseen(self._subject.label, f"${_ADDITIONAL}")]
        return []


def _own_script(container: Node) -> ScalarNode | None:
    """Arguments that are one text with the engine's whole command in it: what the presets hand to ``bash -c``."""
    items = container.elements_at("args")
    script = items[0] if len(items) == 1 and container.get("command") is None else None
    if not isinstance(script, ScalarNode) or is_scripted(container):
        return None
    starts = any(launcher in script.text for launcher in ("vllm serve ", "-m vllm.entrypoints", "-m sglang.launch_server"))
    return script if starts else None


def is_scripted(container: Node) -> bool:
    """Its own command has a shell evaluate a text with the engine's command in it, as the presets' scripts do."""
    items = (*container.elements_at("command"), *container.elements_at("args"))
    text = "\n".join(item.text for item in items if isinstance(item, ScalarNode))
    return "eval " in text and "vllm serve" in text
