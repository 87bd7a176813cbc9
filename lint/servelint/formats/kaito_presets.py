"""Names of KAITO's presets and the models they serve.

Source: kaito-project/kaito ``presets/workspace/models/supported_models.yaml``, and its history for presets that were dropped.
Presets of today may also be named by the model's hub id.
"""

from __future__ import annotations

_OWNERS = {
    "llama-3.1-8b-instruct": "meta-llama", "llama-3.3-70b-instruct": "meta-llama", "deepseek-r1-0528": "deepseek-ai",
    "deepseek-v3-0324": "deepseek-ai", "deepseek-r1-distill-qwen-14b": "deepseek-ai",
    "deepseek-r1-distill-llama-8b": "deepseek-ai", "falcon-7b": "tiiuae", "falcon-7b-instruct": "tiiuae", "falcon-40b": "tiiuae",
    "falcon-40b-instruct": "tiiuae", "phi-2": "microsoft", "phi-3-mini-4k-instruct": "microsoft",
    "phi-3-mini-128k-instruct": "microsoft", "phi-3-medium-4k-instruct": "microsoft", "phi-3-medium-128k-instruct": "microsoft",
    "phi-3.5-mini-instruct": "microsoft", "phi-4": "microsoft", "phi-4-mini-instruct": "microsoft",
    "qwen2.5-coder-7b-instruct": "Qwen", "qwen2.5-coder-32b-instruct": "Qwen", "gpt-oss-20b": "openai", "gpt-oss-120b": "openai",
}  # fmt: skip
_SPELLINGS = {
    "llama-3.1-8b-instruct": "Llama-3.1-8B-Instruct", "llama-3.3-70b-instruct": "Llama-3.3-70B-Instruct",
    "deepseek-r1-0528": "DeepSeek-R1-0528", "deepseek-v3-0324": "DeepSeek-V3-0324",
    "deepseek-r1-distill-qwen-14b": "DeepSeek-R1-Distill-Qwen-14B",
    "deepseek-r1-distill-llama-8b": "DeepSeek-R1-Distill-Llama-8B", "phi-3-mini-4k-instruct": "Phi-3-mini-4k-instruct",
    "phi-3-mini-128k-instruct": "Phi-3-mini-128k-instruct", "phi-3-medium-4k-instruct": "Phi-3-medium-4k-instruct",
    "phi-3-medium-128k-instruct": "Phi-3-medium-128k-instruct", "phi-3.5-mini-instruct": "Phi-3.5-mini-instruct",
    "phi-4-mini-instruct": "Phi-4-mini-instruct", "qwen2.5-coder-7b-instruct": "Qwen2.5-Coder-7B-Instruct",
    "qwen2.5-coder-32b-instruct": "Qwen2.5-Coder-32B-Instruct",
}  # fmt: skip
_OTHERS = {
    "mistral-7b": "mistralai/Mistral-7B-v0.3", "mistral-7b-instruct": "mistralai/Mistral-7B-Instruct-v0.3",
    "ministral-3-3b-instruct": "mistralai/Ministral-3-3B-Instruct-2512",
    "ministral-3-8b-instruct": "mistralai/Ministral-3-8B-Instruct-2512",
    "ministral-3-14b-instruct": "mistralai/Ministral-3-14B-Instruct-2512",
    "mistral-large-3-675b-instruct": "mistralai/Mistral-Large-3-675B-Instruct-2512",
    "gemma-3-4b-instruct": "google/gemma-3-4b-it", "gemma-3-27b-instruct": "google/gemma-3-27b-it",
    "llama-2-7b": "meta-llama/Llama-2-7b-hf", "llama-2-7b-chat": "meta-llama/Llama-2-7b-chat-hf",
    "llama-2-13b": "meta-llama/Llama-2-13b-hf", "llama-2-13b-chat": "meta-llama/Llama-2-13b-chat-hf",
    "llama-2-70b": "meta-llama/Llama-2-70b-hf", "llama-2-70b-chat": "meta-llama/Llama-2-70b-chat-hf",
}  # fmt: skip


def hub_id(preset: str) -> str:
    """The hub id of a preset's model; the name itself where it is an id or no preset that is known."""
    name = preset.strip().lower()
    if name in _OTHERS:
        return _OTHERS[name]
    if name in _OWNERS:
        return f"{_OWNERS[name]}/{_SPELLINGS.get(name, name)}"
    return preset.strip()
