"""Files of a Compose service that are at hand: mounted configurations, configs with content, here-documents, ``env_file``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import servelint_rules
from format_reading import written
from servelint import builtin
from servelint.config import Config
from servelint.fixes.apply import fix_all
from servelint.fixes.verify import with_fixes
from servelint.plugins import Registry
from servelint.run import Session, lint_again, lint_paths, lint_texts, model_lookup
from servelint.source import discovery
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.deployment import Pool
    from servelint.run import Report

FIXTURES = Path(__file__).parents[2] / "fixtures" / "compose"
COMPOSE = """\
services:
  x:
    image: vllm/vllm-openai:v0.19.1
    command: [--config, PATH, --port, "8000"]
    KEYS
configs:
  inner: {file: ./conf/serve.yaml}
  away: {external: true}
  said: {content: "max-model-len: 2048\\n"}
  filled: {content: "max-model-len: ${LENGTH}\\n"}
"""


def session(**settings: object) -> Session:
    config = Config(**settings)  # type: ignore[arg-type]  # names of its fields
    return Session(config, Registry([("builtin", builtin), ("rules", servelint_rules)]), model_lookup(config))


def lint(files: dict[str, str], beside: dict[str, str] | None = None, **settings: object) -> Report:
    others = [SourceText(path, text) for path, text in (beside or {}).items()]
    return lint_texts([SourceText(path, text) for path, text in files.items()], session(**settings), others)


def pool_of(report: Report, name: str = "x") -> Pool:
    [found] = [d for d in report.deployments if d.name == name]
    return found.pools[0]


def service(keys: str, path: str = "/etc/serve.yaml", file: str = "deploy/conf/serve.yaml") -> Pool:
    text = COMPOSE.replace("PATH", path).replace("KEYS", keys)
    return pool_of(lint({"deploy/compose.yaml": text}, {file: "max-model-len: 4096\n"}))


def test_the_files_of_a_folder_are_one_deployment_each() -> None:
    report = lint_paths([str(FIXTURES / "mounted")], session())
    assert sorted(d.name for d in report.deployments) == ["chat", "search"], "a configuration is judged with what reads it"
    chat = pool_of(report, "chat")
    assert (chat.model.value, written(chat.model)) == ("Qwen/Qwen3-32B", "Qwen/Qwen3-32B")
    assert (chat.tensor.value, chat.max_model_len.value, chat.gpu_memory_utilization.value) == (2, 16384, 0.92)
    assert chat.max_model_len.place is not None
    assert chat.max_model_len.place.document.source.path.endswith("mounted/config/chat.yaml")
    search = pool_of(report, "search")
    assert (search.model.value, search.max_model_len.value) == ("Qwen/Qwen3-8B", 8192)
    assert (search.tensor.value, written(search.tensor)) == (1, "--tp-size 1"), "the command line wins"


def test_a_configuration_without_its_reader_is_a_deployment() -> None:
    report = lint_paths([str(FIXTURES / "mounted" / "config")], session())
    assert [(d.name, d.format) for d in report.deployments] == [("chat", "engine-config"), ("search", "engine-config")]


def test_variables_of_env_files_that_are_named() -> None:
    folder = FIXTURES / "mounted"
    variables = [str(folder / "chat.env"), str(folder / "common.env")]
    chat = pool_of(lint_paths([str(folder), *variables], session()), "chat")
    [container] = chat.containers
    environment = container.environment
    assert (chat.gpus_per_node.value, written(chat.gpus_per_node)) == (2, 'CUDA_VISIBLE_DEVICES="0,1"   # both of the host\'s')
    assert (environment["NCCL_DEBUG"].value, written(environment["NCCL_DEBUG"])) == ("WARN", "NCCL_DEBUG=WARN")
    assert environment["VLLM_LOGGING_LEVEL"].value == "WARNING", "environment wins over env_file"
    assert "put together" in environment["HF_HOME"].reason
    assert container.open_environment == "", "nothing is left that may set others"
    chat = pool_of(lint_paths([str(folder), variables[0]], session()), "chat")
    assert "env_file" in chat.containers[0].open_environment
    assert chat.gpus_per_node.value == 2, "the last file is at hand"


def test_an_env_file_that_is_not_at_hand_may_set_what_stands_in_one_before_it() -> None:
    folder = FIXTURES / "mounted"
    [container] = pool_of(lint_paths([str(folder), str(folder / "common.env")], session()), "chat").containers
    assert "not at hand" in container.environment["CUDA_VISIBLE_DEVICES"].reason
    assert container.environment["VLLM_LOGGING_LEVEL"].value == "WARNING"


LINES = {
    "TP=4": "4",
    "TP: 4": "4",
    "export TP = '4'": "4",
    'TP="4" # four': "4",
    "TP=4 # four": "4",
    "TP=4#": "4#",
    "TP=": "",
    "TP=4 \t": "4",
    "TP=4" + " " * 50_000 + "5": "4" + " " * 50_000 + "5",
    "TP=$N": None,
    "TP='$N'": "$N",
    "TP": None,
    "# TP=4": None,
    'TP="a\nb"': None,
}


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:12])
def test_lines_of_an_env_file(line: str) -> None:
    text = COMPOSE.replace("PATH", "/c").replace("KEYS", "env_file: x.env")
    [container] = pool_of(lint({"deploy/compose.yaml": text}, {"deploy/x.env": line + "\n"})).containers
    fact = container.environment.get("TP")
    assert (fact.get(None) if fact is not None else None) == LINES[line]


def test_compose_expands_variables_of_its_own_env_file_alone() -> None:
    text = "services: {x: {image: 'vllm/vllm-openai:v0.19.1', command: '--model $MODEL', env_file: NAME}}\n"
    for name, model in ((".env", "a/b"), ("x.env", None)):
        report = lint({"deploy/compose.yaml": text.replace("NAME", name)}, {f"deploy/{name}": "MODEL=a/b\n"})
        assert pool_of(report).containers[0].environment["MODEL"].get(None) == model


MOUNTED = {
    "volumes: ['./conf/serve.yaml:/etc/serve.yaml']": 4096,
    "volumes: ['./conf:/etc:ro,z']": 4096,
    "volumes: ['${CONF:-./conf}/serve.yaml:/etc/serve.yaml:ro']": 4096,
    "volumes: ['.:/etc', './conf/serve.yaml:/etc/serve.yaml']": 4096,
    "volumes: [{type: bind, source: conf/serve.yaml, target: /etc/serve.yaml}]": 4096,
    "configs: [{source: inner, target: /etc/serve.yaml}]": 4096,
    "configs: [{source: said, target: /etc/serve.yaml}]": 2048,
    # What cannot be told, or is another file.
    "volumes: ['conf:/etc']": None,
    "volumes: ['/conf/serve.yaml:/etc/serve.yaml']": None,
    "volumes: ['~/conf/serve.yaml:/etc/serve.yaml']": None,
    "volumes: ['${CONF}/serve.yaml:/etc/serve.yaml:ro']": None,
    "volumes: ['./conf:/etc', '${CONF}:/etc/serve.yaml:ro']": None,
    "volumes: ['./conf:/etc', data:/etc/serve.yaml]": None,
    "volumes: ['./conf:/etcetera']": None,
    "volumes: ['../conf/serve.yaml:/etc/serve.yaml']": None,
    "volumes: [{type: volume, source: conf/serve.yaml, target: /etc/serve.yaml}]": None,
    "volumes: [{type: bind}, 3, null, [x]]": None,
    "configs: [{source: away, target: /etc/serve.yaml}, 4, {target: x}]": None,
    "configs: [{source: filled, target: /etc/serve.yaml}]": None,
    "restart: always": None,
}


@pytest.mark.parametrize("keys", MOUNTED, ids=str)
def test_mounts(keys: str) -> None:
    pool = service(keys)
    assert pool.max_model_len.get(None) == MOUNTED[keys]
    command = pool.containers[0].command
    assert command is not None
    assert command.elsewhere == ("" if MOUNTED[keys] else "the file of --config")


def test_paths_of_the_container_are_relative_to_its_folder() -> None:
    keys = "working_dir: /etc\n    volumes: ['./conf:/etc']"
    assert service(keys, "serve.yaml").max_model_len.value == 4096
    assert service("volumes: ['./conf:/etc']", "serve.yaml").max_model_len.get(None) is None


def test_a_short_config_is_mounted_under_its_name() -> None:
    assert service("configs: [inner]", "/inner").max_model_len.value == 4096


def test_files_of_several_documents_and_broken_ones_are_no_configuration() -> None:
    text = COMPOSE.replace("PATH", "/etc/serve.yaml").replace("KEYS", "volumes: ['./serve.yaml:/etc/serve.yaml']")
    for config in ("max-model-len: 1\n---\nmax-model-len: 2\n", "max-model-len: [1\n", "", "- 4\n"):
        report = lint({"compose.yaml": text}, {"serve.yaml": config})
        assert pool_of(report).max_model_len.get(None) is None
        assert not any(finding.path == "serve.yaml" for finding in report.findings)


def test_a_file_whose_words_say_nothing_is_read_when_it_is_named(tmp_path: Path) -> None:
    keys = "volumes: ['./serve.yaml:/etc/serve.yaml']"
    (tmp_path / "compose.yaml").write_text(COMPOSE.replace("PATH", "/etc/serve.yaml").replace("KEYS", keys), encoding="utf-8")
    (tmp_path / "serve.yaml").write_text("model: Qwen/Qwen3-8B\nserved-model-name: x\n", encoding="utf-8")
    report = lint_paths([str(tmp_path)], session())
    assert pool_of(report).model.value == "Qwen/Qwen3-8B"
    assert report.files == 2


def test_what_is_said_in_another_file_is_suppressed_and_fixed_there() -> None:
    text = COMPOSE.replace("PATH", "/etc/serve.yaml").replace("KEYS", "volumes: ['./serve.yaml:/etc/serve.yaml']")
    config = "model: Qwen/Qwen3-8B\nmax-num-sqs: 3  # servelint: ignore[CLI101] we know\n"
    plain = config.split("  #", maxsplit=1)[0] + "\n"
    for beside in (False, True):
        assert [f.code for f in lint_with(text, config, beside=beside).findings] == []
        report = with_fixes(lint_with(text, plain, beside=beside), session())
        [finding] = report.findings
        assert (finding.code, finding.path, finding.deployment) == ("CLI101", "serve.yaml", "x")
        assert fix_all(report, session(), unsafe=True).texts["serve.yaml"].text == "model: Qwen/Qwen3-8B\n"


def lint_with(text: str, config: str, *, beside: bool) -> Report:
    files = {"compose.yaml": text}
    return lint(files, {"serve.yaml": config}) if beside else lint({**files, "serve.yaml": config})


def test_a_change_of_the_configuration_is_seen() -> None:
    text = COMPOSE.replace("PATH", "/etc/serve.yaml").replace("KEYS", "volumes: ['./serve.yaml:/etc/serve.yaml']")
    open_session = session()
    report = lint_texts([SourceText("compose.yaml", text), SourceText("serve.yaml", "max-model-len: 4096\n")], open_session)
    assert pool_of(report).max_model_len.value == 4096
    again = lint_again(report, {"serve.yaml": SourceText("serve.yaml", "max-model-len: 1024\n")}, open_session)
    assert pool_of(again).max_model_len.value == 1024
    assert [d.name for d in again.deployments] == ["x"]


def test_files_that_hold_variables() -> None:
    names = {
        name: discovery.holds_variables(f"a/{name}") for name in (".env", "vllm.env", ".env.production", ".env.yaml", "env.yaml")
    }
    assert names == {".env": True, "vllm.env": True, ".env.production": True, ".env.yaml": False, "env.yaml": False}


def test_a_variables_file_is_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "vllm.env").write_text('MODEL=a/b\nVLLM_ARGS=--x "a: b": {services image\n', encoding="utf-8")
    report = lint_paths([str(tmp_path / "vllm.env")], session())
    assert (report.files, report.findings, report.fatal) == (1, (), ())
