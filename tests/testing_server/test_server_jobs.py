"""The built-in jobs, driven by stand-ins for agents with different tools."""

import subprocess

import msgspec
import pytest
from tests.testing_server.client import answered, ask, request_body, said

from assay.testing.server import Call, Tool
from assay.testing.server.jobs import AFTER, PROJECT_FILE, PROMPT, echo, five_step, write_project
from assay.testing.server.roles import as_text, resolve
from assay.testing.server.script import ScriptError
from assay.testing.server.server import ScriptedServer

EDIT = Call("@edit", {"path": "a.py", "old": "x = 1\ny", "new": "x = 2"})


def tool(name: str, required: tuple[str, ...] = (), freeform: bool = False, **properties) -> Tool:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return Tool(name, "", {} if freeform else schema, freeform)


S, A = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
CLAUDE = [
    tool("Bash", ("command",), command=S, description=S, run_in_background={"type": "boolean"}),
    tool("Read", ("file_path",), file_path=S, limit={"type": "number"}),
    tool("Edit", ("file_path",), file_path=S, old_string=S, new_string=S, replace_all={"type": "boolean"}),
    tool("Write", ("file_path", "content"), file_path=S, content=S),
]
PAIR = {"type": "object", "properties": {"oldText": S, "newText": S}}
PI = [tool("bash", ("command",), command=S), tool("edit", path=S, edits={"type": "array", "items": PAIR})]
KIMI_EDIT = tool("StrReplaceFile", path=S, edit={"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Edit"}]})
KIMI_EDIT.schema["$defs"] = {"Edit": {"type": "object", "properties": {"old": S, "new": S}}}
EDITOR = tool(
    "file_editor", ("command", "path", "risk"), command={"enum": ["view", "create", "str_replace"]}, path=S, old_str=S,
    new_str=S, file_text=S, risk={"type": "string", "enum": ["LOW", "HIGH"]},
)  # fmt: skip


@pytest.mark.parametrize(
    ("call", "tools", "name", "arguments"),
    [
        (Call("@shell", {"command": "ls"}), CLAUDE, "Bash", {"command": "ls"}),
        (Call("@read", {"path": "a.py"}), CLAUDE, "Read", {"file_path": "a.py"}),
        (EDIT, CLAUDE, "Edit", {"file_path": "a.py", "old_string": "x = 1\ny", "new_string": "x = 2"}),
        (Call("@write", {"path": "b", "content": "c"}), CLAUDE, "Write", {"file_path": "b", "content": "c"}),
        (EDIT, PI, "edit", {"path": "a.py", "edits": [{"oldText": "x = 1\ny", "newText": "x = 2"}]}),
        (EDIT, [KIMI_EDIT], "StrReplaceFile", {"path": "a.py", "edit": {"old": "x = 1\ny", "new": "x = 2"}}),
        (Call("@read", {"path": "a"}), [EDITOR], "file_editor", {"command": "view", "path": "a", "risk": "LOW"}),
        (Call("@read", {"path": "a b"}), PI, "bash", {"command": "cat 'a b'"}),
        (Call("@shell", {"command": "ls"}), [tool("shell", command=A)], "shell", {"command": ["bash", "-lc", "ls"]}),
        (Call("@shell", {"command": "ls"}), [tool("run_commands", commands=A)], "run_commands", {"commands": ["ls"]}),
        (Call("@shell", {"command": "ls"}), [tool("exec_command", ("cmd", "n"), cmd=S, n={"type": "integer"})],
         "exec_command", {"cmd": "ls", "n": 1}),
        (Call("@finish", {"text": "done"}), [tool("attempt_completion", ("result",), result=S)],
         "attempt_completion", {"result": "done"}),
        (Call("plain", {"a": 1}), CLAUDE, "plain", {"a": 1}),
    ],
)  # fmt: skip
def test_a_role_becomes_a_call_of_the_tool_that_plays_it(call, tools, name, arguments):
    found = resolve(call, tools)
    assert (found.name, msgspec.json.decode(found.arguments), found.freeform) == (name, arguments, False)


def test_a_patch_tool_gets_a_patch():
    patch = "*** Begin Patch\n*** Update File: a.py\n@@\n-x = 1\n-y\n+x = 2\n*** End Patch"
    freeform = resolve(EDIT, [tool("apply_patch", freeform=True)])
    assert (freeform.arguments, freeform.freeform) == (patch, True)
    plain = resolve(EDIT, [tool("apply_patch", ("input",), input=S)])
    assert msgspec.json.decode(plain.arguments) == {"input": patch}
    added = resolve(Call("@write", {"path": "n", "content": "a\nb\n"}), [tool("apply_patch", freeform=True)])
    assert added.arguments == "*** Begin Patch\n*** Add File: n\n+a\n+b\n*** End Patch"


def test_without_tools_a_call_is_text():
    assert as_text(Call("@shell", {"command": "ls"}), blocks=False) == "```bash\nls\n```"
    assert as_text(Call("@shell", {"command": "ls"}), blocks=True) == ""
    block = "a.py\n```\n<<<<<<< SEARCH\nx = 1\ny\n=======\nx = 2\n>>>>>>> REPLACE\n```"
    assert as_text(EDIT, blocks=True) == block


def test_an_unknown_role_is_an_error():
    with pytest.raises(ScriptError, match="no role '@fly'"):
        resolve(Call("@fly"), CLAUDE)


@pytest.mark.parametrize("dialect", ["anthropic", "openai-chat", "openai-responses"])
async def test_the_five_steps_with_a_shell_alone(dialect, tmp_path):
    write_project(tmp_path)
    async with ScriptedServer(five_step()) as server:
        history: list[dict] = []
        for _ in range(5):
            got = await ask(server.url, dialect, prompt=PROMPT, history=history)
            text, calls = said(dialect, got)
            output = ""
            for _, name, arguments in calls:
                assert name == "bash"
                command = msgspec.json.decode(arguments)["command"]
                done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=20)
                assert done.returncode == 0
                output = done.stdout
            history += answered(dialect, got, output)
        assert (calls, "repaired" in text, len(server.requests)) == ([], True, 5)
        assert (tmp_path / PROJECT_FILE).read_text() == AFTER
        assert repr("ok\n") in str(history)


async def test_the_job_for_an_agent_that_edits_by_blocks(tmp_path):
    async with ScriptedServer(five_step(tmp_path)) as server:
        got = await ask(server.url, "openai-chat", prompt="Use SEARCH/REPLACE blocks.", tools=False)
        text = said("openai-chat", got)[0]
        assert f"{tmp_path / PROJECT_FILE}\n```\n<<<<<<< SEARCH\n    return a - b\n=======" in text


async def test_the_echo_job_ends_as_the_agent_wants_it():
    async with ScriptedServer(echo(2)) as server:
        prompt = "To end, run echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
        history: list[dict] = []
        commands = []
        for _ in range(3):
            got = await ask(server.url, "openai-chat", prompt=prompt, history=history)
            commands += [msgspec.json.decode(call[2])["command"] for call in said("openai-chat", got)[1]]
            history += answered("openai-chat", got)
        assert commands == ["echo 1", "echo 2", "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"]


async def test_side_requests_of_an_agent_get_a_word_and_a_summary():
    async with ScriptedServer(echo(2)) as server:
        title = await ask(server.url, "anthropic", tools=False)
        first = await ask(server.url, "anthropic")
        asked = [*answered("anthropic", first), {"role": "user", "content": "Summarise the conversation."}]
        summary = await ask(server.url, "anthropic", request_body("anthropic", history=asked))
        assert said("anthropic", title) == ("Scripted job", [])
        assert said("anthropic", summary)[0].startswith("Summary so far")
        assert said("anthropic", summary)[1] == []


def test_the_program(tmp_path):
    import os
    import signal
    import sys
    import urllib.request

    log = tmp_path / "log.jsonl"
    command = [sys.executable, "-m", "assay.testing.server", "--job", "echo", "--turns", "1", "--print-url"]
    program = subprocess.Popen(
        [*command, "--log", str(log), "--fault", "empty:times=1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = program.stdout.readline().strip()
        body = msgspec.json.encode(request_body("anthropic", stream=False))
        for expected in (b'"content":[]', b'"command":"echo 1"'):
            with urllib.request.urlopen(urllib.request.Request(url + "/v1/messages", body), timeout=10) as answer:
                assert expected in answer.read()
        os.kill(program.pid, signal.SIGTERM)
        assert program.wait(10) == 0
        assert program.stderr.read() == ""
        assert [msgspec.json.decode(line)["fault"] for line in log.read_bytes().splitlines()] == ["empty", None]
    finally:
        program.kill()
        program.communicate()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fault", "nothing"], "error: no fault 'nothing'"),
        (["--script", "/nonexistent.json"], "error: script /nonexistent.json: No such file"),
        (["--host", "203.0.113.1"], "error: "),
    ],
)
def test_the_program_refuses_in_one_line(arguments, message, capsys):
    from assay.testing.server.__main__ import main

    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith(message)
    assert told.count("\n") == 1


def test_help_names_every_fault(capsys):
    from assay.testing.server import CATALOGUE
    from assay.testing.server.__main__ import main

    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    told = capsys.readouterr().out
    assert [name for name in CATALOGUE if f"\n  {name} " not in told] == []
