"""The agents that are measured: where they are found, and how each is driven without terminal and telemetry."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

Started = tuple[list[str], dict[str, str]]
"""Arguments after the program, and environment variables beside `base_environment`."""


class Drive(NamedTuple):
    """What one run is told: the scripted server's address without `/v1`, the prompt, and the home it may write to."""

    url: str
    prompt: str
    home: Path


class Kind(NamedTuple):
    """An agent: `program` is the command to look for, `start` says how to give it a task."""

    name: str
    program: str
    wire: str
    start: Callable[[Drive], Started]


class Peer(NamedTuple):
    """An agent that is here, at `program`."""

    kind: Kind
    program: str

    @property
    def name(self) -> str:
        return self.kind.name

    @property
    def ours(self) -> bool:
        return self.kind.program == "assay"

    def command(self, drive: Drive) -> Started:
        """The whole command line and environment of one run."""
        arguments, variables = self.kind.start(drive)
        return [self.program, *arguments], {**base_environment(drive.home), **variables}


def base_environment(home: Path) -> dict[str, str]:
    """Nothing of ours but the search path: a developer's PYTHON* and XDG_* variables would change what is measured."""
    return {"HOME": str(home), "PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "TERM": "dumb"}


def _assay(dialect: str, *more: str) -> Callable[[Drive], Started]:
    def start(drive: Drive) -> Started:
        url = drive.url if dialect == "anthropic" else f"{drive.url}/v1"
        arguments = ["-p", drive.prompt, "--model", "openai/bench-model", "--base-url", url]
        return [*arguments, "--api-key-env", "BENCH_KEY", "--dialect", dialect, *more], {"BENCH_KEY": "sk-bench"}

    return start


def _claude(*more: str) -> Callable[[Drive], Started]:
    def start(drive: Drive) -> Started:
        switches = ("DISABLE_TELEMETRY", "DISABLE_AUTOUPDATER", "DISABLE_ERROR_REPORTING", "IS_SANDBOX")
        return [*more, "-p", drive.prompt, "--model", "sonnet", "--dangerously-skip-permissions"], {
            "ANTHROPIC_BASE_URL": drive.url,
            "ANTHROPIC_API_KEY": "sk-bench",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "ENABLE_TOOL_SEARCH": "true",  # as at the vendor's own address; fewer tools are sent
            **dict.fromkeys(switches, "1"),
        }

    return start


def _codex(drive: Drive) -> Started:
    provider = f'{{name="bench",base_url="{drive.url}/v1",wire_api="responses",env_key="BENCH_KEY"}}'
    settings = ["model_provider=bench", f"model_providers.bench={provider}", "analytics.enabled=false"]
    settings.append("check_for_update_on_startup=false")
    flags = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "-m", "gpt-5.5"]
    return [*flags, *(part for line in settings for part in ("-c", line)), drive.prompt], {"BENCH_KEY": "sk-bench"}


def _pi(drive: Drive) -> Started:
    folder = drive.home / ".pi" / "agent"
    folder.mkdir(parents=True, exist_ok=True)
    model = {"id": "bench-model", "name": "bench", "contextWindow": 200_000, "maxTokens": 8_000}
    provider = {"baseUrl": f"{drive.url}/v1", "apiKey": "sk-bench", "api": "openai-completions", "models": [model]}
    (folder / "models.json").write_text(json.dumps({"providers": {"bench": provider}}))
    quiet = {"PI_OFFLINE": "1", "PI_SKIP_VERSION_CHECK": "1", "PI_TELEMETRY": "0"}
    return ["-p", "--provider", "bench", "--model", "bench-model", drive.prompt], quiet


def _mini(drive: Drive) -> Started:
    return ["-y", "--exit-immediately", "-m", "openai/bench-model", "-t", drive.prompt], {
        "OPENAI_API_BASE": f"{drive.url}/v1",
        "OPENAI_BASE_URL": f"{drive.url}/v1",
        "OPENAI_API_KEY": "sk-bench",
        "MSWEA_CONFIGURED": "true",
        "MSWEA_COST_TRACKING": "ignore_errors",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }


def _aider(drive: Drive) -> Started:
    flags = ["--model", "openai/bench-model", "--yes-always", "--no-check-update", "--analytics-disable"]
    flags += [
        "--no-show-model-warnings",
        "--no-show-release-notes",
        "--edit-format",
        "diff",
        "--no-detect-urls",
        "--no-gitignore",
    ]
    return [*flags, "--message", drive.prompt, "calc.py"], {
        "OPENAI_API_BASE": f"{drive.url}/v1",
        "OPENAI_API_KEY": "sk-bench",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }


KINDS: tuple[Kind, ...] = (
    Kind("assay", "assay", "openai-chat", _assay("openai-chat")),
    Kind("assay-anthropic", "assay", "anthropic", _assay("anthropic")),
    Kind("assay-responses", "assay", "openai-responses", _assay("openai-responses")),
    Kind("codex", "codex", "openai-responses", _codex),
    Kind("claude-bare", "claude", "anthropic", _claude("--bare")),
    Kind("claude", "claude", "anthropic", _claude()),
    Kind("pi", "pi", "openai-chat", _pi),
    Kind("aider", "aider", "openai-chat", _aider),
    Kind("mini", "mini", "openai-chat", _mini),
)


def find_peers(wanted: Sequence[str] = (), dialects: bool = False) -> tuple[list[Peer], list[str]]:
    """The agents that are here, and the names of those that are not.

    `wanted` limits them to some names; `dialects` adds `assay` over its other two dialects.
    """
    peers: list[Peer] = []
    missing: list[str] = []
    for kind in KINDS:
        extra = kind.name.startswith("assay-")
        if (wanted and kind.name not in wanted and kind.program != "assay") or (extra and not dialects):
            continue
        program = find_program(kind.program)
        if program:
            peers.append(Peer(kind, program))
        else:
            missing.append(kind.name)
    return peers, missing


def find_program(name: str) -> str | None:
    """Where a command is: for ours beside this interpreter first, for others below BENCH_PEERS first, then on PATH."""
    if name == "assay":
        beside = [Path(os.environ["BENCH_ASSAY"])] if "BENCH_ASSAY" in os.environ else []
        beside.append(Path(sys.executable).with_name("assay"))
        return next((str(path) for path in beside if path.exists()), None) or shutil.which(name)
    folders = [Path(part) for part in os.environ.get("BENCH_PEERS", "").split(os.pathsep) if part]
    for folder in folders:
        for place in (folder, folder / "bin", folder / name / "bin", folder / "node_modules" / ".bin"):
            if (place / name).is_file() and os.access(place / name, os.X_OK):
                return native(place / name)
    found = shutil.which(name)
    return native(Path(found)) if found else None


def native(program: Path) -> str:
    """The program itself where a package manager put a launcher in front of it, which would be unfair to count."""
    if program.name == "codex" and "node_modules" in str(program.resolve()):
        scope = next(parent for parent in program.resolve().parents if parent.name == "@openai")
        binaries = sorted(scope.glob("codex-*/vendor/*/bin/codex")) + sorted(scope.glob("codex-*/vendor/*/codex/codex"))
        return str(binaries[0]) if binaries else str(program)
    return str(program)
