"""Ignore lists: the modules that a checkpoint's quantization leaves alone."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def usual_name(text: str) -> str:
    """A module's name with the parts that families call differently under their commonest name."""
    for old, new in (("block_sparse_moe.", "mlp."), ("feed_forward.", "mlp."), ("ffn.", "mlp."), ("backbone.", "model.")):
        text = text.replace(old, new)
    return text


# What no method quantizes; listing it, as some checkpoints do by the hundred, says nothing.
_NEVER_QUANTIZED = (
    "norm",
    "layernorm",
    "mlp.gate",
    "router",
    "bias",
    "conv1d",
    "shared_expert_gate",
    "embed_tokens",
    "q_scale",
    "k_scale",
)


class Ignored:
    """The modules a checkpoint leaves unquantized, indexed by layer.

    Entries are module names, names with ``*``, parts of names, or ``re:`` expressions matched from the start
    (compressed-tensors ``quantization/lifecycle``, transformers ``should_convert_module``).
    """

    __slots__ = ("_by_layer", "_everywhere", "_expressions", "_words", "entries")

    def __init__(self, entries: Iterable[str]) -> None:
        self.entries = tuple(entries)
        self._by_layer: dict[str, list[str]] = {}
        self._everywhere: list[str] = []
        self._words: list[str] = []
        self._expressions: list[str] = []
        for entry in self.entries:
            if entry.startswith("re:"):
                self._expressions.append(entry[3:])
                continue
            text = usual_name(entry)
            _, found, tail = text.partition("layers.")
            index, _, rest = tail.partition(".")
            if rest.endswith(_NEVER_QUANTIZED):
                continue
            if not found:
                self._words.append(text)
            elif index == "*":
                self._everywhere.append(rest)
            else:
                self._by_layer.setdefault(index.rstrip("*"), []).append(rest or "*")

    def told_apart_by(self, layer: int) -> object:
        """What the entries say of ``layer`` itself; the layer, where an expression may mean one and not another."""
        if any("layers" in expression for expression in self._expressions):
            return layer
        return tuple(self._by_layer.get(str(layer), ()))

    def mentions(self, word: str) -> bool:
        return any(word in entry for entry in self.entries)

    def has_any(self, layer: int, names: Iterable[str]) -> bool:
        """Whether one of the modules ``names`` below ``layer`` is left alone; the LM head is ``lm_head`` of layer -1."""
        listed = self._everywhere + self._by_layer.get(str(layer), [])
        return any(self._has(layer, name, listed) for name in names)

    def _has(self, layer: int, name: str, listed: list[str]) -> bool:
        for rest in listed:
            if name == rest or name.startswith(rest + ".") or fnmatchcase(name, rest):
                return True
        full = name if name == "lm_head" else f"model.layers.{layer}.{name}"
        parts = name.split(".")
        for word in self._words:
            if word in parts or word.rpartition(".")[2] == full or ("*" in word and fnmatchcase(full, word)):
                return True
        if self._expressions:
            import re  # lazily: few lists hold expressions

            for expression in self._expressions:
                try:
                    if re.match(expression, full):
                        return True
                except re.error:
                    continue
        return False


_LATENT = ("self_attn.q_a_proj", "self_attn.q_b_proj", "self_attn.kv_a_proj", "self_attn.kv_b_proj")


def kept_by_nvfp4(name: str, plain: float) -> float:
    """Bytes per parameter below which NVFP4 recipes do not go, 0 for modules that they quantize; of names alone.

    Latent attention's projections are in the exclude list of every such checkpoint that was read (nvidia/DeepSeek-V3.1-NVFP4,
    -V3.2, GLM-5, GLM-5.1, Kimi-K2.5, Kimi-K2.6). Linear attention is in nvidia/Qwen3.5-122B-A10B-NVFP4's, lokeshe09's and
    PassingByPixels' Qwen3.8-27B-NVFP4, in 8 bits in nvidia/Qwen3.6-27B-NVFP4 and kelnei's, in 4 in CodeMan62's: 8 is the middle.
    """
    return plain if name.startswith(_LATENT) else min(plain, 1.0) if name.startswith("linear_attn.") else 0.0
