"""The public client's own suites and example programs, unchanged, with our command as `claude` and an obedient model.

They lie in `tests/third_party/claude_agent_sdk` and run with the client as pip installed it from its sources, which
bring no command of their own along.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from assay.testing.server import ScriptedServer, serve_in_thread
from assay.testing.server.obedient import obedient

from .command import SOURCE

THIRD = Path(__file__).parents[1] / "third_party/claude_agent_sdk"
PATIENCE = 540.0
EXAMPLES = {
    "agents.py": ("code-reviewer", "doc-writer", "analyzer"),
    "filesystem_agents.py": ("test-agent",),
    "hooks.py all": (),
    "include_partial_messages.py": ("StreamEvent", "ResultMessage"),
    "max_budget_usd.py": (),
    "mcp_calculator.py": ("42", "Calculate 15 + 27"),
    "plugin_example.py": ("demo-plugin",),
    "quick_start.py": (),
    "setting_sources.py all": (),
    "stderr_callback_example.py": ("Captured 0 stderr lines",),
    "streaming_mode.py all": (),
    "streaming_mode_trio.py": (),
    "system_prompt.py": (),
    "tool_permission_callback.py": (),
    "tools_option.py": (),
}
"""Example programs with their arguments, and what they must have printed."""
pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with serve_in_thread(obedient) as server:
        yield server


@pytest.fixture
def variables(tmp_path: Path, server: ScriptedServer) -> dict[str, str]:
    """What a program gets that drives the command: ours first on the path, as `claude`."""
    spec = find_spec("claude_agent_sdk")
    assert spec and spec.origin, "the public client is not installed: scripts/setup.sh test"
    bundled = Path(spec.origin).parent / "_bundled"
    brought = [each.name for each in bundled.glob("claude*")]
    assert not brought, f"{bundled} brings another command; install from sources: --no-binary claude-agent-sdk"
    command = tmp_path / "bin/claude"
    command.parent.mkdir()
    program = tmp_path / "bin/program.py"
    program.write_text("import sys\n\nfrom assay.__main__ import main\n\nsys.exit(main())\n")
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$@"\n')
    command.chmod(0o755)
    for name in ("home", "work", "tmp"):
        (tmp_path / name).mkdir()
    return {
        "HOME": str(tmp_path / "home"),
        "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": SOURCE,
        "PYTHONSAFEPATH": "1",
        "LANG": "C.UTF-8",
        "TMPDIR": str(tmp_path / "tmp"),
        "ANTHROPIC_API_KEY": "x",
        "ANTHROPIC_BASE_URL": server.url,
        "CLAUDE_CONFIG_DIR": str(tmp_path / "config"),
    }


def run(words: list[str], directory: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=directory,
        env=variables,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_the_end_to_end_suite(tmp_path: Path, variables: dict[str, str]) -> None:
    """All 42 tests, unchanged."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts =\n")
    where = str(THIRD / "e2e-tests")
    suite = [
        "-m",
        "pytest",
        where,
        f"--confcutdir={where}",
        "-c",
        str(tmp_path / "pytest.ini"),
        "-p",
        "no:cacheprovider",
    ]
    ended = run([*suite, "-q", "--tb=short", "--import-mode=importlib"], tmp_path / "work", variables)
    passed = re.search(r"(\d+) passed", ended.stdout)
    assert ended.returncode == 0 and passed and passed[1] == "42", ended.stdout[-8000:] + ended.stderr[-2000:]


@pytest.mark.parametrize("line", EXAMPLES)
def test_an_example_program(line: str, tmp_path: Path, variables: dict[str, str]) -> None:
    name, *words = line.split()
    # Some look for `.claude` beside the folder they lie in, which the source repository has.
    base = tmp_path / "work"
    (base / "examples").symlink_to(THIRD / "examples")
    agents = base / ".claude/agents"
    agents.mkdir(parents=True)
    (agents / "test-agent.md").write_text("---\nname: test-agent\ndescription: A test agent\n---\nAnswer briefly.\n")
    ended = run([str(base / "examples" / name), *words], base, variables)
    assert ended.returncode == 0 and "Traceback" not in ended.stderr, ended.stdout[-3000:] + ended.stderr[-3000:]
    assert all(text in ended.stdout for text in EXAMPLES[line]), ended.stdout[-5000:]
