from __future__ import annotations

import shlex
from time import perf_counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings, strategies as st

from servelint.engines import shell
from servelint.facts import Fact, Origin, OriginKind
from servelint.source.nodes import Document, ScalarNode
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.engines.command import Program, Word

ORIGIN = Origin(OriginKind.FILE, "env")


def document(text: str) -> Document:
    result = read_text(SourceText("pod.yaml", text))
    assert not result.errors
    return result.documents[0]


def known(**values: str) -> dict[str, Fact[str]]:
    return {name: Fact.known(f"env.{name}", value, ORIGIN) for name, value in values.items()}


def run(text: str, environment: dict[str, Fact[str]] | None = None) -> tuple[Program, ...]:
    """The programs of ``command`` and ``args`` of a YAML document."""
    doc = document(text)
    return shell.programs(doc, doc.elements_at("command"), doc.elements_at("args"), environment or {})


def script(text: str, environment: dict[str, Fact[str]] | None = None) -> list[list[str]]:
    """The words of each command of a shell script."""
    indented = "".join(f"  {line}\n" for line in text.split("\n"))
    doc = document("script: |-\n" + indented)
    node = doc.get("script")
    assert isinstance(node, ScalarNode)
    return [[w.text for w in p.words] for p in shell.programs_of_text(doc, node, environment or {})]


def texts(program: Program) -> list[str]:
    return [word.text for word in program.words]


def source_of(program: Program, word: Word) -> str:
    assert program.document is not None
    assert word.span is not None
    return program.document.source.text[word.span.start : word.span.end]


def word_at(program: Program, text: str) -> Word:
    return next(word for word in program.words if word.text == text)


# -- exec form


def test_an_exec_list_is_one_program_and_each_item_its_own_word() -> None:
    (program,) = run("command: [vllm, serve]\nargs:\n- org/model\n- '--port=80'\n- \"--x\"  # note\n")
    assert texts(program) == ["vllm", "serve", "org/model", "--port=80", "--x"]
    assert not program.shell
    assert not program.entrypoint
    assert all(word.whole for word in program.words)
    assert [source_of(program, w) for w in program.words] == ["vllm", "serve", "org/model", "'--port=80'", '"--x"']


def test_without_a_command_the_image_starts_itself() -> None:
    (program,) = run("args: [--model, org/model]\n")
    assert program.entrypoint
    doc = document("name: x\n")
    (empty,) = shell.programs(doc, [], [], {}, doc.root)
    assert empty.words == ()
    assert empty.entrypoint
    assert empty.node is doc.root


def test_kubernetes_expands_what_the_environment_settles() -> None:
    environment = known(TP="8", NAME="a b") | {"SECRET": Fact.unknown("env.SECRET", "it comes from a Secret")}
    (program,) = run("args: ['$(TP)', '--n=$(NAME)x', '$(SECRET)', '$(LWS_GROUP_SIZE)', '$$(TP)', '$TP', '$(']\n", environment)
    assert texts(program) == ["8", "--n=a bx", "$(SECRET)", "$(LWS_GROUP_SIZE)", "$(TP)", "$TP", "$("]
    assert [w.variable for w in program.words] == ["", "", "SECRET", "LWS_GROUP_SIZE", "", "", ""]
    assert [w.expanded for w in program.words] == [True, True, False, False, False, False, False]


def test_a_value_that_refers_to_an_injected_variable_is_not_settled() -> None:
    (program,) = run("args: ['--pp=$(PP)']\n", known(PP="$(LWS_GROUP_SIZE)"))
    assert program.words[0].variable == "LWS_GROUP_SIZE"


@pytest.mark.parametrize(
    "start",
    [
        "command: [sh, -c]",
        "command: [/bin/sh, -c]",
        "command: [bash, -lc]",
        "command: [/bin/bash, -ec]",
        "command: [bash, -euxo, pipefail, -c]",
        "command: [bash, -e, -o, pipefail, -c]",
        "command: [/bin/bash, --login, -c]",
        "command: [bash]\nargs_: 0",
        "command: [/usr/bin/tini, --, bash, -c]",
        "command: [env, A=B, sh, -c]",
    ],
)
def test_a_shell_with_a_script(start: str) -> None:
    head = "- -c\n" if "args_" in start else ""
    programs = run(f"{start}\nargs:\n{head}- cd /x && vllm serve m --port 80\n")
    assert [texts(p) for p in programs] == [["cd", "/x"], ["vllm", "serve", "m", "--port", "80"]]
    assert all(p.shell for p in programs)
    assert source_of(programs[1], programs[1].words[3]) == "--port"


@pytest.mark.parametrize("command", ["[bash, run.sh]", "[sh]", "[python, -c, 'print(1)']", "[bash, -x, start.sh]"])
def test_without_a_script_a_shell_is_a_program(command: str) -> None:
    (program,) = run(f"command: {command}\n")
    assert not program.shell


def test_the_arguments_behind_a_script_are_its_positional_ones() -> None:
    programs = run("command: [sh, -c, 'exec vllm serve \"$@\" --y', --]\nargs: [--model, 'a b']\n")
    (program,) = programs
    assert texts(program) == ["exec", "vllm", "serve", "--model", "a b", "--y"]
    assert word_at(program, "a b").whole
    assert not word_at(program, "--y").whole


def test_unknown_positional_arguments_leave_a_variable() -> None:
    (program,) = run("command: [sh, -c, 'shift; vllm serve \"$@\"', --]\nargs: [a]\n")[1:]
    assert program.words[-1].variable == "@"


# -- scripts

STORY = """\
command: ["/bin/bash", "-c"]
args:
- |
  set -e   # stop at the first failure
  export HF_HOME=/cache
  TP=8
  ARGS="--max-num-seqs 64  --enforce-eager"
  cat > /tmp/notes <<EOF
  vllm serve wrong --port 1
  EOF
  MORE=(--port 80
        "--host=0.0.0.0")
  exec vllm serve ${MODEL:-org/model} \\
    --tensor-parallel-size $TP \\
    --max-model-len="$(LEN)" \\
    $ARGS "${MORE[@]}" --seed $((TP * 2)) --k $(nproc) 'a b' 2>&1 | tee /tmp/log &
"""


def test_a_script_with_everything_in_it() -> None:
    programs = run(STORY, known(LEN="4096"))
    serve = next(p for p in programs if "serve" in texts(p))
    assert texts(serve) == [
        "exec", "vllm", "serve", "org/model", "--tensor-parallel-size", "8", "--max-model-len=4096", "--max-num-seqs", "64",
        "--enforce-eager", "--port", "80", "--host=0.0.0.0", "--seed", "16", "--k", "$(nproc)", "a b",
    ]  # fmt: skip
    assert [texts(p)[0] for p in programs] == ["set", "export", "cat", "exec", "tee"]


def test_spans_are_those_of_the_words_in_the_file() -> None:
    serve = next(p for p in run(STORY, known(LEN="4096")) if "serve" in texts(p))
    spans = {w.text: source_of(serve, w) for w in serve.words}
    assert spans["--tensor-parallel-size"] == "--tensor-parallel-size"
    assert spans["8"] == "$TP"
    assert spans["--max-model-len=4096"] == '--max-model-len="$(LEN)"'
    assert spans["--enforce-eager"] == "$ARGS"
    assert spans["--host=0.0.0.0"] == '"--host=0.0.0.0"'
    assert spans["a b"] == "'a b'"
    assert spans["org/model"] == "${MODEL:-org/model}"
    expanded = {w.text for w in serve.words if w.expanded}
    assert expanded == {"org/model", "8", "--max-model-len=4096", "--max-num-seqs", "64", "--enforce-eager", "16"}
    assert word_at(serve, "$(nproc)").variable == "nproc"


@pytest.mark.parametrize("style", ["|", "|-", ">-", ">"])
def test_spans_in_block_scalars(style: str) -> None:
    joint = " \\" if style[0] == "|" else ""
    text = f"command: [sh, -c]\nargs:\n- {style}\n  vllm serve m{joint}\n  --port 80{joint}\n  --host=::\n"
    (program,) = run(text)
    assert texts(program) == ["vllm", "serve", "m", "--port", "80", "--host=::"]
    assert [source_of(program, w) for w in program.words] == texts(program)


def test_spans_in_quoted_scalars() -> None:
    double = run('command: [sh, -c, "vllm serve m --j \'{\\"a\\": 1}\' --x \\"y z\\""]\n')[0]
    assert texts(double) == ["vllm", "serve", "m", "--j", '{"a": 1}', "--x", "y z"]
    assert source_of(double, double.words[-1]) == '\\"y z\\"'
    single = run("command: [sh, -c, 'vllm serve ''a b'' --x']\n")[0]
    assert source_of(single, single.words[2]) == "''a b''"


def test_a_shell_within_a_shell_keeps_its_places() -> None:
    (program,) = run("command: [sh, -c]\nargs: [\"bash -c 'vllm serve m --port 80'\"]\n")
    assert texts(program) == ["vllm", "serve", "m", "--port", "80"]
    assert source_of(program, program.words[-1]) == "80"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a; b && c || d | e & f", [["a"], ["b"], ["c"], ["d"], ["e"], ["f"]]),
        ("a # b c\nd", [["a"], ["d"]]),
        ("a#b c'#'d", [["a#b", "c#d"]]),
        ("a \\\n  b", [["a", "b"]]),
        ("a > f b 2>&1 >>g <h c", [["a", "b", "c"]]),
        ("a &> f b", [["a", "b"]]),
        ("a 2> f", [["a"]]),
        ("if a; then b; else c; fi", [["a"], ["b"], ["c"]]),
        ("for x in 1 2; do a; done", [["a"]]),
        ("while ! a; do b; done", [["a"], ["b"]]),
        ("case $X in a) b;; *) c;; esac", [["b"], ["*"], ["c"]]),
        ("f() { a; }\nf", [["a"], ["f"]]),
        ("function f { a; }", [["a"]]),
        ("(a; b) && c", [["a"], ["b"], ["c"]]),
        ("A=1 B=2 a b", [["a", "b"]]),
        ("A=1\na $A ${A}x \"$A y\" '$A'", [["a", "1", "1x", "1 y", "$A"]]),
        ("A='x  y'\na $A \"$A\"", [["a", "x", "y", "x  y"]]),
        ("A='x y'\na p${A}q", [["a", "px", "yq"]]),
        ('a ${B:-c d} "${B:-c d}" ${B:+e} ${B-f}', [["a", "c", "d", "c d", "f"]]),
        ("A=1\na ${A:-x} ${A:+y} ${A:?no}", [["a", "1", "y", "1"]]),
        ("a ${B:=7} $B", [["a", "7", "7"]]),
        ('A=\na $A "$A" ${A:-x} ${A-y}', [["a", "", "x"]]),
        ("export A=1 B=2; a $A$B", [["export", "A=1", "B=2"], ["a", "12"]]),
        ("A=1; A+=2; a $A", [["a", "12"]]),
        ("A=2\na $((A + 3 * (4 - 1)))", [["a", "11"]]),
        ("A=(x 'y z'); A+=(w)\na \"${A[@]}\" b", [["a", "x", "y z", "w", "b"]]),
        ("a $'x\\ty' $\"z\"", [["a", "x\ty", "z"]]),
        ("a <<E\nb c\nE\nd", [["a"], ["d"]]),
        ("a <<-'E' > f\nb\n\tE\nd", [["a"], ["d"]]),
        ("a <<< b c", [["a", "c"]]),
        ('a "b\\"c\\$d\\e"', [["a", 'b"c$d\\e']]),
        ("a \\$b \\ c", [["a", "$b", " c"]]),
        ("a '' \"\"", [["a", "", ""]]),
        ("[[ -n $X && $Y ]] && a", [["[[", "-n", "$X"], ["$Y", "]]"], ["a"]]),
        ("nohup a --x y > /dev/null 2>&1 &\nwait", [["nohup", "a", "--x", "y"], ["wait"]]),
        ("a --model <model-path> \\\n --port 80", [["a", "--model", "<model-path>", "--port", "80"]]),
        ("", []),
        ("a 'b", [["a", "b"]]),
        ('a "b', [["a", "b"]]),
        ("a ${b", [["a", "${b"]]),
        ("a $(b", [["a", "$(b"]]),
        ("a `b", [["a", "`b"]]),
        ("a \\", [["a", "\\"]]),
        ("fi; done; } )", []),
        ("time a", [["a"]]),
        ("eval 'a b'; eval c d", [["a", "b"], ["c", "d"]]),
        ("B=1; eval 'a $B'; bash -c 'a $B ${B:-2}'; C=3 sh -c 'a $C'", [["a", "1"], ["a", "$B", "2"], ["a", "3"]]),
        ("export B=1; bash -c 'a $B'; env D=4 bash -c 'a $D'; B=2", [["export", "B=1"], ["a", "1"], ["a", "4"]]),
        ("bash -c 'a \"$@\" $1' x y z", [["a", "y", "z", "$1"]]),
    ],
)  # fmt: skip
def test_commands_of_a_script(text: str, expected: list[list[str]]) -> None:
    assert script(text) == expected


def variables(text: str, environment: dict[str, Fact[str]] | None = None) -> list[str]:
    doc = document("script: |-\n" + "".join(f"  {line}\n" for line in text.split("\n")))
    node = doc.get("script")
    assert isinstance(node, ScalarNode)
    return [w.variable for w in shell.programs_of_text(doc, node, environment or {})[-1].words]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a $B ${C} x$D", ["", "B", "C", "D"]),
        ("a $(b c) `d` $((E + 1))", ["", "$(b c)", "`d`", "$((E + 1))"]),
        ("if x; then B=1; fi\na $B", ["", "B"]),
        ('[ -n "$X" ] && B=1\na $B', ["", "B"]),
        ("x || B=1\na $B", ["", "B"]),
        ("cd /x && B=1\na $B", ["", ""]),
        ("B=1\nif x; then B=1; fi\na $B", ["", ""]),
        ("for B in 1 2; do\na $B; done", ["", "B"]),
        ("read -r B\na $B", ["", "B"]),
        ("f() { B=1; }\na $B", ["", "B"]),
        ("B=$(x)\na $B", ["", "B"]),
        ('B="x --y=${S} z $@"\na $B w', ["", "", "S", "", "@", ""]),
        ("B=\"x $S\"\nB=\"$B --y\"\nB+=' z'\na $B", ["", "", "S", "", ""]),
        ('B="x $S"\na "$B" p${B}q', ["", "S", "", "S"]),
        ('if x; then B="x $S"; fi\na $B', ["", "B"]),
        ('B="x $S"\nread B\na $B', ["", "B"]),
        ('B="x $S"\nunset B\na $B', ["", "B"]),
        ('B="x $S"\nif y; then B="$B z"; fi\na "$B"', ["", "B"]),
        ("(B=1)\na $B", ["", "B"]),
        ("B=1\nunset B\na $B", ["", "B"]),
        ('B=(x); if y; then B+=(z); fi\na "${B[@]}"', ["", "", "B"]),
        ('B=(--x 1); if y; then B+=(--x 2); fi\na "${B[@]}"', ["", "B"]),
        ('B=(x); if y; then B=(z); fi\na "${B[@]}"', ["", "B"]),
        ('B="x $C"\nB=y\na $B', ["", ""]),
        ('B="x $(c d) y"\na $B', ["", "", "$(c d)", ""]),
        ('B="x $(c $(d (e))) y"\na $B', ["", "B"]),
        ('B="x ${C/ /-} y"\na $B', ["", "", "C", ""]),
        ('B="x --y 1"; if z; then B="$B --v"; fi\na $B w', ["", "", "", "", "B", ""]),
        ('B="x --y 1"; if z; then B+=" --v"; fi\na $B', ["", "", "", "", "B"]),
        ('B="x --y 1"; if z; then B="$B --y 2"; fi\na $B', ["", "B"]),
        ('B="x --y 1"; if z; then B="v"; fi\na $B', ["", "B"]),
        ('B="$B x"\na $B', ["", "B", ""]),
        ('B="x $C"; if z; then B="$B y"; fi; B="$B v"\na $B', ["", "", "C", "B", ""]),
        ('a $1 "$@" $# ${!B} ${B##*/} ${#B}', ["", "$1", "@", "$#", "${!B}", "B", "${#B}"]),
        ("a ${S:-x} ${S}", ["", "S", "S"]),
        ("a $((S + 1))", ["", "$((S + 1))"]),
        ("a $((08)) $((1 / 0)) $((1 +)) $((x = 2))", ["", "$((08))", "$((1 / 0))", "$((1 +))", "$((x = 2))"]),
    ],
)  # fmt: skip
def test_what_is_not_settled_is_named(text: str, expected: list[str]) -> None:
    assert variables(text, {"S": Fact.unknown("env.S", "it comes from a Secret")}) == expected


def test_a_command_in_a_variable_runs_with_what_is_known_of_it() -> None:
    text = 'CMD="vllm serve $M --tensor-parallel-size=2 $0 $@"\necho "$CMD"\nexec $CMD'
    assert script(text)[-1] == ["exec", "vllm", "serve", "$M", "--tensor-parallel-size=2", "$0", "$@"]
    assert script(text.replace("exec $CMD", 'eval "$CMD"'))[-1] == ["vllm", "serve", "$M", "--tensor-parallel-size=2", "$0", "$@"]
    text = 'CMD="python3 -m x \\\n  --model=${DIR} --tp=$TP"\nuntil [ "$(ask now)" -eq 2 ]; do sleep 1; done\nexec $CMD'
    assert script(text, known(TP="2"))[-1] == ["exec", "python3", "-m", "x", "--model=${DIR}", "--tp=2"]
    assert script('C="x $(hostname -i) y"\neval "$C"')[-1] == ["x", "$(hostname -i)", "y"]
    assert script('C="x $(hostname -i) y"\nexec $C')[-1] == ["exec", "x", "$(hostname -i)", "y"]
    assert script('C="cd /w\nx $U"\nbash -c "$C"')[-2:] == [["cd", "/w"], ["x", "$U"]]


def test_variables_of_the_container() -> None:
    assert script('a $TP "${TP}" --x=$TP', known(TP="8")) == [["a", "8", "8", "--x=8"]]
    assert script("TP=4\na $TP", known(TP="8")) == [["a", "4"]]
    assert script("a $VLLM_ARGS", known(VLLM_ARGS="--p 1\n --q")) == [["a", "--p", "1", "--q"]]


def test_kubernetes_variables_come_before_the_shells() -> None:
    (program,) = run("command: [sh, -c, 'a $(TP) \"$(NAME)\" $(hostname) $((TP))']\n", known(TP="8", NAME='b" c'))
    assert texts(program) == ["a", "8", "b", "c $(hostname) 8"]  # the quote in the value is the shell's to read


def test_doubling_variables_do_not_fill_the_memory() -> None:
    lines = ["A=" + "x" * 50, *["A=$A$A"] * 60, "a $A", "a " + "$B " * 2000]
    programs = script("\n".join(lines), known(B="y " * 400))
    assert sum(len(word) for words in programs for word in words) < 500_000


@pytest.mark.parametrize(
    "text",
    [
        "A='" + "a b " * 10_000 + "'\n" + "A+=x\n" * 8_000 + "a $A",
        "A=(" + "x " * 50_000 + ")\nif b; then\n" + "A+=(y)\n" * 8_000 + 'fi\na "${A[@]}"',
        "A=(" + "x " * 50_000 + ")\n" + "A+=(y)\n" * 20_000 + 'a "${A[@]}"',
    ],
    ids=["value", "array by a condition", "array"],
)
def test_what_is_added_to_a_long_value_takes_time_in_proportion(text: str) -> None:
    # Half a second or less where nothing else runs; by the square of the length it takes ten and more.
    begin = perf_counter()
    assert script(text)
    assert perf_counter() - begin < 4


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("${b:-", "}"), ("A=(", ")"), ("$(", ")"), ('"${b:-', '}"'), ("(", ")"), ("{ ", "; }"), ("$((", "))"), ("<(", ")")],
)
def test_deep_nesting_ends(opening: str, closing: str) -> None:
    script("a " + opening * 3000 + "x" + closing * 3000)
    script("a " + opening * 3000)


# -- against Python's own reader of shell words

_CHARACTERS = st.sampled_from(list("ab-=/.,:{}[]' \"\\\t"))


@settings(max_examples=300)
@given(st.lists(st.text(_CHARACTERS, max_size=8), min_size=1, max_size=5))
def test_quoted_words_come_back(words: list[str]) -> None:
    line = "a " + " ".join(shlex.quote(word) for word in words)
    assert script(line) == [["a", *words]]


@settings(max_examples=300)
@given(st.text(st.sampled_from(list("ab '\"\\=-")), max_size=25))
def test_simple_quoting_is_read_as_shlex_does(text: str) -> None:
    try:
        expected = shlex.split(text)
    except ValueError:
        return  # an open quote: ours reads on to the end
    found = script("a " + text)
    assert (found[0][1:] if found else []) == expected


@settings(max_examples=300)
@given(st.text(st.sampled_from(list("ab $`'\"\\\n(){}[]<>;&|#=~!*?-+%/@1")), max_size=60))
def test_no_script_is_too_strange(text: str) -> None:
    indented = "".join(f"  {line}\n" for line in ("x " + text).split("\n"))
    doc = document("script: |-\n" + indented)
    node = doc.get("script")
    assert isinstance(node, ScalarNode)
    for program in shell.programs_of_text(doc, node, known(a="1", b="x y")):
        for word in program.words:
            assert 0 <= word.start <= word.end <= len(node.text)
