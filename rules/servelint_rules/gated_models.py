"""Gated models: repositories of the Hugging Face hub that give their files only to accounts that accepted a licence.

A list of families, by the beginning of the id in lower case. Only those are in it whose gate is a condition of the licence,
published with the model, for every repository that the beginning fits; makers that gate some repositories and not others
(Mistral AI, for one) are left out. Sources: "You need to agree to share your contact information to access this model" on the
model cards of meta-llama (Llama 2 to 4, Llama Guard, Code Llama) and of google's Gemma 1, 2 and 3 (PaliGemma, ShieldGemma,
CodeGemma, RecurrentGemma and MedGemma are under the same terms); https://huggingface.co/docs/hub/models-gated.
"""

from __future__ import annotations

_FAMILIES = (
    "meta-llama/", "google/gemma-2b", "google/gemma-7b", "google/gemma-1.1-", "google/gemma-2-", "google/gemma-3-",
    "google/gemma-3n-", "google/codegemma-", "google/recurrentgemma-", "google/paligemma", "google/shieldgemma-",
    "google/medgemma-",
)  # fmt: skip


def is_gated(model: str) -> bool:
    return model.lower().startswith(_FAMILIES)
