"""Which changes of ignored files could make checks pass."""

from __future__ import annotations

import time
from pathlib import Path

from assay.verify.ignored import altered

OLD = (
    "node_modules/a/index.js", "node_modules/a/package.json", "node_modules/@s/b/index.js", "dist/out.js",
    ".venv/lib/python3/site-packages/six.py", ".venv/lib/python3/site-packages/pkg/x.py",
    ".venv/lib/python3/site-packages/pkg/y.py", "src/a.py",
)  # fmt: skip


def put(root: Path, *paths: str) -> None:
    for path in paths:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("x")


async def found(root: Path, *changed: str) -> tuple[list[str], list[str]]:
    put(root, *OLD)
    time.sleep(0.02)
    since = time.time()
    time.sleep(0.02)
    put(root, *changed)
    result = await altered(str(root), since, ["src/a.py", "src/new.py"])
    return sorted(result.loaded), sorted(result.others)


async def test_edits_of_what_is_installed(tmp_path: Path) -> None:
    loaded, _ = await found(tmp_path, "node_modules/a/index.js", ".venv/lib/python3/site-packages/pkg/x.py")
    assert loaded == [".venv/lib/python3/site-packages/pkg/x.py", "node_modules/a/index.js"]


async def test_a_new_package_is_an_installation(tmp_path: Path) -> None:
    new = ("node_modules/c/index.js", "node_modules/@s/d/x.js", ".venv/lib/python3/site-packages/new/__init__.py")
    assert await found(tmp_path, *new) == ([], [])


async def test_what_is_loaded_by_its_name(tmp_path: Path) -> None:
    named = (
        ".npmrc", "conftest.py", "node_modules/.bin/node", ".venv/bin/python3",
        ".venv/lib/python3/site-packages/sitecustomize.py", ".venv/lib/python3/site-packages/pytest.py",
        "src/local.py",
    )  # fmt: skip
    loaded, others = await found(tmp_path, *named)
    assert loaded == sorted(named)
    assert others == []


async def test_the_rest_is_tried(tmp_path: Path) -> None:
    changed = (
        "dist/out.js",
        "data/cache.json",
        "src/new.py",
        "src/_version.py",
        ".pytest_cache/v",
        ".git/x",
        "a/__pycache__/a.pyc",
    )
    assert await found(tmp_path, *changed) == ([], ["data/cache.json", "dist/out.js"])


async def test_path_files_may_name_directories(tmp_path: Path) -> None:
    path = ".venv/lib/python3/site-packages/editable.pth"
    assert await found(tmp_path, path) == ([], [path])
    tmp_path.joinpath(path).write_text("import os; os._exit(0)\n")
    assert [*(await altered(str(tmp_path), 1.0, [])).loaded].count(path) == 1


async def test_without_a_moment_nothing_is_said(tmp_path: Path) -> None:
    put(tmp_path, *OLD)
    assert (await altered(str(tmp_path), 0, [])).loaded == {}
