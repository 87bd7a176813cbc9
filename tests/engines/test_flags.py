from __future__ import annotations

import time

import pytest
from hypothesis import given, strategies as st

from servelint.engines.flag import Presence
from servelint.engines.flags import FlagTable, environment_table, flag_table
from servelint.engines.versions import Version

VLLM = flag_table("vllm")
NAMES = VLLM.names()


def version(text: str) -> Version:
    found = Version.parse(text)
    assert found is not None
    return found


def test_the_table_holds_every_release_and_flag_of_the_scan() -> None:
    assert len(VLLM.scanned) == 34
    assert (VLLM.scanned[0], VLLM.scanned[-1]) == (version("0.4.3"), version("0.33.0"))
    assert len(NAMES) == len(VLLM) == 391  # the scan's 390, and --help
    assert VLLM.engine == "vllm"


@pytest.mark.parametrize(
    ("written", "name", "abbreviated"),
    [
        ("--tensor-parallel-size", "--tensor-parallel-size", False),
        ("-tp", "--tensor-parallel-size", False),
        ("--tensor_parallel_size", "--tensor-parallel-size", False),
        ("--tensor-par", "--tensor-parallel-size", True),
        ("--gpu-memory-util", "--gpu-memory-utilization", True),
        ("--device-memory-utilization", "--gpu-memory-utilization", False),
        ("--max_num_seq", "--max-num-seqs", True),
        ("--no-enable-prefix-caching", "--enable-prefix-caching", False),
        ("--kv_transfer_config.kv_role", "--kv-transfer-config", False),
        ("--kv-transfer-config=x_y", "--kv-transfer-config", False),
        ("-q", "--quantization", False),
        ("--swap-space", "--swap-space", False),
    ],
)
def test_resolve(written: str, name: str, abbreviated: bool) -> None:
    flag, short = VLLM.resolve(written, None)
    assert flag is not None
    assert (flag.name, short) == (name, abbreviated)


@pytest.mark.parametrize("written", ["--enable-metrics", "--max-num", "-xyz", "--", "-", "--t"])
def test_an_unknown_or_ambiguous_flag_is_none(written: str) -> None:
    assert VLLM.resolve(written, None) == (None, False)


def test_a_prefix_is_resolved_against_the_flags_of_the_release() -> None:
    # --data-parallel-s is --data-parallel-size until --data-parallel-size-local came.
    assert VLLM.resolve("--data-parallel-s", version("0.8.5"))[1]
    assert VLLM.resolve("--data-parallel-s", version("0.9.2")) == (None, False)
    assert "--data-parallel-size-local" in VLLM.candidates("--data-parallel-s", version("0.9.2"))


def test_a_flag_can_come_back() -> None:
    flag = VLLM["--disable-log-requests"]
    present = {v: flag.presence(version(v)) for v in ("0.4.3", "0.16.0", "0.17.0", "0.17.1", "0.32.0", "0.32.5", "0.33.0")}
    assert present == {
        "0.4.3": Presence.PRESENT,
        "0.16.0": Presence.PRESENT,
        "0.17.0": Presence.UNCERTAIN,
        "0.17.1": Presence.ABSENT,
        "0.32.0": Presence.ABSENT,
        "0.32.5": Presence.UNCERTAIN,
        "0.33.0": Presence.PRESENT,
    }
    assert flag.removed_before(version("0.19.1"))
    assert not flag.removed_before(version("0.33.0"))
    assert flag.removal() == (version("0.16.0"), version("0.17.1"))
    assert flag.deprecated_since == version("0.10.2")


def test_beyond_what_was_scanned_nothing_is_certain() -> None:
    for name in ("--tensor-parallel-size", "--swap-space", "--watchdog-config"):
        assert VLLM[name].presence(version("0.34.0")) is Presence.UNCERTAIN
        assert VLLM[name].presence(version("0.4.2")) is Presence.UNCERTAIN


def test_a_flag_that_is_newer_is_absent_but_was_not_removed() -> None:
    flag = VLLM["--attention-backend"]
    assert flag.presence(version("0.12.0")) is Presence.ABSENT
    assert not flag.removed_before(version("0.12.0"))
    assert flag.introduced == version("0.13.0")
    assert flag.removal() is None


def test_a_spelling_has_its_own_releases() -> None:
    flag = VLLM["--enable-prefix-caching"]
    assert flag.presence(version("0.6.0")) is Presence.PRESENT
    assert flag.presence(version("0.6.0"), "--no-enable-prefix-caching") is Presence.ABSENT
    assert flag.presence(version("0.6.6"), "--no-enable-prefix-caching") is Presence.PRESENT
    assert flag.presence(version("0.32.0"), "--disable-prefix-caching") is Presence.ABSENT
    assert flag.negates("--disable-prefix-caching")
    assert flag.negates("--no_enable_prefix_cach")
    assert not flag.negates("--enable-prefix-caching")
    assert not flag.negates("--enable_prefix_cach")
    assert flag.presence(version("0.6.0"), "--no_enable_prefix_caching") is Presence.ABSENT
    assert flag.negative_spelling == "--no-enable-prefix-caching"


def test_defaults_by_release_and_both_in_a_gap() -> None:
    flag = VLLM["--gpu-memory-utilization"]
    assert flag.default_at(version("0.19.1")) == "0.9"
    assert flag.default_at(version("0.20.2")) == "0.92"
    assert flag.default_at(version("0.20.0")) is None
    assert flag.defaults_at(version("0.20.0")) == ("0.9", "0.92")
    assert flag.defaults_at(None) == ("0.9", "0.92")
    assert flag.default_at(version("0.99.0")) == "0.92"
    assert VLLM["--tensor-parallel-size"].default_at(None) == "1"
    assert VLLM["--max-num-seqs"].default_at(version("0.33.0")) is None  # the source computes it
    assert flag.constraints == {"gt": 0.0, "le": 1.0}


def test_choices_only_where_they_are_enforced() -> None:
    assert VLLM["--dtype"].choices_at(None) == ("auto", "half", "float16", "bfloat16", "float", "float32")
    assert VLLM["--kv-cache-dtype"].choices_at(None) is None  # any string is accepted beside the choices
    assert VLLM["--kv-cache-dtype"].choices_at(version("0.33.0")) is None
    assert "bfloat16" in (VLLM["--kv-cache-dtype"].choices_at(version("0.13.0")) or ())  # and was not, up to there
    assert VLLM["--kv-cache-dtype"].choices_at(version("0.13.5")) is None  # between the two
    assert VLLM["--kv-cache-dtype"].choices_at(version("0.4.0")) is not None  # older than any scanned
    assert VLLM["--block-size"].choices_at(version("0.9.0")) == ("1", "8", "16", "32", "64", "128")
    assert VLLM["--block-size"].choices_at(version("0.33.0")) is None


def test_what_a_flag_takes() -> None:
    assert VLLM["--enforce-eager"].is_switch_at(None)
    assert VLLM["--max-model-len"].kind_at(version("0.8.0")) == "int"
    assert VLLM["--max-model-len"].kind_at(None) == "size"
    assert VLLM["--max-model-len"].kinds_at(version("0.8.2")) == ("int", "size")
    assert VLLM["--served-model-name"].arity_at(None) == "+"
    assert VLLM["--hf-token"].arity_at(None) == "?"
    # A value was legal behind this switch until 0.8.
    assert VLLM["--enable-chunked-prefill"].arity_at(version("0.7.3")) == "?"
    assert VLLM["--enable-chunked-prefill"].is_switch_at(version("0.9.0"))
    assert not VLLM["--enable-chunked-prefill"].is_switch_at(None)
    assert VLLM["--kv-transfer-config"].kind_at(None) == "json"


@pytest.mark.parametrize(
    "name", ["--help", "--config", "--host", "--port", "--headless", "--api-server-count", "--uvicorn-log-level"]
)
def test_flags_that_no_configuration_class_has(name: str) -> None:
    flag = VLLM.flag(name)
    assert flag is not None
    assert flag.presence(version("0.19.1")) is Presence.PRESENT


def test_flags_of_serve_before_the_parsers_were_merged() -> None:
    assert VLLM["--config"].presence(version("0.6.0")) is Presence.PRESENT
    assert VLLM["--headless"].presence(version("0.9.0")) is Presence.PRESENT
    assert VLLM["--headless"].presence(version("0.8.5")) is Presence.ABSENT
    assert VLLM["--grpc"].presence(version("0.18.1")) is Presence.PRESENT


def test_nearest() -> None:
    assert VLLM.nearest("--max-model-length") == "--max-model-len"
    assert VLLM.nearest("--tensor_paralel_size") == "--tensor-parallel-size"
    assert VLLM.nearest("--xyzzy") is None


def test_loading_builds_no_flag() -> None:
    text = "\n".join([*VLLM._lines])
    best = min(_time(text) for _ in range(5))
    assert best < 0.01  # measured 0.3 ms; the bound is for slow machines
    assert not FlagTable(text)._flags


def _time(text: str) -> float:
    start = time.perf_counter()
    FlagTable(text)
    return time.perf_counter() - start


@pytest.mark.parametrize("engine", ["sglang", "trtllm", "tgi", "dynamo"])
def test_the_other_engines_have_tables_of_the_same_form(engine: str) -> None:
    table = flag_table(engine)
    assert table.engine == engine
    for name in table.names():
        flag = table[name]
        assert flag.name == name
        assert flag.kind_at(None) in {"bool", "int", "float", "text", "json"}
        assert flag.arity_at(None) in {"0", "1", "?", "+"}
        for release in table.scanned:
            flag.presence(release)
            flag.choices_at(release)
    assert table.resolve("--no-such-flag-at-all", None) == (None, False)


def test_only_vllm_reads_underscores_as_dashes() -> None:
    assert flag_table("sglang").resolve("--mem-frac", None)[0] is flag_table("sglang").flag("--mem-fraction-static")
    assert flag_table("sglang").flag("--tp-size") is not None
    assert flag_table("trtllm").resolve("--tp-size", None) == (None, False)
    assert flag_table("trtllm").flag("--tp_size") is not None


def test_environment_variables_by_release() -> None:
    table = environment_table("vllm")
    variable = table["VLLM_ATTENTION_BACKEND"]
    assert variable.removed_before(version("0.19.1"))
    assert table.flag("VLLM_NO_SUCH_VARIABLE") is None
    assert table.nearest("VLLM_LOGGING_LEVELS") == "VLLM_LOGGING_LEVEL"


@given(st.sampled_from(NAMES), st.sampled_from(VLLM.scanned))
def test_at_a_scanned_release_presence_is_certain(name: str, release: Version) -> None:
    assert VLLM[name].presence(release) is not Presence.UNCERTAIN


@given(st.sampled_from(NAMES), st.data())
def test_every_spelling_finds_its_flag_and_every_unique_prefix_too(name: str, data: st.DataObject) -> None:
    flag = VLLM[name]
    for spelling in (name, *flag.aliases):
        found, abbreviated = VLLM.resolve(spelling, None)
        assert found is not None
        assert not abbreviated
    if flag.in_newest(name):
        cut = data.draw(st.integers(3, len(name)))
        candidates = VLLM.candidates(name[:cut], None)
        assert name in candidates
        if len(candidates) == 1:
            assert VLLM.resolve(name[:cut], None)[0] is flag


@given(st.text(max_size=30))
def test_any_text_resolves_or_does_not(text: str) -> None:
    flag, abbreviated = VLLM.resolve("--" + text, None)
    assert flag is not None or not abbreviated


def test_the_choices_of_every_release_are_known_only_if_each_of_them_has_a_list() -> None:
    assert VLLM["--prefix-caching-hash-algo"].choices_ever() == (
        "builtin", "sha256", "sha256_cbor_64bit", "sha256_cbor", "xxhash", "xxhash_cbor",
    )  # fmt: skip
    assert VLLM["--kv-cache-dtype"].choices_ever() is None
    assert VLLM["--block-size"].choices_ever() is None  # any number since 0.9.2
    assert VLLM["--spec-method"].choices_ever() is None  # a list that the scan could not follow


def test_every_kind_of_an_option_that_changed() -> None:
    assert VLLM["--limit-mm-per-prompt"].kinds_ever() == ("text", "json")
    assert VLLM["--limit-mm-per-prompt"].kinds_at(version("0.9.2")) == ("text",)
    assert VLLM["--limit-mm-per-prompt"].kinds_at(version("0.10.0")) == ("json",)


@pytest.mark.parametrize(
    ("name", "release", "first"),
    [
        ("--attention-backend", "0.12.0", "0.13.0"),
        ("--attention-backend", "0.12.1", None),  # uncertain
        ("--attention-backend", "0.13.0", None),
        ("--device-memory-utilization", "0.19.1", "0.31.0"),  # a spelling
        ("--disable-log-requests", "0.19.1", None),  # was there before
        ("--swap-space", "0.33.0", None),
    ],
)
def test_the_first_release_with_what_a_release_lacks(name: str, release: str, first: str | None) -> None:
    flag = VLLM.flag(name)
    assert flag is not None
    found = flag.first_with(name, version(release))
    assert (str(found) if found else None) == first


@pytest.mark.parametrize(
    ("name", "removed", "chosen"),
    [("--disable-log-requests", True, False), ("--swap-space", True, False), ("--dtype", False, True), ("--port", False, False)],
)
def test_what_a_flag_never_had_is_quick_to_tell(name: str, removed: bool, chosen: bool) -> None:
    flag = VLLM[name]
    assert (flag.was_removed, flag.has_choices) == (removed, chosen)
    assert flag.was_removed or flag.removal() is None
    assert flag.has_choices or flag.choices_ever() is None


@given(st.text(alphabet="-abcdelmnopt_", min_size=2, max_size=8))
def test_candidates_are_what_begins_so_in_order(text: str) -> None:
    written = f"--{text}"
    prefix = VLLM.spelled(written)
    found = list(VLLM.candidates(written, None))
    names = {spelling.text for name in NAMES for spelling in VLLM[name].spellings}
    expected = [n for n in sorted(names) if n.startswith(prefix) and VLLM[n].in_newest(n)] if len(prefix) > 2 else []
    assert found == (expected if prefix.startswith("--") else [])
