"""Hooks as processes and callbacks: bounded, killed when unwanted, and closed where they guard."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import pytest

from assay.core.hooks import SILENT, HookReport
from assay.policy.hooks.config import joined, read_callbacks, read_hooks
from assay.policy.hooks.engine import HookEngine

GUARDS = (("PreToolUse", "deny"), ("PermissionRequest", "deny"), ("UserPromptSubmit", "block"))
LONG = 30.0


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def gone(pid: int) -> bool:
    limit = time.monotonic() + 20
    while alive(pid) and time.monotonic() < limit:
        await asyncio.sleep(0.02)
    return not alive(pid)


async def appears(path: Path) -> str:
    limit = time.monotonic() + 20
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < limit, f"{path} never appeared"
        await asyncio.sleep(0.02)
    return path.read_text().strip()


class Bench:
    def __init__(self, tmp_path: Path) -> None:
        self.dir = tmp_path
        self.reports: list[HookReport] = []

    def engine(self, *commands: str, event: str = "PreToolUse", matcher: str = "", **fields: object) -> HookEngine:
        hooks = [{"type": "command", "command": command, **fields} for command in commands]
        table, _ = read_hooks({event: [{"matcher": matcher, "hooks": hooks}]}, "test")
        return self.made(table)

    def made(self, table) -> HookEngine:
        return HookEngine(
            table,
            cwd=str(self.dir),
            environ={"PATH": os.environ["PATH"], "OTEL_X": "1", "MINE": "yes"},
            common=lambda: {"session_id": "s1", "transcript_path": "/t", "permission_mode": "default"},
            report=self.reports.append,
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_input_environment_and_place(bench: Bench) -> None:
    told = "cat > in.json; env > env.txt; pwd > pwd.txt; ps -o tty= -p $$ > tty.txt; ps -o sid=,pid= -p $$ > sid.txt"
    engine = bench.engine(told)
    assert await engine.fire("PreToolUse", "Bash", {"tool_name": "Bash", "tool_input": {"command": "ls"}}) == SILENT
    given = json.loads((bench.dir / "in.json").read_text())
    assert given == {
        "session_id": "s1", "transcript_path": "/t", "permission_mode": "default", "cwd": str(bench.dir),
        "hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {"command": "ls"},
    }  # fmt: skip
    names = dict(line.split("=", 1) for line in (bench.dir / "env.txt").read_text().splitlines() if "=" in line)
    assert names["CLAUDE_PROJECT_DIR"] == names["ASSAY_PROJECT_DIR"] == str(bench.dir)
    assert (names["CLAUDECODE"], names["CLAUDE_CODE_SESSION_ID"], names["MINE"]) == ("1", "s1", "yes")
    assert "OTEL_X" not in names
    assert (bench.dir / "pwd.txt").read_text().strip() == str(bench.dir.resolve())
    assert (bench.dir / "tty.txt").read_text().strip() in ("?", "")
    session, pid = (bench.dir / "sid.txt").read_text().split()
    assert session == pid, "a session of its own"
    began, ended = bench.reports
    assert (began.name, began.ended, ended.outcome, ended.exit_code) == ("PreToolUse", False, "success", 0)


@pytest.mark.parametrize(("event", "closed"), GUARDS)
@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("exit 1", "exit 1"),
        ("echo bad >&2; exit 7", "exit 7: bad"),
        ("kill -SEGV $$", "exit 139"),
        ("echo '{oops'", "not valid JSON"),
        ("echo '{\"continue\": 3}'", "continue"),
        ("/nowhere/at/all", "exit 127"),
    ],
)
async def test_a_guard_that_fails_closes(bench: Bench, event, closed: str, command: str, why: str) -> None:
    answer = await bench.engine(command, event=event).fire(event, "Bash", {})
    assert answer.decision == closed
    assert why in answer.reason
    assert bench.reports[-1].outcome == "error"
    lenient = await bench.engine(command, event=event, onFailure="allow").fire(event, "Bash", {})
    assert lenient.decision == ""
    assert why in lenient.messages[0]


@pytest.mark.parametrize("event", ["PostToolUse", "Stop", "SessionStart", "Notification"])
async def test_elsewhere_a_failure_is_a_line_for_the_person(bench: Bench, event) -> None:
    answer = await bench.engine("exit 1", event=event).fire(event, "", {})
    assert answer.decision == ""
    assert "exit 1" in answer.messages[0]


async def test_a_hook_that_never_ends_is_killed_with_all_it_started(bench: Bench) -> None:
    engine = bench.engine("sleep 600 & echo $! > child.txt; echo $$ > own.txt; wait", timeout=1)
    began = time.monotonic()
    answer = await engine.fire("PreToolUse", "Bash", {})
    assert time.monotonic() - began < LONG
    assert answer.decision == "deny"
    assert "timed out after 1 s" in answer.reason
    for name in ("child.txt", "own.txt"):
        assert await gone(int((bench.dir / name).read_text()))


async def test_a_hook_that_floods_ends_and_keeps_nobody_waiting_for_memory(bench: Bench) -> None:
    answer = await bench.engine("yes", timeout=20).fire("PreToolUse", "Bash", {})
    assert answer.decision == "deny"
    assert len(bench.reports[-1].stdout) <= 10_000


async def test_a_hook_that_does_not_read_its_input(bench: Bench) -> None:
    big = {"tool_input": {"content": "x" * 3_000_000}}
    assert await bench.engine("exit 0").fire("PreToolUse", "Write", big) == SILENT
    count = await bench.engine("head -c 5; cat > /dev/null").fire("PreToolUse", "Write", big)
    assert count.decision == "deny", "half of its input echoed is no JSON"


async def test_what_a_hook_leaves_running_is_not_waited_for(bench: Bench) -> None:
    began = time.monotonic()
    engine = bench.engine('sleep 600 & echo $! > child.txt; echo \'{"systemMessage": "hi"}\'')
    answer = await engine.fire("PreToolUse", "Bash", {})
    assert time.monotonic() - began < LONG
    assert answer.messages == ("hi",)
    os.kill(int((bench.dir / "child.txt").read_text()), 9)


async def test_cancelling_kills(bench: Bench) -> None:
    engine = bench.engine("echo $$ > own.txt; sleep 600")
    task = asyncio.create_task(engine.fire("PreToolUse", "Bash", {}))
    pid = int(await appears(bench.dir / "own.txt"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(pid)
    assert bench.reports[-1].outcome == "cancelled"


async def test_they_run_side_by_side_each_once_and_merge_in_order(bench: Bench) -> None:
    meet = "touch {0}; for i in $(seq 400); do test -e {1} && break; sleep 0.05; done; test -e {1} && echo '{2}'"
    one = meet.format("a", "b", '{"systemMessage": "first"}')
    two = meet.format("b", "a", '{"systemMessage": "second"}')
    engine = bench.engine(one, two, one)
    assert (await engine.fire("PreToolUse", "Bash", {})).messages == ("first", "second")
    assert sum(report.ended for report in bench.reports) == 2, "the same hook twice is one hook"


async def test_matchers_once_and_conditions(bench: Bench) -> None:
    engine = bench.engine("echo x >> ran", matcher="Bash", once=True)
    await engine.fire("PreToolUse", "Read", {})
    assert not (bench.dir / "ran").exists()
    for _ in range(2):
        await engine.fire("PreToolUse", "Bash", {})
    assert (bench.dir / "ran").read_text() == "x\n"
    only = bench.engine("exit 2", **{"if": "Bash(git *)"})
    data = {"tool_name": "Bash", "tool_input": {"command": "ls"}}
    assert (await only.fire("PreToolUse", "Bash", data)).decision == ""
    data = {"tool_name": "Bash", "tool_input": {"command": "git push"}}
    assert (await only.fire("PreToolUse", "Bash", data)).decision == "deny"


async def test_nobody_waits_for_an_async_hook_and_it_ends_with_the_session(bench: Bench) -> None:
    engine = bench.engine("echo $$ > own.txt; sleep 600", **{"async": True})
    assert await engine.fire("PreToolUse", "Bash", {}) == SILENT
    pid = int(await appears(bench.dir / "own.txt"))
    await engine.aclose()
    assert await gone(pid)


async def test_words_instead_of_a_line(bench: Bench) -> None:
    program = "import sys; print('{\"systemMessage\": ' + repr(sys.argv[1]).replace(chr(39), chr(34)) + '}')"
    engine = bench.engine(sys.executable, args=["-c", program, "a;b ${CLAUDE_PROJECT_DIR}"])
    assert (await engine.fire("PreToolUse", "Bash", {})).messages == (f"a;b {bench.dir}",)


async def test_a_plugin_knows_its_place(bench: Bench) -> None:
    hooks = {"SessionStart": [{"hooks": [{"type": "command", "command": "echo ${CLAUDE_PLUGIN_ROOT}"}]}]}
    answer = await bench.made(read_hooks(hooks, "plugin", "/plugins/p")[0]).fire("SessionStart", "startup", {})
    assert answer.context == ("/plugins/p",)


async def test_a_type_that_can_not_be_run_refuses(bench: Bench) -> None:
    table, _ = read_hooks({"PreToolUse": [{"hooks": [{"type": "prompt", "prompt": "ok?"}]}]}, "t")
    answer = await bench.made(table).fire("PreToolUse", "Bash", {})
    assert answer.decision == "deny"
    assert "type 'prompt'" in answer.reason


class Host:
    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.calls: list[tuple] = []

    async def __call__(self, callback: str, given: dict, use: str | None, seconds: float) -> object:
        self.calls.append((callback, given["hook_event_name"], use, seconds))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            await asyncio.sleep(600)
        return answer


async def callbacks(bench: Bench, host: Host, event="PreToolUse", count: int = 1, **fields: object):
    ids = [f"hook_{number}" for number in range(count)]
    table, _ = read_callbacks({event: [{"matcher": None, "hookCallbackIds": ids, **fields}]})
    engine = bench.made(joined(()))
    engine.serve(table, host)
    assert engine.listens(event)
    return await engine.fire(event, "Bash", {"tool_use_id": "c1"})


async def test_a_callback_of_a_host(bench: Bench) -> None:
    said = {"hookSpecificOutput": {"hookEventName": "PreToolUse", "permissionDecision": "deny"}}
    host = Host(said, {})
    assert (await callbacks(bench, host, count=2)).decision == "deny"
    assert host.calls == [("hook_0", "PreToolUse", "c1", 600.0), ("hook_1", "PreToolUse", "c1", 600.0)]
    assert (await callbacks(bench, Host({"async": True}))) == SILENT


@pytest.mark.parametrize("bad", [None, RuntimeError("gone"), [], "x", 3, {"decision": 3}])
@pytest.mark.parametrize(("event", "closed"), GUARDS)
async def test_a_callback_that_fails_closes(bench: Bench, event, closed: str, bad: object) -> None:
    assert (await callbacks(bench, Host(bad), event, timeout=0.2)).decision == closed
    assert (await callbacks(bench, Host(bad), "Stop", timeout=0.2)).decision == ""
    assert (await callbacks(bench, Host(bad), "Stop", timeout=0.2, onFailure="block")).decision == "block"
