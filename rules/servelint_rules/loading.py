"""Loading: how long a probe lets an engine load, and how long it takes: the arithmetic of K8S602 and K8S603."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from servelint.deployment import Pool
from servelint.facts import Fact, Origin, OriginKind, UnknownFact
from servelint.finding import Proposal, Related, Verdict
from servelint.formats import containers
from servelint.source.scalars import whole
from servelint_rules import listening, pods
from servelint_rules.figures import patience

if TYPE_CHECKING:
    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Container
    from servelint.estimate import Estimate
    from servelint.finding import Edit
    from servelint.formats.containers import Probe

# Hardly an engine with weights of this size answers within a minute of its start (import, load, compile, graph capture).
LARGE_WEIGHTS_BYTES = 10e9
SMALL_WEIGHTS_BYTES = 2e9
CERTAIN_SECONDS = 60
SUSPECT_SECONDS = 300
# A slow but usual way to the weights: 2 Gbit/s from the hub or a network disk, 1 GB/s from a disk of the node or a claim.
DOWNLOAD_BYTES_PER_SECOND = 0.25e9
DISK_BYTES_PER_SECOND = 1e9
# From the start of the process to its open port without the weights: 30 s that no log line accounts for (vllm#20264), 34 s of
# compiling and profiling and 25 s of graph capture (gateway-api-inference-extension#550, a 7B model on an H100).
ENGINE_SECONDS = 90
# Of the bytes of two per weight, what a checkpoint of four bits (and its scales) has at least.
_FEWEST_BITS = 4
# A startup budget of ten minutes, the usual one of charts and operators, was thought about.
AMPLE_SECONDS = 600
_FAST_LOADERS = frozenset(("dummy", "runai_streamer", "runai_streamer_sharded", "tensorizer", "fastsafetensors"))


def asks_engine(container: Container, probe: Probe) -> bool:
    """The probe goes to the port on which the engine answers once it is loaded, by itself or by a command."""
    if probe.handler == "exec":
        return _asks_by_command(container, probe)
    if probe.handler not in ("httpGet", "tcpSocket"):
        return False
    path = (probe.node.text_at("httpGet", "path") or "/").partition("?")[0]
    if probe.handler == "httpGet" and path not in listening.AFTER_LOADING.get(container.engine, ()):
        return False
    port = listening.address(container).port
    return port is not None and containers.probe_port(container.node, probe.node) == str(port)


def _asks_by_command(container: Container, probe: Probe) -> bool:
    """``curl http://localhost:8000/health`` and its like."""
    import re  # lazy: few probes are commands

    words = " ".join(pods.texts(probe.node.get("exec", "command")))
    asked = re.findall(r"(?:localhost|127\.0\.0\.1|0\.0\.0\.0):(\d+)(/[\w/.-]*)?", words)
    if len(asked) != 1 or not any(program in words for program in ("curl", "wget", "urlopen", "requests.get")):
        return False
    port, path = asked[0]
    address = listening.address(container)
    return port == str(address.port) and (path or "/") in listening.AFTER_LOADING.get(container.engine, ())


def seconds_to_load(pool: Pool, weights: float) -> tuple[float, str]:
    """How long loading takes on a slow but usual way, and the arithmetic of it."""
    origin = pool.model.origin
    path = pool.model.get("").startswith("/") or (origin is not None and origin.kind is OriginKind.DERIVED)
    rate = DISK_BYTES_PER_SECOND if path else DOWNLOAD_BYTES_PER_SECOND
    fetched = weights / rate
    way = f"{weights / 1e9:.0f} GB at {rate / 1e9:g} GB/s" + ("" if path else ", as from the hub")
    return fetched + ENGINE_SECONDS, f"{way} {fetched:.0f} s + start, compilation and graphs {ENGINE_SECONDS} s"


def starts_fast(container: Container) -> bool:
    command = container.command
    if command is None:
        return False
    loader = command.last("--load-format")
    return command.last("--enforce-eager") is not None or (loader is not None and loader.value in _FAST_LOADERS)


def checkpoint_bytes(pool: Pool) -> float | None:
    """Size of the checkpoint, at least; None where the model is not known."""
    try:
        return checkpoint_size(pool).low
    except UnknownFact:
        return None


def named_bytes(container: Container) -> float | None:
    """What a path or name of the model says of its size (``/models/TinyLlama-1.1B``), at 16 bits; None where it says nothing."""
    import re  # lazy: only for a probe that is short for a model nobody knows

    command = container.command
    arguments = [command.last(flag) for flag in ("--model", "--model-path", "--model-id")] if command is not None else []
    positional = [argument for argument in command.arguments if not argument.name][:1] if command is not None else []
    texts = [argument.value for argument in (*arguments, *positional) if argument is not None and argument.value is not None]
    billions = [float(size) for text in texts for size in re.findall(r"(?<![\w.])(\d+(?:\.\d+)?)[bB](?![A-Za-z0-9])", text)]
    return max(billions) * 2e9 if billions else None


def checkpoint_size(pool: Pool) -> Estimate:
    """Bytes of the weights as they lie in storage: published, else as the tensors and their quantization make them.

    What the engine quantizes while loading is stored at its full width. A NIM takes the profile that suits its GPU, often one
    of fewer bits than the id it is named after. Raises :class:`UnknownFact` for an unknown model.
    """
    from servelint.estimate import Estimate  # lazy: few rules ask for a size

    architecture = pool.architecture.value
    if pool.engine.get("") == "nim":
        full = _size_of(_Same(architecture, pool))
        return Estimate(min(full.low, full.mid / _FEWEST_BITS), full.mid, full.high)
    if architecture.checkpoint_bytes is not None:
        return Estimate.exact(float(architecture.checkpoint_bytes))
    return _size_of(_Same(architecture, pool))


class _Same:
    """A key for the architecture itself, of which a pool that has it is kept: several rules ask for the same model's size."""

    __slots__ = ("architecture", "pool")

    def __init__(self, architecture: Architecture, pool: Pool) -> None:
        self.architecture, self.pool = architecture, pool

    def __hash__(self) -> int:
        return id(self.architecture)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.architecture is self.architecture


@lru_cache(256)
def _size_of(same: _Same) -> Estimate:
    from servelint.capacity.layout import Layout  # lazy: few rules ask for a size
    from servelint.capacity.weights import weights_of
    from servelint.estimate import Estimate

    pool, architecture = same.pool, same.architecture
    # Nothing of the pool but its model counts: what speculates or is sharded is stored elsewhere, or alike.
    stored = Pool("", pool.place, architecture=pool.architecture, dtype=_stored_dtype(pool))
    if architecture.field("num_nextn_predict_layers"):
        # The checkpoint holds the draft layers, whether they are used or not.
        stored = stored._replace(speculative=Fact.unknown(stored.speculative.name, "the checkpoint has draft layers"))
    size = weights_of(stored, Layout("generic")).stages[0]
    if architecture.quantization is None and architecture.quantization_unknown:
        return Estimate(min(size.low, size.mid / _FEWEST_BITS), size.mid, size.high)
    return size


def _stored_dtype(pool: Pool) -> Fact[str]:
    """The dtype that the configuration names; 16 bits where it names none."""
    architecture = pool.architecture.value
    name = str(architecture.field("torch_dtype") or architecture.field("dtype") or "bfloat16").removeprefix("torch.")
    return Fact.known("limits.dtype", name, Origin(OriginKind.CATALOGUE, architecture.origin))


def startup_proposal(container: Container, weights: float | None, *, written: bool) -> Proposal:
    """A startup probe for the engine; ``written``: into this file, which is no template of another."""
    from servelint.formats.snippets import add_startup_probe  # lazy: only findings edit

    period = 10
    budget = max(AMPLE_SECONDS, 2 * (weights or 0) / DOWNLOAD_BYTES_PER_SECOND)
    failures = -(-int(budget) // period)
    edits = add_startup_probe(container.document, container.node, period, failures) if written else None
    return Proposal(f"add a startup probe with the same handler and {period * failures} s", True, edits)


def longer_budget(container: Container, probe: Probe, seconds: float) -> Proposal:
    """A failure threshold that gives the startup probe ``seconds``, and ten minutes at least."""
    failures = -(-int(max(AMPLE_SECONDS, seconds)) // probe.period)
    total = probe.initial_delay + probe.period * failures

    def edits() -> tuple[Edit, ...] | None:
        from servelint.source import edits as editing  # lazy: only fixes edit
        from servelint.source.nodes import ScalarNode

        written = probe.node.get("failureThreshold")
        if isinstance(written, ScalarNode):
            return editing.set_scalar(container.document, written, str(failures))
        return editing.insert_entry(container.document, probe.node, "failureThreshold", str(failures), None)

    return Proposal(f"failureThreshold: {failures}, which gives it {total} s", True, edits)


_READY_TIMEOUT = "VLLM_ENGINE_READY_TIMEOUT_S"


def below_ready_timeout(container: Container, probe: Probe) -> Verdict | None:
    """vLLM is given a time to load, and the probe ends it before that is over."""
    fact = container.environment.get(_READY_TIMEOUT)
    if container.engine != "vllm" or fact is None or not fact.is_known or fact.place is None or whole(fact.value) is None:
        return None
    if probe.handler != "httpGet" or probe.node.text_at("httpGet", "path") not in listening.AFTER_LOADING["vllm"]:
        return None
    if probe.grace_seconds >= int(fact.value):
        return None
    place = pods.key_place(container.document, container.node, "startupProbe") or container.place
    return Verdict(
        place,
        f"the container is ended after {probe.grace_seconds} s, and {_READY_TIMEOUT} gives the engine {fact.value} s",
        arithmetic=(patience(probe),),
        related=(Related(fact.place, f"{fact.value} s to load"),),
        proposals=(longer_budget(container, probe, int(fact.value)),),
        key=_READY_TIMEOUT,
    )
