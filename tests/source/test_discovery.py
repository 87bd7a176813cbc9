from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import pytest

from servelint.finding import ReadError
from servelint.source import discovery

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Selection(NamedTuple):
    exclude: Sequence[str] = ()
    force_exclude: bool = False
    path: str = ""


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "b.yaml", "a.yml", "c.JSON", "plan.md", "README", "deploy/x.yaml", "deploy/deep/y.yaml", "deploy-2.yaml", ".git/config.yaml",
        ".github/z.yaml", "build/out.yaml", "build/keep.yaml", "vendor/v.yaml",
    ):  # fmt: skip
        path = tmp_path / "repo" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a: 1\n")
    monkeypatch.chdir(tmp_path / "repo")
    return tmp_path / "repo"


ALL = (".github/z.yaml", "a.yml", "b.yaml", "build/keep.yaml", "build/out.yaml", "c.JSON", "deploy/deep/y.yaml", "deploy/x.yaml",
       "deploy-2.yaml", "vendor/v.yaml")  # fmt: skip


def find(*paths: str, exclude: Sequence[str] = (), force: bool = False, config: str = "") -> tuple[str, ...]:
    found = discovery.find(paths, Selection(exclude, force, config))
    assert not found.errors
    return found.files


def test_a_folder_gives_its_manifests_sorted() -> None:
    assert find(".") == ALL
    assert find("./deploy/") == ("deploy/deep/y.yaml", "deploy/x.yaml")
    assert find("deploy", ".", "deploy/deep") == ALL


def test_a_file_is_read_once_however_often_it_is_reached(tree: Path) -> None:
    assert find("deploy/../b.yaml", str(tree / "b.yaml"), "b.yaml") == ("deploy/../b.yaml",)
    assert len(find("deploy/..", ".", "b.yaml")) == len(ALL)


def test_paths_stay_absolute_where_they_were_named_so(tree: Path) -> None:
    assert find(str(tree / "deploy")) == (f"{tree}/deploy/deep/y.yaml", f"{tree}/deploy/x.yaml")


def test_a_named_file_is_taken_whatever_its_name_and_once() -> None:
    assert find("plan.md", "./README", "plan.md", "-") == ("README", "plan.md")
    found = discovery.find(["deploy", "deploy/x.yaml"], Selection())
    assert found.files == ("deploy/deep/y.yaml", "deploy/x.yaml")
    assert found.named == {"deploy/x.yaml"}


def test_gitignore_files_count_from_the_repository_down(tree: Path) -> None:
    (tree / ".gitignore").write_text("# built\nbuild/*\n!build/keep.yaml\nvendor/\n/a.yml\n\n[\n")
    (tree / "deploy/.gitignore").write_text("y.yaml\n!/b.yaml\n")
    expected = (".github/z.yaml", "b.yaml", "build/keep.yaml", "c.JSON", "deploy/x.yaml", "deploy-2.yaml")
    assert find(".") == expected
    assert find("deploy") == ("deploy/x.yaml",)
    assert find("build") == ("build/keep.yaml",)
    assert find("deploy/deep") == ()
    (tree / "deploy/deep/.gitignore").write_text("!y.yaml\n")
    assert find("deploy") == ("deploy/deep/y.yaml", "deploy/x.yaml")


def test_an_ignored_file_or_folder_that_is_named_is_taken(tree: Path) -> None:
    (tree / ".gitignore").write_text("vendor/\nb.yaml\n")
    assert find("b.yaml") == ("b.yaml",)
    assert find("vendor") == ("vendor/v.yaml",)


def test_ignore_files_above_count_in_a_repository_only(tmp_path: Path) -> None:
    outside = tmp_path / "plain" / "sub"
    outside.mkdir(parents=True)
    (outside / "a.yaml").write_text("")
    (tmp_path / "plain" / ".gitignore").write_text("*.yaml\n")
    assert find(str(outside)) == (f"{outside}/a.yaml",)
    assert find(str(outside.parent)) == ()


def test_excludes_of_the_configuration(tree: Path) -> None:
    assert find(".", exclude=["build", "*.json", "deploy/**/y.yaml"]) == (".github/z.yaml", "a.yml", "b.yaml", "c.JSON", "deploy/x.yaml",
                                                                         "deploy-2.yaml", "vendor/v.yaml")  # fmt: skip
    assert find("build", exclude=["build"]) == ()
    assert find("build/out.yaml", exclude=["build"]) == ("build/out.yaml",)
    assert find("build/out.yaml", "b.yaml", exclude=["build"], force=True) == ("b.yaml",)
    # Relative to the folder of the configuration file.
    assert find("deploy", exclude=["/x.yaml"], config="deploy/servelint.yaml") == ("deploy/deep/y.yaml",)
    assert find("deploy", exclude=["/x.yaml"], config=str(tree / "servelint.yaml")) == ("deploy/deep/y.yaml", "deploy/x.yaml")


def test_links_are_followed_within_the_folder_only(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("a: 1\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/o.yaml").write_text("a: 1\n")
    (tree / "deploy/conf").write_text("a: 1\n")
    (tree / "deploy/out.yaml").symlink_to(tmp_path / "secret.yaml")
    (tree / "deploy/out").symlink_to(tmp_path / "outside")
    (tree / "deploy/loop").symlink_to(tree)
    (tree / "deploy/same.yaml").symlink_to("x.yaml")
    (tree / "deploy/other.yaml").symlink_to("conf")
    assert find("deploy") == ("deploy/deep/y.yaml", "deploy/other.yaml", "deploy/x.yaml")
    assert find("deploy/out.yaml") == ("deploy/out.yaml",)  # named
    assert find("deploy/out") == ("deploy/out/o.yaml",)
    (tree / "self.yaml").symlink_to("self.yaml")
    found = discovery.find(["."], Selection())
    assert [e.path for e in found.errors] == ["self.yaml"]


def test_what_is_missing_is_one_sentence_and_the_rest_is_found(tree: Path) -> None:
    (tree / "dangling.yaml").symlink_to("nowhere")
    found = discovery.find(["none.yaml", "none/", "b.yaml", "dangling.yaml"], Selection())
    assert found.files == ("b.yaml",)
    assert [(e.path, e.line) for e in found.errors] == [("dangling.yaml", 0), ("none", 0), ("none.yaml", 0)]
    assert all("\n" not in e.message for e in found.errors)


def test_a_folder_that_cannot_be_opened_is_an_error(monkeypatch: pytest.MonkeyPatch, tree: Path) -> None:
    scan = os.scandir

    def refuse(path: str) -> object:
        if path == str(tree / "deploy"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = discovery.find(["."], Selection())
    assert found.files == tuple(name for name in ALL if not name.startswith("deploy/"))
    assert found.errors == (ReadError("deploy", 0, 0, "cannot be read (permission denied); allow reading it, or exclude it"),)


def test_a_name_that_is_not_utf_8_is_an_error(tree: Path) -> None:
    try:
        (tree / "deploy" / os.fsdecode(b"\xff.yaml")).write_text("a: 1\n")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    found = discovery.find(["deploy"], Selection())
    assert found.files == ("deploy/deep/y.yaml", "deploy/x.yaml")
    assert [e.path for e in found.errors] == ["deploy/\\udcff.yaml"]


def test_load(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert discovery.load("b.yaml") == b"a: 1\n"
    for path in ("none.yaml", "deploy"):
        error = discovery.load(path)
        assert isinstance(error, ReadError)
        assert (error.path, error.line, error.column) == (path, 0, 0)
        assert "cannot be read" in error.message


def test_the_order_does_not_depend_on_how_files_are_named() -> None:
    assert find("deploy", "b.yaml", "a.yml") == find("a.yml", "deploy/x.yaml", "b.yaml", "deploy")
