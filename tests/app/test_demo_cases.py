"""The demo's data, and its way from a registry to a scratch repository: here the registry is a folder."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from msgspec.structs import replace

from assay.app.demo import Case, find_case, load_cases, prepare
from assay.core.errors import ProviderUnavailable, UsageError

SETUP = "import pathlib, sys\npathlib.Path({mark!r}).write_text('ran')\nfrom setuptools import setup\nsetup()\n"


def archive(folder: Path, version: str, files: dict[str, str]) -> str:
    path = folder / f"tinyshop-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(f"tinyshop-{version}/{name}")
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    registry = tmp_path / "registry"
    registry.mkdir()
    info = "Metadata-Version: 2.1\nName: tinyshop\nVersion: {}\n"
    setup = SETUP.format(mark=str(tmp_path / "mark"))
    old = archive(registry, "1.0", {"PKG-INFO": info.format("1.0"), "setup.py": setup, "shop.py": "x = 1\n"})
    new = archive(registry, "1.1", {"PKG-INFO": info.format("1.1"), "setup.py": setup, "tests/test_shop.py": "# t\n"})
    for name, value in {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(registry),
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_CACHE_DIR": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    return Case("tiny", "tinyshop", "a shop", "1.0", "1.1", old, new, ("tests/test_shop.py",), ("t::x",), "it fails")


async def test_a_case_becomes_a_repository_and_no_code_of_the_archive_runs(case: Case, tmp_path: Path) -> None:
    told: list[str] = []
    folder, store = tmp_path / "work", tmp_path / "store"
    folder.mkdir()
    project = await prepare(case, folder, store, Path(sys.executable), told.append)
    assert (project / "shop.py").read_text() == "x = 1\n"
    assert (project / "tests" / "test_shop.py").read_text() == "# t\n"
    assert not (tmp_path / "mark").exists()
    status = subprocess.run(["git", "status", "--porcelain"], cwd=project, capture_output=True, check=True)
    assert status.stdout == b""
    assert len(list(store.glob("*.tar.gz"))) == 2 and len(list(store.iterdir())) == 2
    assert told


async def test_other_bytes_than_the_pinned_ones_are_refused(case: Case, tmp_path: Path) -> None:
    with pytest.raises(ProviderUnavailable, match=r"tinyshop 1\.0"):
        await prepare(replace(case, broken_sha256="0" * 64), tmp_path, tmp_path / "s", Path(sys.executable), print)


async def test_a_release_that_is_not_there_is_told_in_one_line(case: Case, tmp_path: Path) -> None:
    with pytest.raises(ProviderUnavailable, match="could not be fetched") as caught:
        await prepare(replace(case, broken="9.9"), tmp_path, tmp_path / "s", Path(sys.executable), print)
    assert "\n" not in str(caught.value)


def test_the_cases_are_complete_and_their_names_differ() -> None:
    cases = load_cases()
    assert len(cases) >= 3 and len({case.name for case in cases}) == len(cases)
    assert find_case(cases, None) is cases[0] and find_case(cases, cases[-1].name) is cases[-1]
    for case in cases:
        assert re.fullmatch(r"[0-9a-f]{64}", case.broken_sha256) and re.fullmatch(r"[0-9a-f]{64}", case.mended_sha256)
        assert all(test.split("::")[0] in case.tests for test in case.failing)
        assert case.outlook and case.task.endswith(".")
    with pytest.raises(UsageError, match="there are"):
        find_case(cases, "none")
