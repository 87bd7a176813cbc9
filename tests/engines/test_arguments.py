from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from servelint.engines.arguments import Parsed, parse, stray_value
from servelint.engines.command import Argument, Command, Form, Program, Word
from servelint.engines.flags import flag_table
from servelint.engines.versions import Version
from servelint.source.nodes import Document, ScalarNode
from servelint.source.text import SourceText, Span

VLLM = flag_table("vllm")
SPAN = Span(0, 0)


def word(text: str, variable: str = "") -> Word:
    return Word(text, SPAN, ScalarNode(SPAN, text, ""), True, variable)


def parsed(*texts: str, version: str | None = None) -> Parsed:
    found = Version.parse(version) if version else None
    return parse([word(t) for t in texts], 0, VLLM, found)


def arguments(*texts: str, version: str | None = None) -> tuple[Argument, ...]:
    return parsed(*texts, version=version).arguments


def shown(argument: Argument) -> tuple[str, str, str | None, Form]:
    return argument.name, argument.key, argument.value, argument.form


def one(*texts: str, version: str | None = None) -> tuple[str, str, str | None, Form]:
    (found,) = arguments(*texts, version=version)
    return shown(found)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["--max-model-len", "4096"], ("--max-model-len", "", "4096", Form.SEPARATE)),
        (["--max-model-len=4096"], ("--max-model-len", "", "4096", Form.JOINED)),
        (["--max_model_len=a_b"], ("--max-model-len", "", "a_b", Form.JOINED)),
        (["--max-model-len", "-1"], ("--max-model-len", "", "-1", Form.SEPARATE)),
        (["--max-model-len"], ("--max-model-len", "", None, Form.BARE)),
        (["-tp", "8"], ("--tensor-parallel-size", "", "8", Form.SEPARATE)),
        (["-tp=8"], ("--tensor-parallel-size", "", "8", Form.JOINED)),
        (["-q", "fp8"], ("--quantization", "", "fp8", Form.SEPARATE)),
        (["-qfp8"], ("--quantization", "", "fp8", Form.JOINED)),
        (["-n2"], ("--nnodes", "", "2", Form.JOINED)),
        (["--enforce-eager"], ("--enforce-eager", "", None, Form.BARE)),
        (["--no-enable-prefix-caching"], ("--enable-prefix-caching", "", None, Form.BARE)),
        (["--enable-prefix-caching=true"], ("--enable-prefix-caching", "", "true", Form.JOINED)),
        (["--served-model-name", "a", "b"], ("--served-model-name", "", "a b", Form.SEPARATE)),
        (["--hf-token"], ("--hf-token", "", None, Form.BARE)),
        (["--hf-token", "x"], ("--hf-token", "", "x", Form.SEPARATE)),
        (["--kv-transfer-config", '{"a": 1}'], ("--kv-transfer-config", "", '{"a": 1}', Form.SEPARATE)),
        (['--kv-transfer-config={"a": 1}'], ("--kv-transfer-config", "", '{"a": 1}', Form.JOINED)),
        (["--kv-transfer-config.kv_role", "kv_both"], ("--kv-transfer-config", "kv_role", "kv_both", Form.SEPARATE)),
        (["--kv_transfer_config.kv_role=x"], ("--kv-transfer-config", "kv_role", "x", Form.JOINED)),
        (["--compilation-config.pass_config.x+", "a,b"], ("--compilation-config", "pass_config.x", "a,b", Form.SEPARATE)),
        (["-cc.mode=3"], ("--compilation-config", "mode", "3", Form.JOINED)),
        (["--port.x", "--y"], ("--port", "x", "--y", Form.SEPARATE)),  # a dotted key takes whatever follows
        (["-O3"], ("--optimization-level", "", "3", Form.JOINED)),
        (["-O=2"], ("--optimization-level", "", "2", Form.JOINED)),
        (["-O", "0"], ("--optimization-level", "", "0", Form.SEPARATE)),
        (["-O.mode=3"], ("--compilation-config", "mode", "3", Form.JOINED)),
        (["--gpu-mem", "0.9"], ("--gpu-memory-utilization", "", "0.9", Form.SEPARATE)),
        (["--swap-space", "16"], ("--swap-space", "", "16", Form.SEPARATE)),
        (["--enable-metrics"], ("--enable-metrics", "", None, Form.BARE)),
        (["--no_such_flag", "x"], ("--no-such-flag", "", "x", Form.SEPARATE)),
        (["--no-such.flag=x"], ("--no-such", "flag", "x", Form.JOINED)),
        (["org/model"], ("", "", "org/model", Form.POSITIONAL)),
    ],
)  # fmt: skip
def test_one_argument(texts: list[str], expected: tuple[str, str, str | None, Form]) -> None:
    assert one(*texts) == expected


def test_releases_differ() -> None:
    assert one("-O3", version="0.10.2") == ("--compilation-config", "level", "3", Form.JOINED)
    assert one("-O", '{"level": 3}', version="0.10.2") == ("--compilation-config", "", '{"level": 3}', Form.SEPARATE)
    # A value was legal behind this switch before 0.8.5.
    assert one("--enable-chunked-prefill", "false", version="0.7.3")[2] == "false"
    assert len(arguments("--enable-chunked-prefill", "false", version="0.9.0")) == 2


def test_an_option_is_no_value() -> None:
    found = arguments("--max-model-len", "--enforce-eager", "--port", "-tp", "2")
    assert [shown(a) for a in found] == [
        ("--max-model-len", "", None, Form.BARE),
        ("--enforce-eager", "", None, Form.BARE),
        ("--port", "", None, Form.BARE),
        ("--tensor-parallel-size", "", "2", Form.SEPARATE),
    ]


def test_several_values_end_at_the_next_option() -> None:
    found = arguments("--served-model-name", "a", "b", "--port", "80", "--api-key", "x", version="0.9.2")
    assert [a.value for a in found] == ["a b", "80", "x"]
    assert [len(a.words) for a in found] == [3, 2, 2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--max-model-len 4096", [("--max-model-len", "4096")]),
        ("--dtype  auto ", [("--dtype", "auto")]),
        (" --enforce-eager", [("--enforce-eager", None)]),
        ("--enforce-eager\n", [("--enforce-eager", None)]),
        ("--model a/b --port=80 --enforce-eager", [("--model", "a/b"), ("--port", "80"), ("--enforce-eager", None)]),
        ("--kv-transfer-config '{\"a\": 1}'", [("--kv-transfer-config", '{"a": 1}')]),
        ("org/model --port 80", [("", "org/model"), ("--port", "80")]),
    ],
)
def test_a_flag_and_its_value_in_one_word(text: str, expected: list[tuple[str, str | None]]) -> None:
    found = arguments(text)
    assert [(a.name, a.value) for a in found] == expected
    assert {a.form for a in found} == {Form.JAMMED}
    assert all(a.words == found[0].words for a in found)


def test_a_flag_behind_an_escaped_blank_takes_the_next_word() -> None:
    found = arguments(" --max-num-seqs", "40", " --enforce-eager", " --dtype", "auto", "--port", "80")
    assert [(a.name, a.value, a.form, len(a.words)) for a in found] == [
        ("--max-num-seqs", "40", Form.JAMMED, 2),
        ("--enforce-eager", None, Form.JAMMED, 1),
        ("--dtype", "auto", Form.JAMMED, 2),
        ("--port", "80", Form.SEPARATE, 2),
    ]


@pytest.mark.parametrize("text", ["--chat-template={{ a }} --x", '--hf-overrides={"a": 1}', "--max-model-len=4096 "])
def test_blanks_behind_the_equals_sign_belong_to_the_value(text: str) -> None:
    assert one(text)[3] is Form.JOINED


def test_a_value_with_blanks_is_no_jam() -> None:
    assert one("--chat-template", "{{ a }} -x --y")[3] is Form.SEPARATE


def command(*texts: str) -> Command:
    words = tuple(word(t) for t in texts)
    found = parse(words, 0, VLLM, None)
    document = Document(SourceText("f", ""), 0, None, SPAN)
    return Command("vllm", document, words[0].node, Program(words, False), "image", found.arguments, VLLM)


def test_a_truth_value_behind_a_switch_is_found() -> None:
    found = command("m", "--enforce-eager", "true", "--port", "80", "--enable-lora", "--headless", "False")
    strays = {a.name: s.value for a in found.arguments if (s := stray_value(found, a)) is not None}
    assert strays == {"--enforce-eager": "true", "--headless": "False"}


def test_the_last_one_given_wins() -> None:
    found = command("-tp", "2", "--tensor-parallel-size=4", "--tensor-parallel-size.x=8")
    last = found.last("--tensor-parallel-size")
    assert last is not None
    assert last.value == "4"


@pytest.mark.parametrize(
    ("words", "elsewhere"),
    [
        ([word("m"), word("--config"), word("c.yaml")], "the file of --config"),
        ([word("m"), word("--config=c.yaml")], "the file of --config"),
        ([word("m"), word("$EXTRA", "EXTRA")], "$EXTRA"),
        ([word("m"), word("$@", "@")], "$@"),
        ([word("$VLLM_ARGS", "VLLM_ARGS")], "$VLLM_ARGS"),
        ([word("--$FLAG", "FLAG")], "--$FLAG"),
        ([word("$MODEL", "MODEL")], ""),
        ([word("m"), word("-tp"), word("$TP", "TP")], ""),
        ([word("m"), word("-tp=$TP", "TP")], ""),
        ([word("m"), word("--port"), word("80")], ""),
    ],
)
def test_where_further_arguments_may_come_from(words: list[Word], elsewhere: str) -> None:
    assert parse(words, 0, VLLM, None).elsewhere == elsewhere


def test_a_value_with_a_variable_is_unknown() -> None:
    separate, joined = parse([word("-tp"), word("$TP", "TP"), word("-pp=$PP", "PP")], 0, VLLM, None).arguments
    assert separate.value_is_unknown
    assert joined.value_is_unknown


def test_two_dashes_end_the_options() -> None:
    found = arguments("--port", "80", "--", "--enforce-eager")
    assert [shown(a)[2:] for a in found] == [("80", Form.SEPARATE), ("--enforce-eager", Form.POSITIONAL)]


_FLAGS = [name for name in VLLM.names() if VLLM[name].in_newest() and VLLM[name].arity_at(None) == "1" and name != "--config"]
_VALUES = st.text(
    st.characters(codec="ascii", exclude_characters=" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"), min_size=1, max_size=12
).filter(lambda v: not v.startswith("-"))


@given(st.lists(st.tuples(st.sampled_from(_FLAGS), _VALUES, st.booleans(), st.booleans()), max_size=6))
def test_what_is_written_is_read(given_flags: list[tuple[str, str, bool, bool]]) -> None:
    texts: list[str] = []
    for name, value, joined, underscores in given_flags:
        written = "--" + name[2:].replace("-", "_") if underscores else name
        texts += [f"{written}={value}"] if joined else [written, value]
    found = arguments(*texts)
    assert [(a.name, a.value) for a in found] == [(name, value) for name, value, _, _ in given_flags]
    assert [a.form is Form.JOINED for a in found] == [joined for _, _, joined, _ in given_flags]
    assert all(a.flag is not None and not a.abbreviated for a in found)


@given(st.lists(st.text(st.sampled_from(list("-=.+ ab0O{}\"'")), max_size=10), max_size=6))
def test_no_word_is_lost(texts: list[str]) -> None:
    words = [word(t) for t in texts]
    seen = {id(w.node) for a in parse(words, 0, VLLM, None).arguments for w in a.words}
    assert [w.text for w in words if id(w.node) not in seen] in ([], ["--"])
