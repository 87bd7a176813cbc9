"""Models that are fetched to the path which an engine serves: by its script, its pod's init containers, or a Job."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import pytest

from servelint.config import Config
from servelint.run import lint_texts, open_session
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.deployment import Pool

HUB = "from huggingface_hub import snapshot_download;"


def pools(**files: str) -> list[Pool]:
    sources = [SourceText(f"a/{name}.yaml", text) for name, text in files.items()]
    report = lint_texts(sources, open_session(Config(select=("DOC101",))))
    return [pool for deployment in report.deployments for pool in deployment.pools]


def block(script: str, indent: int) -> str:
    return "|\n" + "\n".join(f"{' ' * indent}{line}" for line in script.splitlines())


def pod(script: str = "vllm serve /models/m", *, init: str = "", mounts: str = "{name: v, mountPath: /models}") -> str:
    return (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: llm}\nspec:\n"
        f"  initContainers: [{init}]\n"
        "  containers:\n    - name: vllm\n      image: vllm/vllm-openai:v0.19.1\n      command: [bash, -c]\n      args:\n"
        f"        - {block(script, 10)}\n      volumeMounts: [{mounts}]\n"
        "  volumes: [{name: v, persistentVolumeClaim: {claimName: weights}}]\n"
    )


def init(command: str, *, mounts: str = "{name: v, mountPath: /data}", env: str = "") -> str:
    return f"{{name: fetch, image: 'python:3.12', command: {command}, env: [{env}], volumeMounts: [{mounts}]}}"


def job(command: str, *, namespace: str = "", claim: str = "weights", path: str = "/data") -> str:
    return (
        f"apiVersion: batch/v1\nkind: Job\nmetadata: {{name: fetch{namespace}}}\nspec:\n  template:\n    spec:\n"
        f"      containers: [{{name: f, image: 'python:3.12', command: {command}, volumeMounts: [{{name: v, mountPath: {path}}}]}}]\n"
        f"      volumes: [{{name: v, persistentVolumeClaim: {{claimName: {claim}}}}}]\n"
    )


@pytest.mark.parametrize(
    "script",
    [
        "hf download o/m --local-dir /models/m\nvllm serve /models/m",
        "huggingface-cli download --local-dir=/models/m/ --token $T o/m && exec vllm serve --model /models/m/",
        "MODEL=o/m DIR=/models/m\n[ -d $DIR ] || hf download $MODEL --local-dir $DIR --exclude '*.pth' 'x*'\nvllm serve $DIR",
        "hf download o/m --include '*.json' --include '*.safetensors' --local-dir /models/m; vllm serve /models/m",
        f"python3 -c \"{HUB} snapshot_download(repo_id='o/m', local_dir='/models/m')\"\nvllm serve /models/m",
        f'python -c \'{HUB} snapshot_download("o/m", local_dir="/models/m", token="${{T}}")\'\nvllm serve /models/m',
        f"python - <<'E'\n{HUB}\nsnapshot_download(\n 'o/m',\n token=os.getenv('T'),\n local_dir='/models/m')\nE\nvllm serve /models/m",
        "git lfs install; git clone --depth 1 https://me:$T@huggingface.co/o/m /models/m; vllm serve /models/m",
        "modelscope download --model o/m --local_dir /models/m && vllm serve /models/m",
        "cd /tmp; uvx hf download o/m --local-dir ./m && vllm serve ./m",
    ],
)
def test_a_script_that_fetches_what_it_serves_names_the_model(script: str) -> None:
    [pool] = pools(a=pod(script))
    assert pool.model.value == "o/m"
    place = pool.model.place
    assert place is not None
    assert place.document.source.text[place.span.start : place.span.end].strip("\"'").endswith(("o/m", "$MODEL"))


@pytest.mark.parametrize(
    "script",
    [
        "hf download o/m --local-dir /models/other\nvllm serve /models/m",
        "hf download o/m config.json --local-dir /models/m\nvllm serve /models/m",
        "hf download o/m --repo-type dataset --local-dir /models/m\nvllm serve /models/m",
        "hf download $MODEL --local-dir /models/m\nvllm serve /models/m",
        "hf download o/m --local-dir $DIR\nvllm serve /models/m",
        "hf download o/m\nvllm serve /models/m",
        "if a; then hf download o/m --local-dir /m; else hf download o/n --local-dir /m; fi; vllm serve /m",
        "vllm serve /models/m &\nhf download o/m --local-dir /models/m",
        "hf download o/m --local-dir ./m\ncd elsewhere\nvllm serve ./m",
        "git clone https://github.com/o/m /models/m; vllm serve /models/m",
        "git clone https://huggingface.co/datasets/o/m /models/m; vllm serve /models/m",
        f'python -c \'{HUB} snapshot_download("o/m", allow_patterns=["tokenizer.json"], local_dir="/models/m")\'; vllm serve /models/m',
        f"python -c '{HUB} snapshot_download(name, local_dir=\"/models/m\")'; vllm serve /models/m",
    ],
)
def test_what_is_fetched_elsewhere_in_part_or_by_a_condition_names_nothing(script: str) -> None:
    [pool] = pools(a=pod(script))
    assert not pool.model.is_known


@pytest.mark.parametrize(
    ("fetcher", "mounts", "known"),
    [
        (init("[hf, download, o/m, --local-dir, /data/m]"), "{name: v, mountPath: /models}", True),
        (init("[hf, download, $(ID), --local-dir, /data/m]", env="{name: ID, value: o/m}"), "{name: v, mountPath: /models}", True),
        (init("[sh, -c, 'hf download o/m --local-dir /data']"), "{name: v, mountPath: /models/m}", True),
        (init("[hf, download, o/m, --local-dir, /data/a/m]"), "{name: v, mountPath: /models, subPath: a}", True),
        (init("[hf, download, o/m, --local-dir, /models/m]", mounts="{name: v, mountPath: /models}"), "{name: v, mountPath: /models}",
         True),
        (init("[hf, download, o/m, --local-dir, /data/m]"), "{name: w, mountPath: /models}", False),
        (init("[hf, download, o/m, --local-dir, /data/n]"), "{name: v, mountPath: /models}", False),
        (init("[hf, download, o/m, --local-dir, /data/m]"), "{name: v, mountPath: /models, subPathExpr: $(POD)}", False),
    ],
)  # fmt: skip
def test_an_init_container_fetches_onto_the_volume_that_is_served(fetcher: str, mounts: str, known: bool) -> None:
    [pool] = pools(a=pod(init=fetcher, mounts=mounts))
    assert pool.model.get(None) == ("o/m" if known else None)


def test_a_model_that_the_engine_names_is_not_replaced() -> None:
    [pool] = pools(a=pod("vllm serve o/other", init=init("[hf, download, o/m, --local-dir, /data/m]")))
    assert pool.model.value == "o/other"


FETCH = "[hf, download, o/m, --local-dir, /data/m]"


def test_a_job_fills_the_claim_that_is_served() -> None:
    assert pools(a=pod() + "---\n" + job(FETCH))[0].model.value == "o/m"
    assert pools(a=pod(), b=job(FETCH))[0].model.value == "o/m"
    assert not pools(a=pod(), b=job(FETCH, claim="others"))[0].model.is_known
    assert not pools(a=pod(), b=job(FETCH, path="/data/m"))[0].model.is_known
    two = job("[hf, download, o/n, --local-dir, /data/m]", namespace="-n")
    assert not pools(a=pod(), b=job(FETCH), c=two)[0].model.is_known


def test_a_job_fills_the_claim_of_a_storage_uri() -> None:
    service = (
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: llm}\n"
        "spec: {predictor: {model: {modelFormat: {name: vLLM}, storageUri: 'pvc://weights/m'}}}\n"
    )
    assert pools(a=service, b=job(FETCH))[0].model.value == "o/m"
    assert not pools(a=service.replace("weights/m", "weights/n"), b=job(FETCH))[0].model.is_known


@pytest.mark.parametrize("fetch", ["hf download o/m --local-dir /m", "git clone https://huggingface.co/o/m /m"])
def test_the_script_of_a_compose_service_fetches_too(fetch: str) -> None:
    command = f"bash -c '{fetch} && vllm serve /m'"
    text = f'services:\n  llm:\n    image: vllm/vllm-openai:v0.19.1\n    entrypoint: ""\n    command: "{command}"\n'
    assert pools(a=text)[0].model.value == "o/m"


@pytest.mark.parametrize(
    "script",
    [
        "hf download o/m " + "--include x " * 50_000 + "--local-dir /models/m\nvllm serve /models/m",
        "git " + "clone " * 50_000 + "https://huggingface.co/o/m /models/m\nvllm serve /models/m",
        "snapshot_download(" * 20_000 + "\nvllm serve /models/m",
        "python - <<'E'\nsnapshot_download(" + 'repo_id=os.environ["A" ' * 20_000 + ")\nE\nvllm serve /models/m",
    ],
    ids=["options", "words", "calls", "variables"],
)
def test_a_long_command_takes_time_in_proportion(script: str) -> None:
    # A third of a second or less where nothing else runs; by the square of the length it takes ten and more.
    begin = perf_counter()
    assert len(pools(a=pod(script))) == 1
    assert perf_counter() - begin < 4


def test_many_jobs_are_not_asked_one_by_one() -> None:
    count = 700
    served = (
        pod().replace("claimName: weights", f"claimName: w{number}").replace("name: llm", f"name: l{number}")
        for number in range(count)
    )
    jobs = (job(FETCH.replace("o/m", f"o/m{number}"), claim=f"w{number}") for number in range(count))
    begin = perf_counter()
    assert [pool.model.value for pool in pools(a="---\n".join((*served, *jobs)))] == [f"o/m{number}" for number in range(count)]
    assert perf_counter() - begin < 5  # a second and a half where nothing else runs; ten and more where each pod asks every Job
