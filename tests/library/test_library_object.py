"""The library of a task: what a fork, a hook and the gate have to say, and that nothing stays behind after a turn."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from assay.app.compose import open_task
from assay.app.task import Task, Wish
from assay.core.errors import InvalidArguments
from assay.core.hooks import HookAnswer, HookEvent
from assay.core.messages import Json, Text
from assay.core.model import ToolSpec
from assay.core.policy import Effect
from assay.core.tool import ToolContext, ToolOutcome
from assay.policy.gate import RuleGate

from .test_imports_rules import put

FILES = {
    ".claude/skills/away/SKILL.md": "---\ndescription: d\ncontext: fork\nagent: Explore\n---\nLook at $0.",
    ".claude/commands/plain.md": "The words of $ARGUMENTS.",
    ".claude/commands/hidden.md": "---\nuser-invocable: false\ndescription: d\n---\nThe words.",
    ".claude/skills/mine/SKILL.md": "---\ndescription: d\ndisable-model-invocation: true\n---\nOnly for people.",
    ".claude/commands/runs.md": "!`rm -rf x` and !`git push origin main`",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return put(tmp_path / "project", FILES)


def opened(project: Path, *deny: str, home: Path | None = None) -> AbstractAsyncContextManager[Task]:
    environ = {"HOME": str(home or project.parent), "PATH": "/usr/bin:/bin", "K": "k"}
    return open_task(Wish(
        project, environ, model="m", base_url="http://127.0.0.1:9", dialect="anthropic", api_key_env="K",
        disallowed=deny, no_sandbox=True,
    ))  # fmt: skip


class Agent:
    """A tool that notes what it is called with."""

    def __init__(self) -> None:
        self.spec = ToolSpec("Agent", "", {})
        self.calls: list[dict[str, Json]] = []

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        if not arguments["prompt"]:
            raise InvalidArguments("Agent: prompt")
        return (Effect("none", str(arguments.get("subagent_type", ""))),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        self.calls.append(arguments)
        return ToolOutcome((Text("its answer"),))


class Against:
    """Hooks that refuse to have a command expanded."""

    def listens(self, event: HookEvent) -> bool:
        return event == "UserPromptExpansion"

    async def fire(self, event: HookEvent, subject: str, data: dict[str, Json]) -> HookAnswer:
        assert (subject, data["command_args"]) == ("plain", "a b")
        return HookAnswer("block", "not now")


def words(outcome: ToolOutcome) -> str:
    return "".join(part.text for part in outcome.content if isinstance(part, Text))


async def test_a_skill_that_forks_goes_to_a_sub_agent(project: Path) -> None:
    async with opened(project) as task:
        assert task.library
        context = ToolContext(task.run.parts.workspace, {})
        inline = await task.library.load("away", "a.py", context)
        assert "Look at a.py." in words(inline)
        agent = Agent()
        assert words(await task.library.load("away", "a.py", context, agent)) == "its answer"
        assert agent.calls == [{"description": "away", "prompt": "Look at a.py.", "subagent_type": "Explore"}]
    async with opened(project, "Agent(Explore)") as task:
        assert task.library
        context = ToolContext(task.run.parts.workspace, {})
        assert (await task.library.load("away", "", context, Agent())).is_error


async def test_who_may_call_what(project: Path) -> None:
    async with opened(project, "Skill(plain)") as task:
        assert task.library
        context = ToolContext(task.run.parts.workspace, {})
        assert "only the user may call" in words(await task.library.load("mine", "", context))
        assert "there is no skill 'plain'" in words(await task.library.load("plain", "", context))
        assert "there is no skill 'nothing'" in words(await task.library.load("nothing", "", context))
        for text in ("/plain x", "/hidden", "/nothing", "/", "/ plain", "//", "/plain/x"):
            said = await task.library.expand(text)
            assert (said.text, said.context, said.answer) == (text, (), None)
        assert (await task.library.expand("/mine")).context
        assert {row["name"] for row in task.library.commands} >= {"mine", "away", "clear"}
        assert "plain" not in {row["name"] for row in task.library.commands}


async def test_text_of_a_program_is_taken_as_it_stands(project: Path) -> None:
    async with opened(project) as task:
        assert task.library
        said = await task.library.expand("/plain @.claude/commands/plain.md", human=False)
        assert (said.text, said.context, said.command) == ("/plain @.claude/commands/plain.md", (), "")


async def test_a_hook_may_be_against_it(project: Path) -> None:
    async with opened(project) as task:
        assert task.library
        from msgspec.structs import replace

        task.run.parts = replace(task.run.parts, hooks=Against())
        said = await task.library.expand("/plain a b")
        assert (said.text, said.answer) == ("", "/plain: not now")


async def test_commands_in_a_text_pass_the_gate(project: Path) -> None:
    put(project, {"x/y": "kept"})
    async with opened(project, "Bash(rm:*)", "Bash(git push:*)") as task:
        assert task.library
        said = await task.library.expand("/runs")
        assert said.context[0].text.count("was not run: ") == 2
    assert (project / "x/y").read_text() == "kept"


async def test_what_was_lent_is_taken_back(tmp_path: Path) -> None:
    home = put(tmp_path / "home", {
        ".claude/commands/go.md": "---\nallowed-tools: Bash(make:*), Edit(.github/**), Weird((\nmodel: other\n---\nGo",
    })  # fmt: skip
    project = put(tmp_path / "project", {"a": ""})
    async with opened(project, home=home) as task:
        library, gate = task.library, task.run.parts.gate
        assert library
        assert isinstance(gate, RuleGate)
        before, model = gate.rules, task.run.parts.model
        said = await library.expand("/go")
        assert said.rules == ("Bash(make:*)", "Edit(.github/**)")
        with library.during(said):
            assert [rule.text for rule in gate.rules.allow] == list(said.rules)
            assert task.run.parts.model.profile.model == "other"
            assert library.pending
        assert (gate.rules, task.run.parts.model, library.pending) == (before, model, [])
        effects = (Effect("write", ".github/x.yml"),)
        assert (await gate.decide("Edit", effects, task.run.state.label)).verdict == "ask"


async def test_local_answers_never_raise(project: Path) -> None:
    async with opened(project) as task:
        assert task.library
        for text, words in (
            ("/model", "m"), ("/rewind", "/rewind: "), ("/rewind --odd", "unknown option"),
            ("/agents", "no agents"), ("/compact keep it", "nothing is gained"), ("/clear", "new session: "),
        ):  # fmt: skip
            said = await task.library.expand(text)
            assert said.answer is not None
            assert words in said.answer, said.answer
            assert said.text == ""


async def test_effort_of_a_command_is_the_turns(project: Path) -> None:
    text = "---\neffort: high\n---\nThink."
    put(project.parent, {".claude/commands/mine.md": text})
    put(project, {".claude/commands/theirs.md": text})
    async with opened(project) as task:
        assert task.library
        for name, effort in (("/mine", "high"), ("/theirs", None)):
            with task.library.during(await task.library.expand(name)):
                assert task.run.options.reasoning.effort == effort
            assert task.run.options.reasoning.effort is None
