"""What is built: a wheel that holds everything it needs and nothing else, and an sdist that can build and test it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from servelint import __version__

ROOT = Path(__file__).parent.parent.parent
PACKAGES = {"servelint": ROOT / "lint", "servelint_rules": ROOT / "rules", "servelint_schemas": ROOT / "schemas"}


def shipped(folder: Path, package: str) -> set[str]:
    """Files of a package in the checkout, as a wheel names them."""
    return {
        path.relative_to(folder).as_posix()
        for path in (folder / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_every_package_is_a_package_and_typed() -> None:
    for package, folder in PACKAGES.items():
        assert (folder / package / "py.typed").exists()
        for path in (folder / package).rglob("*.py"):
            assert (path.parent / "__init__.py").exists(), f"{path.parent} has no __init__.py"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("build", reason="build is not installed (extra: dev)")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)], check=True, capture_output=True)
    return folder


@pytest.mark.slow
def test_the_wheel_holds_the_packages_with_their_data_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(built / f"servelint-{__version__}-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())
    information = {name for name in names if name.startswith(f"servelint-{__version__}.dist-info/")}
    expected = set().union(*(shipped(folder, package) for package, folder in PACKAGES.items()))
    assert names - information == expected
    assert f"servelint-{__version__}.dist-info/licenses/LICENSE" in information


@pytest.mark.slow
def test_the_sdist_holds_tests_and_documents(built: Path) -> None:
    with tarfile.open(built / f"servelint-{__version__}.tar.gz") as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames() if "/" in name}
    for needed in ("README.md", "LICENSE", "tests/cli/test_main.py", "lint/servelint/py.typed", "pyproject.toml", "docs/ci.md"):
        assert needed in names
    assert not [name for name in names if "__pycache__" in name]


@pytest.mark.slow
def test_the_wheel_runs_where_nothing_else_is_installed(built: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    (wheel,) = built.glob("*.whl")
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel], check=True, env=environment)
    manifest = ROOT / "tests" / "data" / "broken_plan.yaml"
    done = subprocess.run(
        [python, "-m", "servelint", "check", "--isolated", str(manifest)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "error[DOC" in done.stdout
    assert "modle" in done.stdout
