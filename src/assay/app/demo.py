"""The demo: a real library at a release with a real bug, and the test with which its authors later fixed it.

Both come from the registry's source archives, checked by hash; no line of theirs is in our tree. A case is data
(`demo_cases.toml`): package, the two releases, which test files to take from the newer one, which tests fail on the
older, and the symptom in our words.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct

from assay.core.errors import ProviderUnavailable, UsageError


class Case(Struct, frozen=True, rename="kebab"):
    name: str
    package: str
    about: str
    """What the library is, in a few words."""
    broken: str
    """The release with the bug."""
    mended: str
    """The release that fixed it; only its tests are used."""
    broken_sha256: str
    mended_sha256: str
    tests: tuple[str, ...]
    """Files to take from the newer archive, relative to its top folder."""
    failing: tuple[str, ...]
    """pytest node ids that fail on the older release."""
    task: str
    """The symptom, as a user would report it; no hint at the fix."""
    requires: tuple[str, ...] = ()
    """Packages that its tests need beside pytest."""
    outlook: str = ""
    """What the embedded model was seen to do with it."""

    @property
    def check(self) -> str:
        return f"python -m pytest -q {' '.join(shlex.quote(test) for test in self.failing)}"


def load_cases() -> list[Case]:
    """The cases, the one that `assay demo` takes by itself first."""
    text = Path(__file__).with_name("demo_cases.toml").read_text(encoding="utf-8")
    return msgspec.toml.decode(text, type=dict[str, list[Case]])["case"]


def find_case(cases: list[Case], name: str | None) -> Case:
    if name is None:
        return cases[0]
    found = next((case for case in cases if case.name == name), None)
    if found is None:
        raise UsageError(f"no demo '{name}'; there are {', '.join(case.name for case in cases)}")
    return found


async def prepare(case: Case, folder: Path, store: Path, python: Path, tell: Callable[[str], None]) -> Path:
    """A scratch checkout of the case below `folder`: the older release with the newer tests, committed to a fresh git
    repository. Archives are fetched by the pip of `python` and kept in `store`. Raises `ProviderUnavailable` when
    the registry does not answer."""
    tell(f"fetching {case.package} {case.broken} and the tests of {case.mended}")
    old = await _archive(case.package, case.broken, case.broken_sha256, store, python)
    new = await _archive(case.package, case.mended, case.mended_sha256, store, python)
    project = folder / case.package
    with tempfile.TemporaryDirectory(prefix="assay-demo-", dir=folder) as scratch:
        shutil.move(_unpacked(old, Path(scratch, "old")), project)
        newer = _unpacked(new, Path(scratch, "new"))
        for name in case.tests:
            target = project / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(newer / name, target)
    for leftover in project.glob("*.egg-info"):
        shutil.rmtree(leftover)
    await asyncio.to_thread(_commit, project, f"{case.package} {case.broken} with tests of {case.mended}")
    return project


async def test_environment(case: Case, store: Path, tell: Callable[[str], None]) -> Path:
    """A virtual environment with pytest and what the case needs, kept in `store` for the next time."""
    wanted = ("pytest>=8,<9", *case.requires)
    venv = store / f"venv-{sha256(' '.join((sys.version, *wanted)).encode()).hexdigest()[:12]}"
    if (venv / "ready").exists():
        return venv
    tell("making an environment to run the project's tests in")
    shutil.rmtree(venv, ignore_errors=True)
    for argv in (
        [sys.executable, "-m", "venv", str(venv)],
        [str(venv / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *wanted],
    ):
        await _finish(argv, "the environment for the project's tests could not be made")
    (venv / "ready").touch()
    return venv


BACKENDS = ("setuptools.build_meta", "hatchling.build", "flit_core.buildapi", "poetry.core.masonry.api", "pdm.backend")


async def _archive(package: str, version: str, digest: str, store: Path, python: Path) -> Path:
    kept = store / f"{package}-{version}-{digest[:16]}.tar.gz"
    if not kept.exists():
        store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=store) as scratch:
            found = await _download(package, version, digest, Path(scratch), python)
            os.replace(found, kept)  # noqa: PTH105 - atomic, and Path.replace is no clearer
    if sha256(kept.read_bytes()).hexdigest() != digest:
        kept.unlink()
        raise ProviderUnavailable(f"{package} {version}: the registry sent other bytes than the pinned ones; try again")
    return kept


async def _download(package: str, version: str, digest: str, scratch: Path, python: Path) -> Path:
    """The source archive, by pip: it knows the user's index, proxy and certificates. pip checks the hash, then asks the
    build backend for metadata; ours answers in its place, so that no code of the archive is run."""
    backend = Path(__file__).with_name("no_build.py").read_text(encoding="utf-8")
    backend = backend.replace("NAME==VERSION", f"{package}=={version}")
    for module in BACKENDS:
        file = Path(scratch, "backends", *module.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(backend, encoding="utf-8")
        for parent in list(file.parents)[: module.count(".")]:
            (parent / "__init__.py").touch()
    Path(scratch, "wanted.txt").write_text(f"{package}=={version} --hash=sha256:{digest}\n", encoding="utf-8")
    argv = [str(python), "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--use-pep517"]
    argv += ["--no-binary", ":all:", "--no-build-isolation", "-d", str(scratch), "-r", str(scratch / "wanted.txt")]
    environ = {**os.environ, "PYTHONPATH": str(scratch / "backends")}
    await _finish(argv, f"{package} {version} could not be fetched", environ)
    found = next(iter(scratch.glob("*.tar.gz")), None)
    if found is None:
        raise ProviderUnavailable(f"{package} {version}: the registry has no .tar.gz archive of it")
    return found


async def _finish(argv: list[str], trouble: str, environ: dict[str, str] | None = None) -> None:
    """Run a helper to its end. Raises `ProviderUnavailable` with the helper's own reason."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environ
    )
    try:
        async with asyncio.timeout(600):
            _, said = await process.communicate()
    except TimeoutError:
        raise ProviderUnavailable(f"{trouble}: no answer within ten minutes") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = said.decode("utf-8", "replace").strip().splitlines()
        told = [line for line in lines if line.lower().startswith("error")] or lines[-1:] or ["no reason was given"]
        raise ProviderUnavailable(f"{trouble}: {told[-1][:300]}")


def _unpacked(archive: Path, folder: Path) -> Path:
    folder.mkdir()
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return next(folder.iterdir())


def _commit(project: Path, message: str) -> None:
    def git(*arguments: str) -> None:
        settings = ("-c", "user.name=assay demo", "-c", "user.email=demo@localhost", "-c", "commit.gpgsign=false")
        argv = ["git", *settings, "-c", "core.hooksPath=/dev/null", *arguments]
        try:
            subprocess.run(argv, cwd=project, check=True, capture_output=True, timeout=60)
        except (OSError, subprocess.SubprocessError) as error:
            raise UsageError(f"git could not make the scratch repository: {error}") from error

    git("init", "-q", "-b", "main")
    git("add", "-A", "-f")
    git("commit", "-q", "-m", message)
