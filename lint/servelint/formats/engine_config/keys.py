"""Whose options the keys of a mapping are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.flags import flag_table
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from servelint.engines.base import Engine
    from servelint.engines.flags import FlagTable

_ENOUGH = 2
# Fields of TensorRT-LLM's LlmArgs (tensorrt_llm/llmapi/llm_args.py, 0.20 to 1.3) that its command line does not have, or spells
# otherwise. A configuration of it is those and the options of trtllm-serve.
_TRTLLM = frozenset((
    "allreduce_strategy", "attention_dp_config", "attention_dp_events_gather_period_ms", "attn_backend", "auto_parallel",
    "backend", "batch_wait_max_tokens_ratio", "batch_wait_timeout_iters", "batch_wait_timeout_ms", "batched_logits_processor",
    "batching_type", "build_config", "cache_transceiver_config", "calib_config", "checkpoint_format", "checkpoint_loader",
    "context_parallel_size", "cp_config", "cuda_graph_batch_sizes", "cuda_graph_config", "cuda_graph_max_batch_size",
    "cuda_graph_padding_enabled", "decoding_config", "disable_mm_encoder", "disable_overlap_scheduler", "dtype",
    "dwdp_config", "enable_attention_dp", "enable_autotuner", "enable_chunked_prefill", "enable_energy_metrics",
    "enable_iter_perf_stats", "enable_iter_req_stats", "enable_layerwise_nvtx_marker", "enable_lm_head_tp_in_adp",
    "enable_lora", "enable_min_latency", "enable_mixed_sampler", "enable_resource_governor", "enable_trtllm_sampler",
    "encode_only", "env_overrides", "fast_build", "force_dynamic_quantization", "garbage_collection_gen0_threshold",
    "gather_generation_logits", "gpus_per_node", "guided_decoding_backend", "host", "hostname", "iter_stats_max_iterations",
    "kv_cache_config", "kv_cache_dtype", "kv_connector_config", "layer_wise_benchmarks_config", "load_format", "log_level",
    "lora_config", "max_batch_size", "max_beam_width", "max_input_len", "max_num_tokens", "max_seq_len", "max_stats_len",
    "media_io_kwargs", "mm_encoder_only", "model", "moe_backend", "moe_cluster_parallel_size", "moe_config",
    "moe_expert_parallel_size", "moe_load_balancer", "moe_max_num_tokens", "moe_tensor_parallel_size", "multimodal_config",
    "normalize_log_probs", "num_instances", "num_postprocess_workers", "num_serve_frontends", "nvfp4_gemm_config",
    "orchestrator_type", "otlp_traces_endpoint", "peft_cache_config", "perf_metrics_max_requests", "pipeline_parallel_size",
    "port", "postprocess_tokenizer_dir", "print_iter_log", "pytorch_backend_config", "quant_config",
    "ray_worker_extension_cls", "reasoning_parser", "request_stats_max_iterations", "return_perf_metrics", "revision",
    "router", "sampler_type", "scheduler_config", "skip_tokenizer_init", "sparse_attention_config", "speculative_config",
    "stream_interval", "tensor_parallel_size", "tokenizer", "tokenizer_mode", "tokenizer_revision", "tool_parser",
    "torch_compile_config", "trust_remote_code", "urls", "use_cuda_graph", "use_torch_sampler", "video_pruning_rate",
))  # fmt: skip
_TRTLLM_ALONE = frozenset((
    "kv_cache_config", "cuda_graph_config", "moe_expert_parallel_size", "enable_attention_dp", "cache_transceiver_config",
    "disable_overlap_scheduler", "moe_config", "print_iter_log", "attention_dp_config", "pytorch_backend_config", "build_config",
    "enable_iter_perf_stats", "use_cuda_graph", "max_num_tokens", "max_seq_len", "max_batch_size",
))  # fmt: skip
_TRTLLM_BACKENDS = frozenset(("pytorch", "tensorrt", "_autodeploy"))


def owner(mapping: MappingNode, engines: Sequence[Engine]) -> Engine | None:
    """The engine of which ``mapping`` is a configuration; None if it is none, or of an engine that is not at hand."""
    keys = [name for name, _, _ in mapping.pairs()]
    if is_trtllm(keys, mapping.text_at("backend") or ""):
        return next((engine for engine in engines if engine.name == "trtllm"), None)
    best: tuple[int, Engine] | None = None
    for engine in engines:
        if engine.name in {"vllm", "sglang"}:
            known = _known(mapping, flag_table(engine.name))
            if known >= _ENOUGH and known >= _needed(len(keys)) and (best is None or known > best[0]):
                best = known, engine
    if best is None:
        return None
    rivals = [name for name in ("vllm", "sglang") if name != best[1].name]
    unclear = any(_known(mapping, flag_table(name)) == best[0] for name in rivals)
    if (unclear and not _is_spelled_for(keys, best[1].name)) or all(map(_is_of_trtllm_too, keys)):
        return None
    return best[1]


def _is_of_trtllm_too(key: str) -> bool:
    """trtllm-serve and the programs around it have an option of that name (``tp_size``), which their files may set, too."""
    return flag_table("trtllm").flag("--" + key.replace("-", "_")) is not None


def is_trtllm(keys: Collection[str], backend: str = "") -> bool:
    """Nearly all of the keys are fields of TensorRT-LLM's arguments, and two at least (or all) are nobody else's.

    ``backend``: the value of that key. One of its own counts as such a key.
    """
    own = sum(key in _TRTLLM for key in keys)
    alone = sum(key in _TRTLLM_ALONE for key in keys) + (backend in _TRTLLM_BACKENDS)
    return own >= _needed(len(keys)) and (alone >= _ENOUGH or alone == len(keys) > 0)


def _needed(keys: int) -> int:
    """How many of so many keys must be known: all of a few, four in five of many (a slip is for a rule to find)."""
    return keys if keys < 4 else keys - max(1, keys // 5)


def _known(mapping: MappingNode, table: FlagTable) -> int:
    """The keys that are options of the engine, with values of the kind the option takes."""
    known = 0
    for key, _, value in mapping.pairs():
        written = "--" + key.replace("_", "-")
        flag = table.flag(written)
        if flag is None:
            continue
        kind = flag.kind_at(None)
        if isinstance(value, MappingNode) and kind not in {"json", "text"}:
            continue
        if isinstance(value, SequenceNode) and flag.arity_at(None) != "+" and kind not in {"json", "text"}:
            continue
        known += isinstance(value, ScalarNode | SequenceNode | MappingNode)
    return known


_VLLM_ALONE = frozenset(("gpu-memory-utilization", "max-model-len", "max-num-seqs", "max-num-batched-tokens"))
_SGLANG_ALONE = frozenset(("mem-fraction-static", "context-length", "tp-size", "dp-size", "ep-size", "model-path"))


def _is_spelled_for(keys: Collection[str], engine: str) -> bool:
    """Where two engines know as many of the keys: whether one of them is this engine's alone."""
    alone = _VLLM_ALONE if engine == "vllm" else _SGLANG_ALONE
    return any(key.replace("_", "-") in alone for key in keys)
