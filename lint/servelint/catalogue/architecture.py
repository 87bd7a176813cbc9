"""A model's architecture: the fields of its Hugging Face ``config.json`` that memory and time depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.facts import UnknownFact
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Architecture(NamedTuple):
    """One model's shape. ``config`` holds ``config.json`` field names → values (the text model's for multimodal ones).

    An absent field is unknown, never a default: :meth:`need` raises :class:`UnknownFact`. ``parameters`` is the published or
    counted total (None if neither), ``origin`` says where all this was read. ``class_defaults`` are the values that the
    transformers configuration class fills in for absent fields.

    ``quantization_inferred``: ``quantization_config`` follows from a name or a sibling, it was not read.
    ``quantization_unknown``: only some fields were read, so the absence of ``quantization_config`` proves nothing.
    ``by_name``: the id only names this model, so that its shape is that of another id.
    ``parameters_rounded``: ``parameters`` is a rounded figure ("32B"). ``tokenizer_max_length``: ``model_max_length`` of the
    checkpoint's own tokenizer.
    """

    id: str
    config: Mapping[str, Any]
    class_defaults: Mapping[str, Any]
    parameters: float | None
    origin: str
    checkpoint_bytes: int | None = None
    vision: Mapping[str, Any] | None = None
    quantization_inferred: bool = False
    quantization_unknown: bool = False
    parameters_rounded: bool = False
    tokenizer_max_length: int | None = None
    by_name: bool = False

    def field(self, name: str) -> Any:
        """The value of a field, from the configuration or its class default; None where neither says."""
        value = self.config.get(name)
        return self.class_defaults.get(name) if value is None else value

    def need(self, name: str) -> int:
        """The integer field ``name``; raises :class:`UnknownFact` naming it."""
        value = self.field(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UnknownFact(
                f"model.architecture.{name}",
                f"the configuration of {self.id} does not say it",
                f"give its config.json: --model-config {self.id}=PATH"
                if " " not in self.id
                else "state it in model.architecture",
            )
        return int(value)

    def number(self, name: str, default: int) -> int:
        """The integer field, or ``default``: only where the absence of the field itself has that meaning."""
        value = self.field(name)
        if value is None:
            return default
        return default if isinstance(value, bool) or not isinstance(value, int | float) else int(value)

    @property
    def layers(self) -> int:
        return self.need("num_hidden_layers")

    @property
    def hidden_size(self) -> int:
        return self.need("hidden_size")

    @property
    def attention_heads(self) -> int:
        return self.need("num_attention_heads")

    @property
    def kv_heads(self) -> int:
        """``num_key_value_heads``; a configuration without the field is multi-head (one KV head per head)."""
        return self.number("num_key_value_heads", self.attention_heads)

    @property
    def head_dim(self) -> int:
        """``head_dim``, else hidden size / heads. Never use it for MLA models: there it is the rope part."""
        return self.number("head_dim", self.hidden_size // self.attention_heads)

    @property
    def is_mla(self) -> bool:
        return bool(self.number("kv_lora_rank", 0))

    @property
    def experts(self) -> int:
        """Routed experts per MoE layer; 0 for a dense model."""
        for name in ("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts"):
            count = self.number(name, 0)
            if count > 1:
                return count
        return 0

    @property
    def quantization(self) -> Mapping[str, Any] | None:
        value = self.config.get("quantization_config")
        return value if isinstance(value, dict) else None
