"""Settings in a mapping as an engine's arguments: names, switches, structures, and how they are written back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from servelint.engines import config_arguments
from servelint.engines.argument_writer import append_argument
from servelint.engines.command import Argument, Command, Form
from servelint.engines.flags import flag_table
from servelint.engines.vllm import Vllm
from servelint.facts import FactState
from servelint.source import edits
from servelint.source.nodes import MappingNode
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.engines.versions import Version


def settings(text: str, engine: str = "vllm", separator: str = "-", version: Version | None = None) -> Command:
    [document] = read_text(SourceText("c.yaml", text)).documents
    root = document.root
    assert isinstance(root, MappingNode)
    table = flag_table(engine)
    return config_arguments.command(engine, document, root, table, version, launcher="test", separator=separator)


def argument(command: Command, name: str) -> Argument:
    found = command.last(name)
    assert found is not None, [a.name for a in command.arguments]
    return found


def test_kebab_and_snake_case_are_the_same_flag() -> None:
    for key in ("tensor-parallel-size", "tensor_parallel_size"):
        found = argument(settings(f"{key}: 4\n"), "--tensor-parallel-size")
        assert (found.value, found.form, found.flag is not None) == ("4", Form.ENTRY, True)


def test_facts_of_keyword_arguments_have_their_own_places() -> None:
    text = "tensor_parallel_size: 4\nmax_model_len: 32k  # long\nenable_expert_parallel: true\nenforce_eager: false\n"
    command = settings(text, separator="_")
    facts = Vllm().facts(command, {})
    assert facts["tensor"].value == 4
    assert facts["max_model_len"].value == 32_000
    assert facts["expert"].value == 4
    assert facts["enforce_eager"].value is False
    place = facts["max_model_len"].place
    assert place is not None
    assert text[place.span.start : place.span.end] == "32k"
    assert facts["max_model_len"].origin.text == "max_model_len"


def test_structures_are_json_and_lists_are_words() -> None:
    command = settings("speculative-config:\n  method: mtp\n  num_speculative_tokens: 2\nserved-model-name: [a, b]\n")
    speculation = argument(command, "--speculative-config").value
    assert json.loads(speculation or "") == {"method": "mtp", "num_speculative_tokens": 2}
    assert argument(command, "--served-model-name").value == "a b"


def test_a_null_says_nothing_and_a_negative_switch_is_turned_round() -> None:
    command = settings("quantization: null\nno-enable-prefix-caching: true\nenable-chunked-prefill: 'false'\n")
    assert command.last("--quantization") is None
    assert argument(command, "--enable-prefix-caching").value == "false"
    assert Vllm().facts(command, {})["chunked_prefill"].value is False


def test_endless_structures_are_unknown() -> None:
    command = settings("speculative-config: &a\n  deep: *a\n")
    assert argument(command, "--speculative-config").value_is_unknown


@pytest.mark.parametrize("value", ["$MAX_LEN", "${MAX_LEN:-4096}", "{{ .Values.len }}", "'<length>'"])
def test_placeholders_are_unknown(value: str) -> None:
    quoted = f'"{value}"' if "'" not in value else value
    fact = Vllm().facts(settings(f"max-model-len: {quoted}\n"), {})["max_model_len"]
    assert fact.state is FactState.UNKNOWN
    assert "filled in" in fact.reason


def test_settings_are_written_back() -> None:
    text = "a_b: 1\ntensor_parallel_size: 4  # GPUs\nenable_expert_parallel: true\n"
    command = settings(text, separator="_")
    facts = Vllm().facts(command, {})
    four = facts["tensor"].writer
    switch = facts["expert"].writer
    assert four is not None
    assert switch is not None
    assert edits.apply(text, four.write(2) or ()) == text.replace("4", "2")
    assert edits.apply(text, four.write(None) or ()) == text.replace("tensor_parallel_size: 4  # GPUs\n", "")
    assert edits.apply(text, switch.write(1) or ()) == text.replace("true", "false")
    assert switch.write(4) == ()
    added = append_argument(command, "--max-model-len", "4096")
    assert edits.apply(text, added or ()) == text + "max_model_len: 4096\n"


def test_unknown_settings_are_arguments_without_a_flag() -> None:
    found = argument(settings("tensor_paralel_size: 4\n"), "--tensor-paralel-size")
    assert found.flag is None


def test_sglang_knows_its_own_spellings() -> None:
    command = settings("tp-size: 8\nep: 8\n", engine="sglang")
    table = flag_table("sglang")
    assert [a.flag for a in command.arguments] == [table.flag("--tp-size"), table.flag("--ep")]
