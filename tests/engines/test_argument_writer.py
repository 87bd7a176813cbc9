from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servelint.engines import shell
from servelint.engines.argument_writer import ArgumentWriter, append_argument
from servelint.engines.vllm import Vllm
from servelint.source import edits
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.engines.command import Command

ENGINE = Vllm()

BLOCK = """\
args:
- org/model
- --tensor-parallel-size
- "2"  # two
- --max-model-len=4096  # short
- --enforce-eager
- '--port=80'
"""
FLOW = 'command: [vllm, serve]\nargs: [org/model, --tensor-parallel-size, "2", --max-model-len=4096, --enforce-eager]\n'
SCRIPT = """\
command: [sh, -c]
args:
- |
  exec vllm serve org/model \\
    --tensor-parallel-size 2 \\
    --max-model-len='4096' --enforce-eager \\
    --port 80 | tee log
"""
FOLDED = """\
command: [sh, -c]
args:
- >-
  vllm serve org/model
  --tensor-parallel-size 2
  --max-model-len=4096 --enforce-eager
"""
QUOTED = 'command: [sh, -c, "vllm serve org/model --tensor-parallel-size 2 --max-model-len=4096 --enforce-eager"]\n'


def command(text: str) -> Command:
    document = read_text(SourceText("pod.yaml", text)).documents[0]
    programs = shell.programs(document, document.elements_at("command"), document.elements_at("args"), {})
    found = ENGINE.command(programs, "vllm/vllm-openai:v0.19.1")
    assert found is not None
    return found


def written(text: str, name: str, value: object) -> str | None:
    """The text after ``value`` is written to the last argument ``name``."""
    found = command(text)
    argument = found.last(name)
    assert argument is not None
    made = ArgumentWriter(found, argument).write(value)
    return None if made is None else edits.apply(text, made)


def values(text: str) -> list[tuple[str, str | None]]:
    return [(a.name, a.value) for a in command(text).arguments]


@pytest.mark.parametrize("text", [BLOCK, FLOW, SCRIPT, FOLDED, QUOTED])
@pytest.mark.parametrize(("name", "value"), [("--tensor-parallel-size", 4), ("--max-model-len", 23584)])
def test_a_value_is_set_and_nothing_else_changes(text: str, name: str, value: int) -> None:
    result = written(text, name, value)
    assert result is not None
    assert values(result) == [(n, str(value) if n == name else v) for n, v in values(text)]
    assert len(result.splitlines()) == len(text.splitlines())


@pytest.mark.parametrize("text", [BLOCK, FLOW, SCRIPT, FOLDED, QUOTED])
@pytest.mark.parametrize("name", ["--tensor-parallel-size", "--max-model-len", "--enforce-eager"])
def test_an_argument_is_removed_with_what_belongs_to_it(text: str, name: str) -> None:
    result = written(text, name, None)
    assert result is not None
    assert values(result) == [(n, v) for n, v in values(text) if n != name]
    assert "  --port 80 | tee log" in result or text is not SCRIPT


@pytest.mark.parametrize("text", [BLOCK, FLOW, SCRIPT, FOLDED, QUOTED])
@pytest.mark.parametrize(("name", "value"), [("--max-num-seqs", "8"), ("--headless", None)])
def test_an_argument_is_added_behind_the_last(text: str, name: str, value: str | None) -> None:
    made = append_argument(command(text), name, value)
    assert made is not None
    result = edits.apply(text, made)
    assert values(result) == [*values(text), (name, value)]


def test_the_style_of_what_is_there_is_kept() -> None:
    assert written(BLOCK, "--tensor-parallel-size", 4) == BLOCK.replace('"2"  # two', '"4"  # two')
    assert written(BLOCK, "--max-model-len", 8192) == BLOCK.replace("=4096  # short", "=8192  # short")
    assert written(BLOCK, "--port", 81) == BLOCK.replace("'--port=80'", "'--port=81'")
    assert written(SCRIPT, "--tensor-parallel-size", None) == SCRIPT.replace("    --tensor-parallel-size 2 \\\n", "", 1)
    added = append_argument(command(BLOCK), "--seed", "1")
    assert added is not None
    assert edits.apply(BLOCK, added).splitlines()[-1].strip("- '\"") in {"seed=1", "1"}


def test_a_value_that_the_shell_would_read_is_quoted() -> None:
    result = written(SCRIPT, "--max-model-len", '{"a": 1}')
    assert result is not None
    assert ("--max-model-len", '{"a": 1}') in values(result)


def test_a_switch_is_removed_or_left() -> None:
    for value in (False, None, 1):
        result = written(BLOCK, "--enforce-eager", value)
        assert result == BLOCK.replace("- --enforce-eager\n", "")
    assert written(BLOCK, "--enforce-eager", True) == BLOCK
    assert written(BLOCK, "--enforce-eager", 8) == BLOCK  # a degree that the switch stands for


@pytest.mark.parametrize(
    "text",
    [
        "command: [sh, -c]\nargs:\n- TP=2; vllm serve m/n -tp $TP\n",
        "command: [sh, -c]\nargs:\n- A='-tp 2'; vllm serve m/n $A\n",
        "command: [vllm, serve, m/n, '-tp 2']\n",
    ],
)
def test_what_comes_from_a_variable_or_is_jammed_is_not_written(text: str) -> None:
    assert written(text, "--tensor-parallel-size", 4) is None
    assert written(text, "--tensor-parallel-size", None) is None or "$TP" in text


def test_an_aliased_item_is_not_written() -> None:
    text = "x: &tp --tensor-parallel-size=2\ncommand: [vllm, serve, m/n, *tp]\n"
    assert written(text, "--tensor-parallel-size", 4) is None


def test_elements_of_an_array_are_written_where_they_stand() -> None:
    text = 'command: [bash, -c]\nargs:\n- |\n  A=(-tp 2 --port 80)\n  vllm serve m/n "${A[@]}"\n'
    assert written(text, "--tensor-parallel-size", 4) == text.replace("-tp 2", "-tp 4")
    assert written(text, "--tensor-parallel-size", None) is None  # its neighbour stands elsewhere
    assert written(text, "--port", None) == text.replace(" --port 80", "")
