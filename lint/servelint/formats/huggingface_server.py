"""KServe's Hugging Face server: an API server that runs vLLM for models vLLM knows, and Transformers for the others.

It takes vLLM's options beside its own, and ignores what it does not know (``parse_known_args``).
Source: KServe 0.17 ``python/huggingfaceserver/huggingfaceserver/__main__.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.command import Program
from servelint.facts import Fact, Origin, OriginKind
from servelint.formats.unstated_facts import without_defaults
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from servelint.deployment import Pool
    from servelint.engines.command import Word
    from servelint.source.nodes import Document, Node

MODULE = "huggingfaceserver"
LAUNCH = ("python3", "-m", MODULE)
# Its own options with a value, and the option of vLLM that says the same ("": none does).
_OPTIONS = {
    "model_id": "--model", "model_dir": "--model", "max_length": "--max-model-len", "model_name": "", "model_revision": "",
    "tokenizer_revision": "", "backend": "", "task": "", "tensor_input_names": "", "max_log_len": "", "workers": "",
    "http_port": "", "grpc_port": "", "predictor_host": "", "predictor_protocol": "", "max_threads": "",
}  # fmt: skip
_SWITCHES = frozenset((
    "disable_lower_case", "disable_special_tokens", "return_token_type_ids", "return_offsets_mapping", "return_probabilities",
    "return_raw_logits",
))  # fmt: skip
_TRANSFORMERS = "transformers"


def started(document: Document) -> Callable[[Node, Mapping[str, Fact[str]]], Sequence[Program] | None]:
    """For ``podspec.engine_pools``: a container that runs the server runs it as vLLM would read its options."""

    def programs(container: Node, environment: Mapping[str, Fact[str]]) -> Sequence[Program] | None:
        command, args = container.elements_at("command"), container.elements_at("args")
        own_image = MODULE in (container.text_at("image") or "")
        if not own_image and not any(MODULE in item.text for item in (*command, *args) if isinstance(item, ScalarNode)):
            return None
        from servelint.engines import shell  # lazy: only containers of this server are taken apart

        found = shell.programs(document, command, args, environment, container.get("image"))
        return [as_vllm(program, own_image) or program for program in found]

    return programs


def as_vllm(program: Program, own_image: bool = False) -> Program | None:
    """The server's command line as a command line of vLLM; None where the program is another."""
    words = program.words
    index = next((i for i, word in enumerate(words) if word.text == MODULE and i and words[i - 1].text == "-m"), None)
    if index is None and not (own_image and program.entrypoint):
        return None
    node = words[0].node if words else None
    if node is None:
        return None
    launch = [words[0]._replace(text=text, span=None, whole=False, expanded=True, start=-1, end=-1) for text in _MARK]
    rest = _translated(words[index + 1 if index is not None else 0 :])
    return Program((*launch, *rest), program.shell, program.document, program.node)


_MARK = ("-m", MODULE, "vllm", "serve")  # what tells such a program from vLLM's own


def _translated(words: Sequence[Word]) -> list[Word]:
    models: list[Word] = []
    made: list[Word] = []
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        name, equals, value = word.text.partition("=")
        option = name.removeprefix("--").replace("-", "_") if name.startswith("--") else ""
        if option in _SWITCHES:
            continue
        if option not in _OPTIONS:
            made.append(word)
            continue
        if not equals and position < len(words) and not words[position].text.startswith("-"):
            word = words[position]
            value = word.text
            position += 1
        target = _OPTIONS[option]
        if target:
            translated = word._replace(text=f"{target}={value}", whole=False, expanded=True, start=-1, end=-1)
            if option == "model_dir":
                models.insert(0, translated)  # --model_id wins
            else:
                models.append(translated)
    return models + made


def runs(pool: Pool) -> bool:
    """The pool's engine is this server."""
    command = pool.containers[0].command
    return command is not None and tuple(word.text for word in command.program.words[: len(_MARK)]) == _MARK


def settled(pool: Pool) -> Pool:
    """A pool of this server with its engine and version, which are not those of a vLLM image; other pools as they are.

    Its command line is not vLLM's: no rule about one is to read it. What arguments elsewhere may state has no default then.
    """
    container = pool.containers[0]
    command = container.command
    if not runs(pool) or command is None:
        return pool
    backend = _backend(pool)
    if not command.complete:
        pool = without_defaults(pool, f"arguments come from elsewhere: {command.elsewhere}")
    origin = pool.engine.origin or Origin(OriginKind.DERIVED, MODULE)
    origin = origin._replace(text="KServe's Hugging Face server")
    if backend == "huggingface":
        engine = Fact.known(pool.engine.name, _TRANSFORMERS, origin._replace(text="--backend=huggingface"))
    else:
        engine = Fact.known(pool.engine.name, "vllm", origin)
    reason = "KServe's Hugging Face server brings its own vLLM, whose version the image does not say"
    version = pool.version if pool.version.is_known else Fact.unknown(pool.version.name, reason, pool.version.remedy)
    container = container._replace(command=None)
    return pool._replace(engine=engine, version=version, containers=(container, *pool.containers[1:]))


def _backend(pool: Pool) -> str:
    items = pool.containers[0].node.elements_at("args")
    texts = [item.text for item in items if isinstance(item, ScalarNode)]
    for index, text in enumerate(texts):
        if text.startswith("--backend="):
            return text.partition("=")[2]
        if text == "--backend" and index + 1 < len(texts):
            return texts[index + 1]
    return ""
