"""Engines that serve LLMs and whose options are not described here: known by image and program, so that their deployments are
listed with their GPUs, and what depends on their options is said to be not checked.

Sources: the images and programs that the projects' own documentation names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from servelint.engines import images, launching
from servelint.engines.command import Command
from servelint.facts import Fact
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from servelint.deployment import Pool
    from servelint.engines.command import Program
    from servelint.engines.versions import Version


class Known(NamedTuple):
    """What an engine is known by.

    ``title``: its name, for people. ``image``: a regular expression of the whole lower-case ``repository:tag``; it stays text,
    since most runs need none. ``programs``: (name, first argument; "" for any). ``modules``: of ``python -m``, or beginnings of
    their names that end in a dot. ``models``: options that name the model, "" for the first argument that is no option.
    ``variables``: those of the environment that do. ``stands_in``: it takes an engine's options and runs no model.
    ``own_programs``: programs that run it in its own image only.
    """

    name: str
    title: str
    needles: tuple[bytes, ...]
    image: str
    programs: tuple[tuple[str, str], ...]
    modules: tuple[str, ...] = ()
    models: tuple[str, ...] = ("--model",)
    variables: tuple[str, ...] = ()
    stands_in: bool = False
    own_programs: tuple[str, ...] = ()


KNOWN = (
    Known(
        "llm-d-inference-sim", "the simulator llm-d-inference-sim", (b"inference-sim", b"vllm-sim"),
        r"(.*/)?((llm-d-)?inference-sim|vllm-sim(ulator)?):.*", (("llm-d-inference-sim", ""),), stands_in=True,
    ),
    Known(
        "dynamo-mocker", "the simulator of Dynamo", (b"dynamo.mocker",), r"(?!)", (), ("dynamo.mocker",),
        ("--model-path", "--model-name"), stands_in=True,
    ),
    Known(
        "jetstream", "JetStream", (b"jetstream", b"maxengine"),
        r"(.*/)?(jetstream-(pytorch|maxtext|pathways)(-server)?|maxengine-server):.*",
        (("jpt", "serve"),), ("jetstream.", "jetstream_pt.", "MaxText.maxengine_server"), ("--model_id", "--model_name"),
    ),
    Known("ollama", "Ollama", (b"ollama",), r"(.*/)?ollama(/ollama)?:.*", (("ollama", "serve"), ("ollama", "run")), (), ()),
    Known(
        "llamacpp", "llama.cpp", (b"llama.cpp", b"llama-cpp", b"llama_cpp", b"llama-server", b"llamacpp"),
        r"(.*/)?(llama\.cpp|llama-?cpp(-python|-server)?):.*", (("llama-server", ""),), ("llama_cpp.server",),
        ("-hf", "-hfr", "--hf-repo", "--hf_model_repo_id", "-m", "--model"), ("LLAMA_ARG_HF_REPO", "LLAMA_ARG_MODEL"),
    ),
    Known("lmdeploy", "LMDeploy", (b"lmdeploy",), r"(?!)", (("lmdeploy", "serve"),), ("lmdeploy.serve.",), ("",)),
    Known(
        "triton", "Triton Inference Server", (b"tritonserver", b"triton_server"), r"(.*/)?tritonserver:.*-(trtllm|vllm)-.*",
        (("launch_triton_server.py", ""),), (), (), own_programs=("tritonserver",),
    ),
    Known("mlc-llm", "MLC LLM", (b"mlc_llm", b"mlc-llm"), r"(?!)", (("mlc_llm", "serve"),), ("mlc_llm",), ("",)),
    Known(
        "lorax", "LoRAX", (b"lorax",), r"(.*/)?predibase/lorax:.*", (("lorax-launcher", ""),), (), ("--model-id",), ("MODEL_ID",),
    ),
    Known(
        "aphrodite", "Aphrodite", (b"aphrodite",), r"(.*/)?aphrodite-(engine|openai):.*", (("aphrodite", "run"),),
        ("aphrodite.endpoints.",), ("", "--model"),
    ),
    Known(
        "djl-serving", "DJL Serving", (b"djl-serving", b"djl-inference"),
        r"(.*/)?djl-(serving|inference):.*(lmi|vllm|tensorrt|neuron).*",
        (), (), (), ("HF_MODEL_ID", "OPTION_MODEL_ID"),
    ),
    Known("mindie", "MindIE", (b"mindie",), r"(.*/)?mindie(-service)?:.*", (("mindieservice_daemon", ""),), (), ()),
)  # fmt: skip
_FACTS = (
    "model", "tensor", "pipeline", "data", "data_local", "expert", "sequence", "prefill_context", "decode_context",
    "attention_data", "max_model_len", "max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization",
    "kv_cache_memory_bytes", "kv_cache_dtype", "block_size", "dtype", "quantization", "enforce_eager", "chunked_prefill",
    "speculative",
)  # fmt: skip


class Undescribed:
    """See :class:`servelint.engines.base.Engine`. Its commands have no arguments that a rule could judge."""

    described = False

    def __init__(self, known: Known) -> None:
        self.name = known.name
        self.needles = known.needles
        self._known = known

    def owns_image(self, image: str) -> bool:
        repository, tag, _ = images.split(image)
        return re.fullmatch(self._known.image, f"{repository}:{tag}".lower()) is not None

    def version(self, image: Fact[str]) -> Fact[Version]:
        return Fact.unknown(images.VERSION, self._reason, origin=image.origin)

    @property
    def _reason(self) -> str:
        what = "runs no model" if self._known.stands_in else "is an engine whose options are not described"
        return f"{self._known.title} {what}"

    def command(self, programs: Sequence[Program], image: str) -> Command | None:
        """The first program that runs the server, or the bare arguments of an image that does."""
        for program in programs:
            start = self._launch(program)
            if start is None and image:
                start = self._launch_of_image(program, image)
            node = program.node or (program.document.root if program.document is not None else None)
            if start is not None and program.document is not None and node is not None:
                launcher = " ".join(word.text for word in program.words[:start]) or "image"
                return Command(
                    self.name, program.document, node, program, launcher, (), _table(self.name), start=start,
                    elsewhere=f"{self._known.title}, which is not described", image=image,
                )  # fmt: skip
        return None

    def _launch_of_image(self, program: Program, image: str) -> int | None:
        """The same for words that are the server's in its own image only."""
        if program.entrypoint and launching.are_arguments(program):
            start: int | None = 0
        else:
            start = next((i + 1 for i, name in enumerate(program.names) if name in self._known.own_programs), None)
        return start if start is not None and self.owns_image(image) else None

    def _launch(self, program: Program) -> int | None:
        """The index of the first argument; None where the words run another program."""
        if launching.talks(program):
            return None
        words = program.words
        for index, called in enumerate(program.names):
            for name, first in self._known.programs:
                if called == name and (not first or (index + 1 < len(words) and words[index + 1].text == first)):
                    return index + (2 if first else 1)
        for module, start in program.modules:
            if any(module == name or (name.endswith(".") and module.startswith(name)) for name in self._known.modules):
                return start
        return None

    def facts(self, command: Command, environment: Mapping[str, Fact[str]]) -> dict[str, Fact[Any]]:
        """The model, where an option or a variable names it; a simulator's data parallelism, which makes it more servers."""
        from servelint.engines import undescribed_facts  # lazy: few manifests have such an engine

        return undescribed_facts.stated(self._known, command, environment, self._reason)

    def defaults(self, pool: Pool) -> dict[str, Fact[Any]]:
        return {field: Fact.unknown(getattr(pool, field).name, self._reason) for field in _FACTS}


def _table(name: str) -> Any:
    from servelint.engines.flags import FlagTable  # lazy: only for such an engine

    return FlagTable(f"\nengine\t{name}\nparser\tnone\nscanned\t\n")
