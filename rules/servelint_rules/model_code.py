"""Model code: whether a repository on the hub brings Python that ``trust_remote_code`` would run.

A repository does where its ``config.json`` has ``auto_map``. From the 239 configurations of the catalogue that were read whole,
by ``model_type``: types with the field in one of them, and types without it in any that came into the libraries with the model
(repositories of older ones, as of Falcon and MPT, had code once, and others of their type may have it still).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servelint.catalogue.architecture import Architecture

_WITH = frozenset(
    """
    baichuan chatglm deepseek_v2 deepseek_v3 exaone internlm2 kimi_k2 kimi_k25 kimi_k3 kimi_linear minicpm minicpm3 minicpmv
    minimax_m2 minimax_m3_vl molmo nemotron-nas nemotron_h phi-msft phi3 phi3_v phi3small phimoe qwen
    """.split()  # noqa: SIM905 - a list of names reads as one
)
_WITHOUT = frozenset(
    """
    cohere deepseek_v4 gemma gemma2 gemma3 gemma3_text gemma4 glm4_moe glm4v glm_moe_dsa gpt2 gpt_oss granitemoe llama llama4
    llava ministral3 mistral mistral3 mixtral mllama olmo2 opt qwen2 qwen2_5_vl qwen2_moe qwen2_vl qwen3 qwen3_5 qwen3_5_moe
    qwen3_moe qwen3_vl qwen3_vl_moe seed_oss smollm3 starcoder2
    """.split()  # noqa: SIM905
)
# Repositories with code, of a type whose other ones have none.
_EXCEPTIONS = frozenset(("alibaba-nlp/gte-qwen2-7b-instruct",))


def brings_code(model: str, architecture: Architecture | None) -> bool | None:
    """Whether the repository's configuration names code of its own; None where that is not known."""
    if architecture is None:
        return None
    kind = architecture.field("model_type")
    if architecture.field("auto_map") or kind in _WITH or model.lower() in _EXCEPTIONS:
        return True
    return False if kind in _WITHOUT else None
