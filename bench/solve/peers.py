"""How each agent is given a task: at its defaults, and at the settings that its own documentation recommends for a
small model, a known check, or a run without a person. Both are measured."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from bench.peers import find_program
from bench.solve.task import Task

Started = tuple[list[str], dict[str, str]]
"""Arguments after the program, and environment variables."""
CONTEXT = 32_768
OUTPUT = 2_048
SHOWN = 4
"""Files beside the one to change that a small task has at most."""


class Given(NamedTuple):
    """What one run is told. `url` is the proxy's, without /v1; `model` the name to ask it for."""

    url: str
    model: str
    task: Task
    home: Path

    def settings(self, path: str, table: object) -> Path:
        """Write a settings file below the home."""
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(table))
        return file


class Harness(NamedTuple):
    """`program` is the command to look for, `wire` what it speaks, `note` what a reader must know of its settings."""

    name: str
    program: str
    wire: str
    start: Callable[[Given], Started]
    note: str = ""

    @property
    def ours(self) -> bool:
        return self.program == "assay"

    def command(self, program: str, given: Given) -> Started:
        arguments, variables = self.start(given)
        return [*shlex.split(program), *arguments], variables


def shown_files(task: Task) -> list[str]:
    """The files of a small task that a prompt without tools shows; the one to change first. Of a library: that one."""
    others = [
        path for path in task.files if path.endswith((".py", ".md")) and path not in (*task.subject, "conftest.py")
    ]
    return [*task.subject[:1], *(others if len(others) <= SHOWN else [])]


def _control(kind: str) -> Callable[[Given], Started]:
    def start(given: Given) -> Started:
        files = shown_files(given.task) if kind == "single" else []
        words = ["-m", "bench.solve.controls", kind, "--url", given.url, "--model", given.model]
        return [*words, given.task.prompt, *files], {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}

    return start


def _assay(*more: str) -> Callable[[Given], Started]:
    """Ours, with a provider that has the facts of its own local model and the proxy's address."""

    def start(given: Given) -> Started:
        local = json.loads((Path(find_spec("assay.models").origin or "").parent / "catalog.json").read_text())  # type: ignore[union-attr]  # it is there
        local = local["providers"]["local"]
        provider = {**local, "baseUrl": f"{given.url}/v1", "firstByte": 1800, "idle": 600}
        provider["models"] = {given.model: local["models"].get(given.model, local["defaults"])}
        given.settings(".config/assay/settings.json", {"providers": {"rig": provider}})
        words = ["-p", given.task.prompt, "--model", f"rig/{given.model}", "--output-format", "json"]
        return [*words, *more], {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}

    return start


def _aider(*more: str, checked: bool = False) -> Callable[[Given], Started]:
    def start(given: Given) -> Started:
        flags = ["--model", f"openai/{given.model}", "--yes-always", "--no-check-update", "--analytics-disable"]
        flags += ["--no-show-model-warnings", "--no-show-release-notes", "--no-gitignore", "--no-detect-urls", *more]
        if checked:
            tests = [
                part
                for path in sorted(given.task.files)
                if "test_" in path or "_test" in path
                for part in ("--read", path)
            ]
            flags += ["--auto-test", "--test-cmd", given.task.check, *tests]
        return [*flags, "--message", given.task.prompt, *given.task.subject], {
            "OPENAI_API_BASE": f"{given.url}/v1",
            "OPENAI_API_KEY": "sk-rig",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }

    return start


def _mini(config: str) -> Callable[[Given], Started]:
    def start(given: Given) -> Started:
        words = ["-c", config] if config else []
        return [
            "-y",
            "--exit-immediately",
            "-l",
            "0",
            "-m",
            f"openai/{given.model}",
            *words,
            "-t",
            given.task.prompt,
        ], {
            "OPENAI_API_BASE": f"{given.url}/v1",
            "OPENAI_BASE_URL": f"{given.url}/v1",
            "OPENAI_API_KEY": "sk-rig",
            "MSWEA_CONFIGURED": "true",
            "MSWEA_COST_TRACKING": "ignore_errors",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }

    return start


def _pi(given: Given) -> Started:
    model = {"id": given.model, "name": given.model, "contextWindow": CONTEXT, "maxTokens": OUTPUT}
    provider = {"baseUrl": f"{given.url}/v1", "apiKey": "sk-rig", "api": "openai-completions", "models": [model]}
    given.settings(".pi/agent/models.json", {"providers": {"rig": provider}})
    quiet = {"PI_OFFLINE": "1", "PI_SKIP_VERSION_CHECK": "1", "PI_TELEMETRY": "0"}
    return ["-p", "--provider", "rig", "--model", given.model, given.task.prompt], quiet


def _opencode(given: Given) -> Started:
    limit = {"context": CONTEXT, "output": OUTPUT}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "rig",
        "options": {"baseURL": f"{given.url}/v1", "apiKey": "sk-rig", "timeout": False},
        "models": {given.model: {"name": given.model, "limit": limit}},
    }
    settings = {"provider": {"rig": provider}, "autoupdate": False, "share": "disabled"}
    settings |= {"model": f"rig/{given.model}", "small_model": f"rig/{given.model}", "permission": "allow"}
    given.settings(".config/opencode/opencode.json", settings)
    return ["run", "-m", f"rig/{given.model}", given.task.prompt], {
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    }


def _qwen(*more: str) -> Callable[[Given], Started]:
    def start(given: Given) -> Started:
        given.settings(".qwen/settings.json", {"general": {"disableAutoUpdate": True}, "telemetry": {"enabled": False}})
        words = ["--auth-type", "openai", "-m", given.model, "-y", *more, "-p", given.task.prompt]
        variables = {"OPENAI_API_KEY": "sk-rig", "OPENAI_BASE_URL": f"{given.url}/v1", "OPENAI_MODEL": given.model}
        return words, variables | {"QWEN_CODE_NO_UPDATE": "1"}

    return start


def _claude(*more: str) -> Callable[[Given], Started]:
    def start(given: Given) -> Started:
        switches = ("DISABLE_TELEMETRY", "DISABLE_AUTOUPDATER", "DISABLE_ERROR_REPORTING", "IS_SANDBOX")
        return ["-p", given.task.prompt, "--model", given.model, "--dangerously-skip-permissions", *more], {
            "ANTHROPIC_BASE_URL": given.url,
            "ANTHROPIC_API_KEY": "sk-rig",
            "ANTHROPIC_SMALL_FAST_MODEL": given.model,
            "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(OUTPUT),
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "API_TIMEOUT_MS": "1800000",
            **dict.fromkeys(switches, "1"),
        }

    return start


def _codex(*more: str) -> Callable[[Given], Started]:
    def start(given: Given) -> Started:
        provider = f'{{name="rig",base_url="{given.url}/v1",wire_api="responses",env_key="RIG_KEY",'
        provider += "request_max_retries=1,stream_max_retries=1,stream_idle_timeout_ms=1800000}"
        settings = ["model_provider=rig", f"model_providers.rig={provider}", "analytics.enabled=false"]
        settings += ["check_for_update_on_startup=false", f"model_context_window={CONTEXT}", *more]
        flags = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "-m", given.model]
        return [*flags, *(part for line in settings for part in ("-c", line)), given.task.prompt], {"RIG_KEY": "sk-rig"}

    return start


_LEAN = "Bash,Read,Edit,Write"
HARNESSES: tuple[Harness, ...] = (
    Harness("single", "python", "chat", _control("single"), "one prompt with the files, no tools, one answer"),
    Harness("bash", "python", "chat", _control("bash"), "a loop over one shell, one command a reply, 25 at most"),
    Harness("aider", "aider", "chat", _aider(), "defaults; the file to edit is named, as its users do"),
    Harness(
        "aider-best",
        "aider",
        "chat",
        _aider("--edit-format", "whole", "--no-auto-commits", "--map-tokens", "0", checked=True),
        "whole-file edits, tests shown and run after each edit, no commits",
    ),
    Harness("mini", "mini", "chat", _mini(""), "defaults (tool calls)"),
    Harness("mini-best", "mini", "chat", _mini("mini_textbased.yaml"), "its text-based configuration (no tool calls)"),
    Harness("pi", "pi", "chat", _pi, "defaults"),
    Harness("opencode", "opencode", "chat", _opencode, "defaults, every permission given"),
    Harness("qwen", "qwen", "chat", _qwen(), "defaults, every permission given"),
    Harness("qwen-best", "qwen", "chat", _qwen("--bare"), "--bare"),
    Harness("claude", "claude", "anthropic", _claude(), "defaults, every permission given"),
    Harness("claude-best", "claude", "anthropic", _claude("--bare", "--tools", _LEAN), "--bare, four tools"),
    Harness("codex", "codex", "responses", _codex(), "defaults, no sandbox, no approvals"),
    Harness("assay", "assay", "chat", _assay(), "defaults"),
    Harness("assay-low", "assay", "chat", _assay("--effort", "low"), "--effort low"),
    Harness("assay-high", "assay", "chat", _assay("--effort", "high"), "--effort high"),
)


def harness(name: str) -> Harness:
    """Raises KeyError."""
    return {one.name: one for one in HARNESSES}[name]


def find(one: Harness) -> str | None:
    """The command line that starts it; None when it isn't here. BENCH_ASSAY may be a whole command line for ours."""
    if one.program == "python":
        return shlex.quote(sys.executable)
    if one.ours and " " in os.environ.get("BENCH_ASSAY", ""):
        return os.environ["BENCH_ASSAY"]
    found = find_program(one.program)
    return shlex.quote(found) if found else None


def version(program: str) -> str:
    """The first line of --version."""
    try:
        done = subprocess.run(
            [*shlex.split(program), "--version"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = [line for line in (done.stdout + done.stderr).splitlines() if any(map(str.isdigit, line))]
    return lines[0].strip() if lines else ""
