"""The engine vLLM: its images, how its server is started, and its command line.

Sources: vLLM's releases 0.6.0 to 0.33.0 (vllm/entrypoints/cli, vllm/entrypoints/openai/api_server.py, docker/Dockerfile).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.engines import launching, servers, vllm_images

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from servelint.deployment import Pool
    from servelint.engines.command import Command, Program
    from servelint.engines.config_arguments import Files
    from servelint.engines.versions import Version
    from servelint.facts import Fact

_SERVERS = frozenset(("vllm.entrypoints.openai.api_server", "vllm.entrypoints.api_server", "vllm.entrypoints.grpc_server"))
_CLI = frozenset(("vllm.entrypoints.cli.main", "vllm.scripts"))
# Flags that no other program of a serving stack has.
_TELLING = ("--tensor-parallel-size", "--max-model-len", "--gpu-memory-utilization")
# Parts of a serving stack that are built beside the engine, and are told the model's name, too.
_PARTS = (
    "router",
    "gateway",
    "proxy",
    "bench",
    "client",
    "exporter",
    "sidecar",
    "frontend",
    "operator",
    "webui",
    "metrics",
    "cache",
    "render",
)


class Vllm:
    """See :class:`servelint.engines.base.Engine`."""

    name = "vllm"
    needles = (b"vllm", b"llm-d/llm-d", b"--max-model-len")

    def owns_image(self, image: str) -> bool:
        return vllm_images.owns_image(image)

    def version(self, image: Fact[str]) -> Fact[Version]:
        return servers.version(self.name, image, vllm_images.RELEASES)

    def command(self, programs: Sequence[Program], image: str) -> Command | None:
        """The first server among the programs: ``vllm serve …``, ``python -m vllm.entrypoints.openai.api_server …``, or the
        bare arguments of an image that starts it. Other subcommands of ``vllm`` are no servers."""
        releases = vllm_images.RELEASES
        return servers.first(
            self.name, programs, image, releases, launch=_launch, starts_itself=_starts_itself, subcommand=_subcommand(image)
        )

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


def _launch(program: Program) -> tuple[str, int] | None:
    """(launcher, index of the first argument) of vLLM's server in a program's words; None if it runs none."""
    if launching.talks(program):
        return None
    words = program.words
    for index, name in enumerate(program.names[:-1]):
        if name == "vllm" and words[index + 1].text == "serve":
            return "vllm serve", index + 2
    for module, start in program.modules:
        if module in _SERVERS:
            return f"python -m {module}", start
        if module in _CLI and start < len(words) and words[start].text == "serve":
            return f"python -m {module} serve", start + 1
    return None


def _subcommand(image: str) -> str:
    """What arguments of the image's entrypoint may begin with: that of an image nobody knows may be ``vllm`` itself."""
    return "" if vllm_images.owns_image(image) else "serve"


def _starts_itself(image: str, program: Program) -> bool:
    """The image's own entrypoint is vLLM's server, and the words are its arguments rather than a program of their own.

    An image that is filled in later, or is nobody's known one, counts if its name or tag says vLLM and the arguments name a
    model or are the engine's, or where two of them are vLLM's alone.
    """
    if not launching.are_arguments(program) or program.names[:1] == ("vllm",):
        return False
    words = program.words
    if vllm_images.owns_image(image):
        return True
    telling = {flag for word in words for flag in _TELLING if word.text.replace("_", "-").startswith(flag)}
    if "vllm" in image.lower():
        name = image.lower().rpartition("/")[2]
        named = any(word.text.partition("=")[0] == "--model" for word in words) and not any(part in name for part in _PARTS)
        return bool(telling) or named
    return len(telling) > 1 and "aphrodite" not in image.lower()  # a fork, which kept the options
