"""The engine vLLM: its images, how its server is started, and its command line.

Sources: vLLM's releases 0.6.0 to 0.33.0 (vllm/entrypoints/cli, vllm/entrypoints/openai/api_server.py, docker/Dockerfile).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.engines import vllm_images
from servelint.engines.command import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from servelint.deployment import Pool
    from servelint.engines.command import Program, Word
    from servelint.engines.versions import Version
    from servelint.facts import Fact
    from servelint.source.nodes import Document

    Files = Callable[[str], Document | None]

_SERVERS = frozenset(("vllm.entrypoints.openai.api_server", "vllm.entrypoints.api_server", "vllm.entrypoints.grpc_server"))
_CLI = frozenset(("vllm.entrypoints.cli.main", "vllm.scripts"))
# Flags that no other program of a serving stack has.
_TELLING = ("--tensor-parallel-size", "--max-model-len", "--gpu-memory-utilization")
# Programs that may name vLLM's command among their words without running it.
_TALKERS = frozenset(
    (
        "[", "apk", "apt", "apt-get", "awk", "cat", "chmod", "cp", "curl", "cut", "echo", "egrep", "find", "git", "grep", "kill",
        "killall", "ls", "mkdir", "mv", "pgrep", "pip", "pip3", "pkill", "printf", "ps", "rm", "sed", "sleep", "tee", "test",
        "touch", "wait", "wget", "which", "yum",
    )
)  # fmt: skip


class Vllm:
    """See :class:`servelint.engines.base.Engine`."""

    name = "vllm"
    needles = (b"vllm", b"llm-d/llm-d")

    def owns_image(self, image: str) -> bool:
        return vllm_images.owns_image(image)

    def version(self, image: Fact[str]) -> Fact[Version]:
        return vllm_images.version(image)

    def command(self, programs: Sequence[Program], image: str) -> Command | None:
        """The first server among the programs: ``vllm serve …``, ``python -m vllm.entrypoints.openai.api_server …``, or the
        bare arguments of an image that starts it. Other subcommands of ``vllm`` are no servers."""
        for program in programs:
            found = _launch(program.words)
            if found is None and program.entrypoint and _starts_itself(image, program.words):
                found = "image", 0
            if found is not None:
                return self._parsed(program, image, *found)
        return None

    def _parsed(self, program: Program, image: str, launcher: str, start: int) -> Command:
        from servelint.engines.arguments import parse  # lazy: only containers that run vLLM pay for its flags
        from servelint.engines.flags import flag_table

        document = program.document
        node = program.node or (document.root if document is not None else None)
        if document is None or node is None:
            raise ValueError("a program that runs an engine must know its document")
        table = flag_table(self.name)
        arguments, elsewhere = parse(program.words, start, table, vllm_images.version_of(image))
        if any(_name(word) == "xargs" for word in program.words[:start]):
            elsewhere = elsewhere or "the input of xargs"
        complete = not elsewhere
        return Command(self.name, document, node, program, launcher, arguments, table, complete, start, elsewhere)

    def configured(self, command: Command, files: Files) -> Command:
        """The settings of the file of ``--config`` stand in front of the command line, which wins over them.

        Source: vLLM, ``FlexibleArgumentParser._pull_args_from_config`` (vllm/utils/argparse_utils.py).
        """
        from servelint.engines.config_arguments import with_file  # lazy: few command lines name a file

        return with_file(command, None, files)

    def facts(self, command: Command, environment: Mapping[str, Fact[str]]) -> dict[str, Fact[Any]]:
        from servelint.engines.vllm_facts import stated

        return stated(command, environment)

    def defaults(self, pool: Pool) -> dict[str, Fact[Any]]:
        from servelint.engines.vllm_defaults import defaults

        return defaults(pool)


def _name(word: Word) -> str:
    return word.text.rpartition("/")[2]


def _launch(words: Sequence[Word]) -> tuple[str, int] | None:
    """(launcher, index of the first argument) of vLLM's server in a program's words; None if it runs none."""
    if not words or _name(words[0]) in _TALKERS:
        return None
    for index, word in enumerate(words):
        name = _name(word)
        following = words[index + 1].text if index + 1 < len(words) else ""
        if name == "vllm" and following == "serve":
            return "vllm serve", index + 2
        if word.text == "-m" and following in _SERVERS:
            return f"python -m {following}", index + 2
        if word.text == "-m" and following in _CLI and index + 2 < len(words) and words[index + 2].text == "serve":
            return f"python -m {following} serve", index + 3
        if word.text.startswith("-m") and word.text[2:] in _SERVERS:
            return f"python -m {word.text[2:]}", index + 1
    return None


def _starts_itself(image: str, words: Sequence[Word]) -> bool:
    """The image's own entrypoint is vLLM's server, and ``words`` are its arguments rather than a program of their own.

    An image that is filled in later counts if its name says vLLM and the arguments are the engine's.
    """
    if words and _name(words[0]) in {"sh", "bash", "python", "python3", "ray", "sleep", "tail", "vllm"}:
        return False
    if vllm_images.owns_image(image):
        return True
    return vllm_images.is_placeholder(image) and any(word.text.startswith(_TELLING) for word in words)
