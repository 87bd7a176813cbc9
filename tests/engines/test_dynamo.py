from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from servelint.engines import dynamo
from servelint.engines.flag import Presence
from servelint.engines.flags import flag_table
from servelint.engines.sglang import Sglang
from servelint.engines.tgi import Tgi
from servelint.engines.trtllm import Trtllm
from servelint.engines.versions import Version
from servelint.engines.vllm import Vllm

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.engines.base import Engine
    from servelint.facts import Fact

ENGINES: dict[str, Engine] = {"vllm": Vllm(), "sglang": Sglang(), "trtllm": Trtllm(), "tgi": Tgi()}
RUNTIME = "nvcr.io/nvidia/ai-dynamo"


@pytest.mark.parametrize("module", ["vllm", "sglang", "trtllm"])
def test_a_worker_is_its_engine(module: str, started: Any) -> None:
    text = f"command: [python3, -m, dynamo.{module}]\nargs: [--model-path, a/b, --model, a/b, --tensor-parallel-size, '4']\n"
    for name, engine in ENGINES.items():
        found = started(engine, text).found
        assert (found is not None) is (name == module)
    read = started(ENGINES[module], text)
    assert (read.command.engine, read.command.launcher) == (module, f"python -m dynamo.{module}")
    assert (read.values["model"], read.values["tensor"]) == ("a/b", 4)


@pytest.mark.parametrize(
    "module", ["dynamo.mocker", "dynamo.frontend", "dynamo.planner", "dynamo.vllm_prefill_router", "dynamo.router"]
)
def test_what_runs_no_engine(module: str, started: Any) -> None:
    text = f"command: [python3, -m, {module}, --model-path, a/b]\n"
    assert all(started(engine, text).found is None for engine in ENGINES.values())


@pytest.mark.parametrize(
    ("engine", "reference", "expected"),
    [
        ("vllm", f"{RUNTIME}/vllm-runtime:1.3.0", "0.23.0"),
        ("vllm", f"{RUNTIME}/vllm-runtime:0.6.1.post1", "0.11.0"),
        ("vllm", f"{RUNTIME}/vllm-runtime:1.1.1-efa-amd64", "0.19.0"),
        ("sglang", f"{RUNTIME}/sglang-runtime:0.9.0", "0.5.8"),
        ("trtllm", f"{RUNTIME}/tensorrtllm-runtime:1.3.0", "1.3.0"),
        ("vllm", f"{RUNTIME}/vllm-runtime:1.4.0-kimi-k3-dev.1", None),
        ("vllm", f"{RUNTIME}/vllm-runtime:1.2.0-deepseek-v4-cuda13-dev.3", None),
        ("vllm", "example.com/ai-dynamo-vllm-runtime:1.2.0", None),
        ("vllm", "my-registry/vllm-runtime:1.3.0", None),
    ],
)
def test_versions_of_the_runtimes(engine: str, reference: str, expected: str | None, image: Callable[[str], Fact[str]]) -> None:
    fact = ENGINES[engine].version(image(reference))
    assert (str(fact.value) if fact.is_known else None) == expected
    if not fact.is_known:
        assert "Dynamo" in fact.reason or "numbers its images itself" in fact.reason


def test_a_known_version_says_where_it_comes_from(image: Callable[[str], Fact[str]]) -> None:
    fact = ENGINES["sglang"].version(image(f"{RUNTIME}/sglang-runtime:1.1.1"))
    assert fact.origin is not None
    assert fact.origin.text == "image tag 1.1.1: Dynamo 1.1.1 ships 0.5.10.post1"


def test_the_options_of_a_worker_are_those_of_both() -> None:
    table = dynamo.table("vllm")
    release = Version(0, 19, 0)
    assert table.resolve("--tensor-parallel-size", release)[0] is flag_table("vllm")["--tensor-parallel-size"]
    own, abbreviated = table.resolve("--is-prefill-worker", release)
    assert own is not None
    assert not abbreviated
    assert own.presence(release) is Presence.UNCERTAIN
    assert own.removal(release) is None
    assert own.in_newest()
    assert own.is_switch_at(release)
    assert own.default_at(release) == "False"
    assert table.resolve("--no-such-option", release) == (None, False)
    assert table.scanned == flag_table("vllm").scanned
    assert {"--is-prefill-worker", "--tensor-parallel-size"} <= set(table.names())
    with pytest.raises(KeyError):
        table["--no-such-option"]


@pytest.mark.parametrize("name", flag_table("dynamo").names())
def test_every_option_of_dynamo_reads_without_its_history(name: str) -> None:
    flag = dynamo.table("trtllm")[name]
    assert flag.kind_at(Version(1, 0, 0)) in {"bool", "int", "size", "float", "text", "json"}
    assert flag.arity_at(None) in {"0", "1", "?", "+"}
    assert flag.choices_at(None) != ()
