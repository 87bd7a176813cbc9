"""An organization's rules and formats, from a file and from an installed package, as docs/writing-{rules,formats}.md show them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from servelint.cli.main import main

ROOT = Path(__file__).parent.parent.parent
GUIDE = (ROOT / "docs" / "writing-rules.md").read_text(encoding="utf-8")
RULE, TEST = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
FORMAT = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "writing-formats.md").read_text(encoding="utf-8"), re.DOTALL)[0]
ENTRY_POINT = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)[0]
TWO_HOSTS = (ROOT / "tests" / "data" / "two_hosts.yaml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lws.yaml").write_text(TWO_HOSTS, encoding="utf-8")


def test_a_rule_from_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("rules.py").write_text(RULE, encoding="utf-8")
    assert main(["lws.yaml", "--plugin", "rules.py", "--select", "ORG", "--fail-on", "warning"]) == 1
    shown = capsys.readouterr().out
    assert "warning[ORG001]: one replica spans several hosts\n --> lws.yaml:8:11\n" in shown
    assert "2 hosts in one replica" in shown
    assert main(["explain", "--plugin", "rules.py", "ORG001"]) == 0
    assert "What it checks" in capsys.readouterr().out


def test_a_rule_from_a_configuration_named_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("rules.py").write_text(RULE, encoding="utf-8")
    Path("org.yaml").write_text("plugins: [rules.py]\nselect: [ORG]\nseverity: {ORG001: error}\n", encoding="utf-8")
    assert main(["lws.yaml", "--config", "org.yaml"]) == 1
    assert "error[ORG001]" in capsys.readouterr().out


def test_the_guides_own_test_passes(tmp_path: Path) -> None:
    Path("rules.py").write_text(RULE, encoding="utf-8")
    names: dict[str, object] = {"TWO_HOSTS": TWO_HOSTS}
    exec(TEST, names)
    test = names["test_one_host"]
    assert callable(test)
    test(tmp_path)


def test_a_rule_from_an_installed_package() -> None:
    site = Path("site")
    information = site / "our_rules-1.0.dist-info"
    information.mkdir(parents=True)
    (site / "our_rules.py").write_text(RULE, encoding="utf-8")
    # What an installer makes of the entry point in pyproject.toml.
    section, line = ENTRY_POINT.strip().splitlines()
    name, _, module = (part.strip().strip('"') for part in line.partition("="))
    group = section.strip("[]").rpartition(".")[2]
    (information / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "servelint", "lws.yaml", "--select", "ORG", "--fail-on", "warning"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site.resolve()), *(path for path in sys.path if path)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "warning[ORG001]" in done.stdout


MODEL_SERVER = """
apiVersion: {group}/v1
kind: ModelServer
metadata: {{name: chat}}
spec:
  copies: 3
  template:
    spec:
      containers:
        - name: vllm
          image: vllm/vllm-openai:v0.19.1
          args: [--model=Qwen/Qwen3-32B, --tensor-parallel-size=3]
          resources: {{limits: {{nvidia.com/gpu: 3}}}}
"""


def test_a_format_from_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("formats.py").write_text(FORMAT, encoding="utf-8")
    Path("chat.yaml").write_text(MODEL_SERVER.format(group="ml.example.org"), encoding="utf-8")
    Path("other.yaml").write_text(MODEL_SERVER.format(group="other.example.org"), encoding="utf-8")
    assert main(["chat.yaml", "other.yaml", "--plugin", "formats.py", "--select", "PAR202"]) == 1
    shown = capsys.readouterr().out
    assert "error[PAR202]" in shown, "the built-in rules hold for it"
    assert "chat.yaml:12:" in shown
    assert "2 files, 1 deployment" in shown


@pytest.mark.parametrize(
    "needles",
    ['(("ml.example.org/", ENGINE),)', '(b"ml.example.org/", ENGINE)', '((b"\\xff", ENGINE),)'],
    ids=["text", "flat", "bytes"],
)
def test_what_a_format_gives_for_needles_is_one_sentence(needles: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("formats.py").write_text(FORMAT.replace('((b"ml.example.org/", ENGINE),)', needles), encoding="utf-8")
    assert main(["lws.yaml", "--plugin", "formats.py"]) == 2
    said = (
        "servelint: plugin formats.py: its format ModelServers has needles that are no sets of lower-case byte strings in UTF-8: "
    )
    assert capsys.readouterr().err.startswith(said)


THEME = """
from servelint import hookimpl
from servelint.rulebook import Scope, Theme

@hookimpl
def servelint_rules():
    return [Theme(MODULE, SCOPES, CODES, words=WORDS)]
"""


@pytest.mark.parametrize(
    ("module", "scopes", "codes", "words", "said"),
    [
        ("'no.such'", "frozenset({Scope.POOL})", "('ORG001',)", "()", "the theme no.such failed to load: ModuleNotFoundError: "),
        ("'json'", "frozenset({Scope.POOL})", "('ORG001',)", "()", "the theme json lists the codes ORG001, and defines none"),
        ("'json'", "'pool'", "('ORG001',)", "()", "plugin themes.py: its theme json has scopes that are none: 'pool'"),
        ("'json'", "frozenset({'pool'})", "('ORG001',)", "()", "plugin themes.py: its theme json has scopes that are none"),
        ("'json'", "{Scope.POOL}", "'ORG001'", "()", "plugin themes.py: its theme json has codes that are no tuple of texts"),
        ("'json'", "{Scope.POOL}", "('ORG001',)", "7", "plugin themes.py: its theme json has words that are no tuple of texts: 7"),
        ("'json'", "{Scope.POOL}", "('ORG001',)", "('vLLM',)", "plugin themes.py: its theme json has words that are not in lower case"),
        ("7", "{Scope.POOL}", "('ORG001',)", "()", "plugin themes.py: its theme 7 is no module's name"),
    ],
)  # fmt: skip
def test_what_a_theme_gets_wrong_is_one_sentence(
    module: str, scopes: str, codes: str, words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = {"MODULE": module, "SCOPES": scopes, "CODES": codes, "WORDS": words}
    Path("themes.py").write_text(re.sub("|".join(fields), lambda match: fields[match.group()], THEME), encoding="utf-8")
    assert main(["lws.yaml", "--plugin", "themes.py"]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert "internal error" not in captured.err


CLASS, _, FORMAT_HOOK = FORMAT.partition("@hookimpl\n")
NEEDLES = '    needles = ((b"ml.example.org/", ENGINE),)\n'
RECOGNISE = CLASS[CLASS.index("    def recognise") :]


def giving(body: str) -> str:
    """The guide's format with another body of ``recognise``."""
    return FORMAT.replace(RECOGNISE, f"    def recognise(self, document, surroundings):\n        {body}\n\n\n")


HAS = "servelint: plugin formats.py: its format ModelServers has "
GIVES = "servelint: format org-model-server (servelint_plugin_formats): "


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FORMAT.replace(NEEDLES, ""), HAS + 'no needles; add needles = ((b"a word of such files", ENGINE),)'),
        (FORMAT.replace(NEEDLES, "    needles = ()\n"), HAS + "needles that are no sets of"),
        (FORMAT.replace(NEEDLES, "    needles = 3\n"), HAS + "needles that are no sets of"),
        (FORMAT.replace("ml.example.org/", "ml.Example.org/", 1), HAS + "needles that are no sets of lower-case byte strings"),
        (FORMAT.replace('    name = "org-model-server"\n', ""), HAS + 'no name; add name = "a-name-of-its-own"'),
        (FORMAT.replace('name = "org-model-server"', "name = 7"), HAS + 'the name 7; write name = "a-name-of-its-own"'),
        (FORMAT.replace("def recognise", "def recognize"), HAS + "no recognise; add def recognise(self, document, surroundings)"),
        (FORMAT.replace("[ModelServers()]", "[ModelServers]"), "plugin formats.py: its format ModelServers is a class; give an"),
        (FORMAT.replace("[ModelServers()]", "['x']"), "plugin formats.py: its format str has no name; add"),
        (FORMAT.replace("[ModelServers()]", "None"), "plugin formats.py: its hook servelint_formats gives None; return a list"),
        (FORMAT.replace("[ModelServers()]", "ModelServers()"), "plugin formats.py: its hook servelint_formats failed: TypeError"),
        (giving("return None"), GIVES + "recognise gives None, which is no Deployments (none: return ())"),
        (giving("return [1]"), GIVES + "recognise gives 1, which is no Deployment"),
        (giving("yield 'x'"), GIVES + "recognise gives 'x', which is no Deployment"),
        (giving("yield Deployment('x', 'x', document, None)"), GIVES + "the deployment 'x' gives None, which is no tuple of Pools"),
        (giving("return 1 / 0"), "format org-model-server (servelint_plugin_formats) failed on chat.yaml: ZeroDivisionError: "),
        (giving("yield 1 / 0"), "format org-model-server (servelint_plugin_formats) failed on chat.yaml: ZeroDivisionError: "),
    ],
)  # fmt: skip
def test_what_a_format_lacks_or_gives_is_one_sentence(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("formats.py").write_text(text, encoding="utf-8")
    Path("chat.yaml").write_text(MODEL_SERVER.format(group="ml.example.org"), encoding="utf-8")
    assert main(["chat.yaml", "--plugin", "formats.py"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert "internal error" not in captured.err


ENGINE = """
from servelint import Fact, hookimpl
from servelint.engines.undescribed import KNOWN, Undescribed


class Acme:
    name = "acme"
    needles = (b"acme",)
    described = False

    def owns_image(self, image):
        return "acme" in image

    def version(self, image):
        return Fact.unknown("engine.version", "Acme has none")

    def command(self, programs, image):
        return Undescribed(KNOWN[0]._replace(name="acme", title="Acme", programs=(("acme", ""),))).command(programs, image)

    def facts(self, command, environment):
        return {"model": Fact.unknown("model.id", "Acme says none")}

    def defaults(self, pool):
        return {}


@hookimpl
def servelint_engines():
    return [Acme()]
"""
ACME = """
apiVersion: v1
kind: Pod
metadata: {name: chat}
spec: {containers: [{name: acme, image: 'acme/server:1', command: [acme, org/m], resources: {limits: {nvidia.com/gpu: 1}}}]}
"""


def test_an_engine_from_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("engines.py").write_text(ENGINE, encoding="utf-8")
    Path("chat.yaml").write_text(ACME, encoding="utf-8")
    assert main(["chat.yaml", "--plugin", "engines.py"]) == 0
    assert "1 file, 1 deployment" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('needles = (b"acme",)', 'needles = "acme"', "plugin engines.py: its engine Acme has needles that are no lower-case byte strings"),
        ('needles = (b"acme",)', 'needles = ((b"acme",),)', "plugin engines.py: its engine Acme has needles that are no lower-case"),
        ('needles = (b"acme",)', "", 'plugin engines.py: its engine Acme has no needles; add needles = (b"its name",)'),
        ("def defaults", "def default", "plugin engines.py: its engine Acme has no defaults; add def defaults(self, pool)"),
        ("def owns_image", "def owns", "has no owns_image; add def owns_image(self, image)"),
        ("def version", "def versions", "has no version; add def version(self, image)"),
        ("def command", "def commands", "has no command; add def command(self, programs, image)"),
        ("def facts", "def fact", "has no facts; add def facts(self, command, environment)"),
        ('Fact.unknown("engine.version", "Acme has none")', "'1.0'", "engine acme (servelint_plugin_engines): version gives '1.0', which"),
        ("return {}", "return None", "defaults gives None, which is no dict of Facts by the fields of Pool"),
        ("return {}", "return {'tensor': 4}", "defaults['tensor'] gives 4, which is no Fact"),
        ('{"model": ', '{"modell": ', "facts gives 'modell', which is no field of Pool that holds a fact"),
        ("return Undescribed", "return 1 #", "command gives 1, which is no Command"),
        ('Fact.unknown("engine.version", "Acme has none")', "image.nothing", "engine acme (servelint_plugin_engines) failed on the image"),
        ("return {}", "raise ValueError('no')", "engine acme (servelint_plugin_engines) failed on the pool acme: ValueError: no"),
    ],
)  # fmt: skip
def test_what_an_engine_lacks_or_gives_is_one_sentence(old: str, new: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert old in ENGINE
    Path("engines.py").write_text(ENGINE.replace(old, new), encoding="utf-8")
    Path("chat.yaml").write_text(ACME, encoding="utf-8")
    assert main(["chat.yaml", "--plugin", "engines.py"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert "internal error" not in captured.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("import a_module_that_is_not_there", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_plugin_that_fails_is_named_in_one_sentence(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.py").write_text(text, encoding="utf-8")
    assert main(["lws.yaml", "--plugin", "bad.py"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("servelint: plugin bad.py failed to load: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err


def test_two_rules_of_one_code_are_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.py").write_text(RULE, encoding="utf-8")
    Path("b.py").write_text(RULE, encoding="utf-8")
    assert main(["lws.yaml", "--plugin", "a.py", "--plugin", "b.py"]) == 2
    assert "ORG001 is defined twice" in capsys.readouterr().err


HEAD, _, HOOK = RULE.partition("@hookimpl\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("raise SystemExit(3)\n", "plugin org.py failed to load: SystemExit: 3"),
        ("x = 1\n", "plugin org.py has no hook (a function marked @hookimpl)"),
        (
            RULE.replace("def servelint_rules", "def servelint_rulz"),
            "plugin org.py has a hook servelint_rulz, which nobody calls",
        ),
        (RULE.replace("return [one_host]", "return one_host"), "which is no Rule or Theme"),
        (RULE.replace("return [one_host]", "return 1 / 0"), "plugin org.py: its hook servelint_rules failed: ZeroDivisionError"),
        (RULE.replace('"ORG001"', '"org-1"'), "'org-1' is no code of a rule"),
        (HEAD.replace("yield Verdict(", "yield str(") + "@hookimpl\n" + HOOK, "rule ORG001 (servelint_plugin_org) failed on"),
        (HEAD.replace("nodes.place or case.pool.place", "None") + "@hookimpl\n" + HOOK, "a rule yields Verdicts with a place"),
    ],
)
def test_what_a_plugin_gets_wrong_is_one_sentence_that_names_it(
    text: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("org.py").write_text(text, encoding="utf-8")
    assert main(["lws.yaml", "--plugin", "org.py"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert expected in captured.err
    assert captured.err.count("\n") == 1
    assert "internal error" not in captured.err
