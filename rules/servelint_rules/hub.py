"""The hub: how a command line names a model of the Hugging Face hub, and what settles whether and whereto it is fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servelint.deployment import Container

MODEL_FLAGS = ("--model", "--model-path", "--model-id")
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
# Where the engines' own images keep what they fetch, by a part of their repository: vLLM's and SGLang's run as root, and TGI's
# sets HUGGINGFACE_HUB_CACHE=/data (their Dockerfiles).
_CACHES = (
    ("vllm/vllm-openai", "/root/.cache/huggingface/hub"),
    ("lmsysorg/sglang", "/root/.cache/huggingface/hub"),
    ("huggingface/text-generation-inference", "/data"),
)


def cache_of_image(container: Container) -> str | None:
    """The directory to which the container's image lets the engine fetch models; None for an image that is not known."""
    image = (container.node.text_at("image") or "").lower()
    return next((path for part, path in _CACHES if part in image), None)


def reads_a_path(container: Container) -> bool:
    """The command line serves a path: whatever lies there, the engine fetches nothing."""
    arguments = container.command.arguments if container.command is not None else ()
    return any(argument.name in (*MODEL_FLAGS, "") and (argument.value or "").startswith(("/", "./")) for argument in arguments)
