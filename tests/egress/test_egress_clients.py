"""Real clients through the proxy: pip from a package index, git with its own server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from assay.core.egress import Host

from .servers import git_backend, package_index, serving
from .stage import House, house, serving_tls

GIT = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0"}
NAMES = {f"GIT_{who}_{what}": "t@e.test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


async def through(proxy: House, *argv: str, cwd: Path) -> tuple[int, str]:
    """Run a client with the environment that commands get."""
    env = {"PATH": os.environ["PATH"], "HOME": str(cwd), **GIT, **NAMES, **await proxy.environment()}
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


@pytest.mark.parametrize("secure", [False, True])
async def test_pip_downloads_from_a_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secure: bool) -> None:
    context, trusted = serving_tls(tmp_path / "theirs", "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    seen: list[str] = []
    with serving(package_index("tiny", seen), context if secure else None) as port:
        url = f"{'https' if secure else 'http'}://localhost:{port}/simple/"
        pip = (sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "download", "--no-cache-dir")
        get = (*pip, "--no-deps", "--retries", "0", "--trusted-host", "none.test", "-i", url)
        if not secure:
            get = (*get, "--trusted-host", f"localhost:{port}")
        hosts = {"localhost": Host("mirror", (port,), private=True, paths=("/simple/*/", "/packages/**"))}
        async with house(hosts, tmp_path / "ours") as proxy:
            code, said = await through(proxy, *get, "tiny", cwd=tmp_path)
            assert code == 0, said
            assert (tmp_path / "tiny-1.0-py3-none-any.whl").exists()
            assert [line.split(" ", 2)[2] for line in seen] == ["assay", "assay"]
            assert 0 < proxy.policy.spent < 300
        elsewhere = {"localhost": Host("mirror", (1,), private=True)}
        async with house(elsewhere, tmp_path / "ours") as proxy:
            code, said = await through(proxy, *get, "tiny", cwd=tmp_path)
            assert code != 0 and len(seen) == 2


def git(*argv: str, cwd: Path) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": str(cwd), **GIT, **NAMES}
    return subprocess.run(
        ["git", *argv], cwd=cwd, env=env, check=True, capture_output=True, text=True, timeout=30
    ).stdout


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """A bare repository /team/code.git with one commit on main, and another beside it."""
    root = tmp_path / "served"
    for name in ("code", "other"):
        bare = root / "team" / f"{name}.git"
        bare.mkdir(parents=True)
        git("init", "-q", "--bare", "-b", "main", cwd=bare)
        git("config", "http.receivepack", "true", cwd=bare)
    work = tmp_path / "work"
    work.mkdir()
    git("init", "-q", "-b", "main", cwd=work)
    (work / "a.txt").write_text("one\n")
    git("add", ".", cwd=work)
    git("commit", "-qm", "one", cwd=work)
    for name in ("code", "other"):
        git("push", "-q", str(root / "team" / f"{name}.git"), "main", cwd=work)
    return root


async def test_git_fetches_one_repository_and_pushes_one_branch(tmp_path: Path, served: Path) -> None:
    bare = served / "team" / "code.git"
    with serving(git_backend(served)) as port:
        url = f"http://localhost:{port}/team/code.git"
        hosts = {"localhost": Host("forge", (port,), private=True, remote="/team/code", branch="agent/work")}
        async with house(hosts, tmp_path / "ours") as proxy:
            code, said = await through(proxy, "git", "clone", "-q", url, "clone", cwd=tmp_path)
            assert code == 0, said
            clone = tmp_path / "clone"
            assert (clone / "a.txt").read_text() == "one\n"
            code, said = await through(proxy, "git", "ls-remote", url.replace("code", "other"), cwd=tmp_path)
            assert code != 0 and "403" in said
            (clone / "a.txt").write_text("two\n")
            git("commit", "-qam", "two", cwd=clone)
            code, said = await through(proxy, "git", "push", "-q", url, "HEAD:agent/work", cwd=clone)
            assert code == 0, said
            pushed = git("rev-parse", "agent/work", cwd=bare)
            assert pushed == git("rev-parse", "HEAD", cwd=clone)
            big = clone / "big.bin"
            big.write_bytes(os.urandom(1_500_000))  # so much that git sends it in chunks
            git("add", ".", cwd=clone)
            git("commit", "-qm", "big", cwd=clone)
            code, said = await through(proxy, "git", "push", "-q", url, "HEAD:agent/work", cwd=clone)
            assert code == 0, said
            for wrong in (("HEAD:main",), ("HEAD:refs/heads/agent/work2",), ("HEAD:refs/tags/x",), (":agent/work",),
                          ("HEAD:agent/work", "HEAD:main")):  # fmt: skip
                code, said = await through(proxy, "git", "push", "-q", url, *wrong, cwd=clone)
                assert code != 0 and "403" in said, said
            refs = git("for-each-ref", "--format=%(refname)", cwd=bare).split()
            assert refs == ["refs/heads/agent/work", "refs/heads/main"]
            assert git("rev-parse", "main", cwd=bare) != git("rev-parse", "agent/work", cwd=bare)
        reading = {"localhost": Host("forge", (port,), private=True, remote="/team/code")}
        async with house(reading, tmp_path / "ours") as proxy:
            assert (await through(proxy, "git", "ls-remote", url, cwd=tmp_path))[0] == 0
            code, said = await through(proxy, "git", "push", "-q", url, "HEAD:agent/work", cwd=clone)
            assert code != 0 and "403" in said
