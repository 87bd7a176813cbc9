"""The built-in rules of servelint: a plugin like anyone's, found by the entry point group ``servelint``.

The hook returns themes, not rules: a theme's module is imported only when a run meets something of its scopes, so a
Kubernetes manifest never pays for the rules of native plans. Everything here uses the public API of ``servelint``.
"""

from __future__ import annotations

from servelint.hooks import hookimpl
from servelint.rulebook import Scope, Theme

_DOCUMENT = frozenset((Scope.DOCUMENT, Scope.DEPLOYMENT))
_CONTAINER = frozenset((Scope.CONTAINER,))
_POOL = frozenset((Scope.POOL,))
_PLAN = frozenset((Scope.PLAN,))
_GROUP = frozenset((Scope.GROUP,))
_WORKSPACE = frozenset((Scope.WORKSPACE,))

# What a file says that has a prefill or decode pool.
_SEPARATED = ("prefill", "decode", "kv_producer", "kv_consumer", "server_role")

# What a command line says that spreads an engine over hosts, or over data-parallel ranks: vLLM's short options, too.
_NODES = ("nnodes", "-n ", "-n\n", '-n"', "-n'", "-n=")
_RANKS = ("data-parallel", "data_parallel", "-dp")

THEMES: tuple[Theme, ...] = (
    Theme("servelint_rules.documents", _DOCUMENT, ("DOC101", "DOC102", "DOC103", "DOC104", "DOC105")),
    Theme("servelint_rules.command_line", _CONTAINER, ("CLI101",)),
    Theme("servelint_rules.argument_forms", _CONTAINER, ("CLI104", "CLI105", "CLI106")),
    Theme("servelint_rules.flag_releases", _CONTAINER, ("CLI102", "CLI103")),
    Theme("servelint_rules.command_values", _CONTAINER, ("CLI110", "CLI111", "CLI113")),
    Theme("servelint_rules.command_future", _CONTAINER, ("CLI107", "CLI116", "CLI120"), advice=True),
    Theme("servelint_rules.environment", _CONTAINER, ("CLI109", "CLI121"), ("env", "vllm_", "sglang_")),
    Theme("servelint_rules.kaito_switches", _CONTAINER, ("CLI123",), ("kaito.sh",)),
    Theme("servelint_rules.cached_models", _POOL, ("CLI122",), ("models--",)),
    Theme("servelint_rules.command_model", _CONTAINER, ("CLI114", "CLI115")),
    Theme("servelint_rules.unexpanded", _CONTAINER, ("CLI118",), ("$",)),
    Theme("servelint_rules.undefined_references", _CONTAINER, ("CLI130",), ("$(",)),
    Theme(
        "servelint_rules.command_conflicts",
        _CONTAINER,
        ("CLI112",),
        (
            "attention-backend",
            "attention_backend",
            "capture-size",
            "capture_size",
            "hybrid-lb",
            "hybrid_lb",
            "hierarchical",
            "encoder-only",
            "encoder_only",
            "max-input-length",
        ),
    ),
    Theme("servelint_rules.tool_calls", _CONTAINER, ("CLI117",), ("auto-tool-choice", "auto_tool_choice")),
    Theme("servelint_rules.remote_code", _CONTAINER, ("SEC101", "SEC107"), ("trust-remote-code", "trust_remote_code")),
    Theme("servelint_rules.revisions", _CONTAINER, ("SEC102",), advice=True),
    Theme(
        "servelint_rules.exposure",
        _CONTAINER,
        ("SEC103", "SEC104", "SEC105", "SEC106", "SEC108"),
        (
            "api-key",
            "api_key",
            "vllm_server_dev_mode",
            "vllm_allow_",
            "hf_",
            "token",
            "password",
            "privileged",
            "hostipc",
            "hostpid",
        ),
    ),
    Theme("servelint_rules.parallelism", _POOL, ("PAR202", "PAR207")),
    Theme("servelint_rules.memory", _POOL, ("MEM401", "MEM402")),
    Theme("servelint_rules.provisioning", _POOL, ("MEM405", "MEM406")),
    Theme("servelint_rules.limits", _POOL, ("LIM301", "LIM308")),
    Theme("servelint_rules.long_lengths", _CONTAINER, ("LIM302",), ("allow_long_max",)),
    Theme("servelint_rules.scheduler_limits", _POOL, ("LIM303", "LIM304"), ("batched", "num-seqs", "num_seqs", "numseqs")),
    Theme("servelint_rules.prefill_chunks", _CONTAINER, ("LIM306", "LIM309"), ("prefill",)),
    Theme("servelint_rules.length_advice", _POOL, ("LIM305", "LIM307"), advice=True),
    Theme("servelint_rules.tgi_limits", _CONTAINER, ("LIM310",), ("text-generation", "tgi")),
    Theme("servelint_rules.block_sizes", _CONTAINER, ("LIM311",), ("attention-backend", "attention_backend", "attentionbackend")),
    Theme(
        "servelint_rules.memory_shares",
        _POOL,
        ("MEM403", "MEM407", "MEM413"),
        ("utilization", "fraction", "memory-bytes", "memory_bytes", "memorybytes"),
    ),
    Theme("servelint_rules.shared_gpus", _WORKSPACE, ("MEM408",), ("services", "&")),
    Theme("servelint_rules.memory_levers", _POOL | _CONTAINER, ("MEM404", "MEM412", "MEM414", "MEM415", "MEM417"), advice=True),
    Theme("servelint_rules.memory_reserves", _POOL, ("MEM416", "MEM418"), ("lora", "nvshmem")),
    Theme("servelint_rules.model_configuration", _POOL, ("DOC106",)),
    Theme("servelint_rules.host_memory", _POOL, ("MEM409", "MEM410"), ("memory", "mem_limit")),
    Theme("servelint_rules.page_cache", _POOL, ("MEM419",), ("memory", "mem_limit"), advice=True),
    Theme("servelint_rules.engine_floor", _POOL, ("MEM429", "K8S655"), ("memory", "mem_limit", "cpu")),
    Theme("servelint_rules.memory_volumes", _CONTAINER, ("MEM411",), ("sizelimit",)),
    Theme("servelint_rules.storage", _POOL, ("K8S611",), ("sizelimit", "storage", "modelartifacts", "accelerators", "disk_size")),
    Theme("servelint_rules.hardware", _POOL, ("HWQ501",)),
    Theme("servelint_rules.service_levels", _POOL, ("SLO801", "SLO802", "SLO803"), ("ttft", "tpot", "itl", "throughput_per_gpu")),
    Theme("servelint_rules.service_load", _POOL, ("SLO807",), ("request_rate", "requestrate")),
    Theme("servelint_rules.service_advice", _POOL, ("SLO806", "SLO810"), ("request_rate", "requestrate", "batched"), advice=True),
    Theme("servelint_rules.speculation_load", _POOL, ("SLO809",), ("speculative",), advice=True),
    Theme("servelint_rules.shared_memory", _CONTAINER, ("K8S601", "K8S618")),
    Theme("servelint_rules.probes", _CONTAINER, ("K8S602", "K8S603", "K8S609"), ("probe",)),
    Theme("servelint_rules.images", _CONTAINER, ("K8S606",)),
    Theme("servelint_rules.gpu_requests", _CONTAINER, ("K8S607",)),
    Theme("servelint_rules.visible_devices", _CONTAINER, ("K8S628",), ("visible_devices", "ze_affinity_mask")),
    Theme("servelint_rules.readiness", _CONTAINER, ("K8S608",), advice=True),
    Theme("servelint_rules.network", _CONTAINER, ("K8S620", "K8S621", "K8S622", "K8S641")),
    Theme("servelint_rules.rollout", _CONTAINER | _POOL, ("K8S604", "K8S616", "K8S623", "K8S627")),
    Theme("servelint_rules.model_access", _CONTAINER, ("K8S610", "K8S617", "K8S619")),
    Theme("servelint_rules.model_volumes", _CONTAINER, ("K8S630",), ("emptydir",)),
    Theme("servelint_rules.pod_placement", _CONTAINER, ("K8S612", "K8S613", "K8S625", "K8S629")),
    Theme("servelint_rules.pod_fields", _CONTAINER, ("K8S626",)),
    Theme("servelint_rules.chart_keys", _CONTAINER, ("K8S650",), ("modelspec",)),
    Theme(
        "servelint_rules.custom_fields",
        _CONTAINER,
        ("K8S652",),
        ("production-stack.vllm.ai", "workload.serving.volcano.sh"),
    ),
    Theme(
        "servelint_rules.engine_addresses",
        _CONTAINER,
        ("K8S653", "K8S654"),
        ("modelbooster", "engine-base-url", "inference_engine_endpoint"),
    ),
    Theme("servelint_rules.compose_variables", _CONTAINER | _WORKSPACE, ("K8S631", "K8S632"), ("services",)),
    Theme("servelint_rules.compose_healthcheck", _CONTAINER, ("K8S633",), ("healthcheck",)),
    Theme("servelint_rules.image_references", _POOL, ("K8S635",), ("image",)),
    Theme("servelint_rules.host_dns", _CONTAINER, ("K8S634",), ("hostnetwork",)),
    Theme("servelint_rules.block_storage", _WORKSPACE, ("K8S636",), ("readwritemany",)),
    Theme("servelint_rules.idle_volumes", _CONTAINER, ("K8S637", "K8S638"), ("emptydir", "volumemounts")),
    Theme("servelint_rules.tolerations", _CONTAINER, ("K8S639",), ("toleration",)),
    Theme("servelint_rules.router_probes", _DOCUMENT, ("K8S640",), ("/readiness",)),
    Theme("servelint_rules.gpu_count_mismatch", _POOL, ("PAR201",)),
    Theme("servelint_rules.quantized_shards", _POOL, ("PAR205", "PAR206")),
    Theme("servelint_rules.divisibility", _POOL, ("PAR203", "PAR204")),
    Theme("servelint_rules.pipelines", _POOL, ("PAR208", "PAR210", "PAR211"), ("pipeline", "-pp", "pp_size", "pp-size")),
    Theme("servelint_rules.quantization_hardware", _POOL, ("HWQ502", "HWQ503", "HWQ505", "HWQ511")),
    Theme("servelint_rules.model_support", _POOL, ("HWQ512", "HWQ513")),
    Theme("servelint_rules.placement", _POOL, ("PAR209", "PAR217", "PAR218", "HWQ507")),
    Theme(
        "servelint_rules.rank_groups",
        _POOL,
        ("PAR214", "PAR215", "PAR216"),
        (
            *_NODES,
            *_RANKS,
            "dp-",
            "dp_",
            "context-parallel",
            "context_parallel",
            "cp-size",
            "cp_size",
            "-dcp",
            "-pcp",
            "expert",
            "ep-size",
            "ep_size",
            "-ep",
            " context:",  # in a plan, as the following
            "{context:",
            '"context"',
            "decode_context",
            "attention_data",
        ),
    ),
    Theme(
        "servelint_rules.expert_groups",
        _POOL,
        ("PAR212", "PAR213", "PAR220"),
        ("expert", "eplb", *_RANKS, "-ep", "ep-size", "ep_size", "moe"),
    ),
    Theme("servelint_rules.draft_models", _POOL, ("PAR221",), ("speculat", "spec-", "spec_")),
    Theme(
        "servelint_rules.attention_hardware",
        _POOL,
        ("HWQ504", "HWQ508"),
        ("kv-cache-dtype", "kv_cache_dtype", "kvcachedtype", "attention-backend", "attention_backend"),
    ),
    Theme(
        "servelint_rules.devices_and_images",
        _CONTAINER | _POOL,
        ("HWQ506", "HWQ509"),
        ("/mig-", "rocm", "gaudi", "habana", "hpu", "xpu", "tpu", "neuron", "cuda", "ascend"),
    ),
    Theme("servelint_rules.kv_connectors", _CONTAINER, ("DIS701", "DIS704", "DIS705"), ("kv_connector", "kv-connector")),
    Theme("servelint_rules.disaggregation", _GROUP, ("DIS702",), _SEPARATED),
    Theme("servelint_rules.separated_pools", _GROUP | _WORKSPACE, ("DIS703", "DIS712"), _SEPARATED),
    Theme("servelint_rules.speculative_pairs", _GROUP, ("DIS721", "DIS727"), ("speculat", "spec-", "spec_")),
    Theme("servelint_rules.kv_handover", _GROUP, ("DIS710",), ("prefill",)),
    Theme("servelint_rules.groups", _POOL, ("DIS707", "DIS714"), ("leaderworkerset",)),
    Theme(
        "servelint_rules.group_options", _POOL, ("DIS722",), ("workertemplate", "worker:", 'worker"', "workerspec", "workergroup")
    ),
    Theme("servelint_rules.group_addresses", _WORKSPACE, ("DIS725",), ("rolebasedgroup",)),
    Theme("servelint_rules.unconnected_pools", _WORKSPACE, ("DIS718",), ("prefill",)),
    Theme("servelint_rules.idle_scorers", _WORKSPACE, ("DIS724",), ("prefix-cache-scorer",)),
    Theme("servelint_rules.group_members", _POOL, ("DIS708", "DIS713"), (*_NODES, *_RANKS)),
    Theme(
        "servelint_rules.interconnect",
        _POOL,
        ("DIS709", "DIS715", "DIS726"),
        ("leaderworker", *_NODES, *_RANKS, "ray", "podgroupsize", "workertemplate", "hostnetwork"),
    ),
    Theme("servelint_rules.worker_modes", _POOL | _CONTAINER, ("DIS716", "DIS717"), ("prefill", "decode", "disaggregation")),
    Theme(
        "servelint_rules.rdma_settings",
        _CONTAINER | _POOL,
        ("DIS719", "DIS720", "DIS723"),
        (
            "nccl_net",
            "nccl_ib_disable",
            "ucx_tls",
            "_hca",
            "net_devices",
            "ib-device",
            "ib_device",
            "device_name",
            "mooncake_device",
        ),
    ),
    Theme("servelint_rules.service_links", _WORKSPACE, ("CLI108",), ("service",)),
    Theme("servelint_rules.shared_claims", _WORKSPACE, ("K8S605",), ("persistentvolumeclaim", "pvcstorage")),
    Theme(
        "servelint_rules.service_selectors",
        _WORKSPACE,
        ("K8S651",),
        ("leaderworkertemplate", "headgroupspec", "workertemplate"),
    ),
    Theme(
        "servelint_rules.autoscaling",
        _WORKSPACE,
        ("K8S614", "K8S615"),
        ("scaletargetref", "kind: service", "kind: 'service", 'kind: "service', 'kind": "service'),
    ),
    Theme("servelint_rules.scale_annotations", _POOL, ("K8S656",), ("min-scale", "max-scale", "minscale", "maxscale")),
    Theme("servelint_rules.disruption_budgets", _WORKSPACE, ("K8S624",), ("poddisruptionbudget",)),
    Theme(
        "servelint_rules.plan",
        _PLAN,
        ("PAR219", "PLN901", "PLN902", "PLN903", "PLN904", "PLN905", "PLN909", "PLN916"),
    ),
    Theme("servelint_rules.plan_kv", _PLAN, ("PLN906", "PLN907", "PLN908"), ("claims",)),
    Theme("servelint_rules.plan_model", _PLAN, ("PLN910",), ("architecture",)),
    Theme("servelint_rules.plan_path", _PLAN, ("PLN913",), ("critical_path",)),
    Theme("servelint_rules.plan_phases", _PLAN, ("PLN912", "PLN924"), ("bound", "latency", "sequence")),
    Theme(
        "servelint_rules.plan_alternatives",
        _PLAN,
        ("PLN911", "PLN914", "SLO804", "SLO805"),
        ("alternatives", "prefill_flops", "improves"),
    ),
    Theme("servelint_rules.plan_bounds", _PLAN, ("PLN915", "PLN917"), ("ttft", "throughput_per_gpu", "memory_utilization")),
    Theme("servelint_rules.plan_size", _PLAN, ("PLN919",), ("ttft", "tpot")),
    Theme(
        "servelint_rules.plan_words",
        _PLAN,
        ("PLN920", "PLN921", "PLN922"),
        ("meets", "follows", "throughput", "source", "alternatives"),
    ),
    Theme("servelint_rules.plan_assumptions", _PLAN, ("SLO811",), ("mfu", "mbu")),
    Theme("servelint_rules.plan_advice", _PLAN, ("PLN923", "SLO808"), advice=True),
)


@hookimpl
def servelint_rules() -> tuple[Theme, ...]:
    """The built-in themes; themes whose module has no rule for a scope are simply not asked."""
    return THEMES
