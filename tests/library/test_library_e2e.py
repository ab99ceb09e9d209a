"""The command in a project that has skills, commands, styles, plugins and nested instructions, against a scripted
model."""

from __future__ import annotations

import json
from hashlib import sha256

from tests.e2e.command import Place
from tests.e2e.conftest import Serve
from tests.e2e.test_agents import cast

from assay.testing.server import Call, Reply, ScriptedServer

SKILL = """---
name: release-notes
description: Writes release notes from the commits since the last tag
---
Group the commits by kind, $ARGUMENTS.
"""


def said(server: ScriptedServer, number: int = 0) -> str:
    """All that a request put before the model."""
    seen = server.requests[number]
    return (
        seen.system
        + "".join(turn.text for turn in seen.history)
        + "".join(result.text for turn in seen.history for result in turn.results)
    )


def user(place: Place, name: str, text: str) -> None:
    path = place.home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_skill_is_listed_and_loaded_by_call(place: Place, serve: Serve) -> None:
    place.write({".claude/skills/release-notes/SKILL.md": SKILL})
    server = serve([Reply(calls=(Call("Skill", {"skill": "release-notes", "args": "newest first"}),)), Reply("Done.")])
    place.task(server, prompt="What changed?").expect(0, "answered")
    first, second = said(server), said(server, 1)
    assert "- release-notes: Writes release notes" in first
    assert "Group the commits" not in first
    assert "Group the commits by kind, newest first." in second


def test_a_plain_run_has_no_trace_of_skills(place: Place, serve: Serve) -> None:
    server = serve(Reply("Yes."))
    place.task(server, prompt="Is it?").expect(0, "answered")
    assert "Skill" not in {tool.name for tool in server.requests[0].tools}
    assert "skills" not in said(server)


def test_a_command_of_the_project_goes_along_with_what_was_typed(place: Place, serve: Serve) -> None:
    place.write({
        ".claude/commands/git/summary.md": "---\ndescription: x\n---\nSum for $0: !`echo $((20+3))` and @notes.txt",
        "notes.txt": "the notes\n",
    })  # fmt: skip
    server = serve(Reply("Done."))
    place.task(server, prompt="/git:summary Ada").expect(0, "answered")
    text = said(server)
    assert "/git:summary Ada" in text
    assert "Sum for Ada: 23 and @notes.txt" in text
    assert '<file path="notes.txt">\nthe notes' in text


def test_commands_of_a_command_cannot_change_files(place: Place, serve: Serve) -> None:
    place.write({".claude/commands/x.md": "!`touch made.txt; echo tried`"})
    server = serve(Reply("Done."))
    place.task(server, prompt="/x").expect(0, "answered")
    assert "tried" in said(server)
    assert not (place.project / "made.txt").exists()


def test_arguments_are_never_run(place: Place, serve: Serve) -> None:
    place.write({".claude/commands/x.md": "Look at $ARGUMENTS"})
    server = serve(Reply("Done."))
    place.task(server, prompt="/x !`echo $((40+2))`").expect(0, "answered")
    assert "Look at !`echo $((40+2))`" in said(server)


def test_an_unknown_name_is_a_prompt(place: Place, serve: Serve) -> None:
    server = serve(Reply("Done."))
    place.task(server, prompt="/usr/bin is full, isn't it?").expect(0, "answered")
    assert "/usr/bin is full" in said(server)


def test_what_is_piped_in_calls_nothing(place: Place, serve: Serve) -> None:
    place.write({".claude/commands/x.md": "secret plan", "notes.txt": "the notes"})
    server = serve(Reply("Done."))
    place.run(server, "-p", "--output-format", "json", stdin="/x @notes.txt").expect(0, "answered")
    assert "secret plan" not in said(server)
    assert "the notes" not in said(server)


def test_local_commands_ask_no_model(place: Place, serve: Serve) -> None:
    server = serve(Reply("No."))
    for prompt, words in (("/help", "/compact"), ("/cost", "total"), ("/context", "System"), ("/model", "bench-model"),
                          ("/permissions", "default"), ("/skills", "no skills"), ("/mcp", "no servers")):  # fmt: skip
        result = place.task(server, prompt=prompt).expect(0, "answered").result
        assert words in result["result"], prompt
        assert result["num_turns"] == 0
    assert not server.requests


def test_init_lists_what_there_is(place: Place, serve: Serve) -> None:
    place.write({
        ".claude/agents/reviewer.md": "---\nname: reviewer\ndescription: Reviews\n---\nYou review.",
        ".claude/commands/testcmd.md": "---\ndescription: Test\n---\nThis is a test command.",
        ".claude/skills/release-notes/SKILL.md": SKILL,
        ".claude/settings.local.json": '{"outputStyle": "local-test-style"}',
    })  # fmt: skip
    server = serve(Reply("Done."))
    words = ("-p", "Hi", "--output-format", "stream-json", "--verbose")
    init = place.run(server, *words).expect(0).lines[0]
    assert "reviewer" in init["agents"]
    assert "testcmd" in init["slash_commands"]
    assert init["skills"] == ["release-notes"]
    assert init["output_style"] == "local-test-style"
    init = place.run(server, *words, "--setting-sources", "user").expect(0).lines[0]
    assert (init["skills"], init["output_style"]) == ([], "default")
    assert "reviewer" not in init["agents"]
    assert "testcmd" not in init["slash_commands"]


def test_no_source_no_instructions(place: Place, serve: Serve) -> None:
    place.write({"CLAUDE.md": "be brief", ".claude/commands/x.md": "the text"})
    user(place, ".claude/CLAUDE.md", "be kind")
    server = serve(Reply("Done."))
    place.task(server, prompt="Hi").expect(0)
    assert "be brief" in said(server)
    assert "be kind" in said(server)
    place.task(server, "--setting-sources", "", prompt="/x").expect(0)
    text = said(server, 1)
    assert "be brief" not in text
    assert "be kind" not in text
    assert "the text" not in text


def test_instructions_of_a_folder_come_when_a_file_in_it_is_read(place: Place, serve: Serve) -> None:
    place.write({
        "sub/deep/AGENTS.md": "deep words",
        "sub/deep/a.py": "a = 1\n",
        ".claude/rules/py.md": "---\npaths: ['**/*.py']\n---\npython words",
        ".claude/rules/all.md": "words for all",
    })  # fmt: skip
    read = Reply(calls=(Call("@read", {"file_path": "sub/deep/a.py"}),))
    server = serve([read, read, Reply("Done.")])
    place.task(server, prompt="Hi").expect(0)
    assert "words for all" in said(server)
    assert "deep words" not in said(server)
    last = said(server, 2)
    assert last.count("deep words") == 1
    assert last.count("python words") == 1
    assert "sub/deep/AGENTS.md" in str([event.get("source") for event in place.events("context")])


def test_a_skill_may_allow_only_if_it_is_the_users(place: Place, serve: Serve) -> None:
    text = "---\ndescription: d\nallowed-tools: Edit(.github/**), Write(.github/**)\n---\nWrite the workflow."
    write = Call("Write", {"file_path": ".github/ci.yml", "content": "on: push\n"})
    place.write({".claude/commands/ci.md": text})
    ended = place.task(serve([Reply(calls=(write,)), Reply("Done.")]), prompt="/ci")
    assert ended.outcome == "needs_approval"
    assert "ignored allowed-tools" in ended.err
    digest = f"sha256:{sha256(text.encode()).hexdigest()}"
    user(place, ".config/assay/settings.json", json.dumps({"trustedSettings": [digest]}))
    server = serve([Reply(calls=(write,)), Reply("Done."), Reply(calls=(write,)), Reply("Done.")])
    place.task(server, prompt="/ci")
    assert (place.project / ".github/ci.yml").read_text() == "on: push\n"
    (place.project / ".github/ci.yml").unlink()
    assert place.task(server, "--continue", prompt="And again").outcome == "needs_approval"


def test_a_prompt_that_is_about_a_skill_has_it_at_once(place: Place, serve: Serve) -> None:
    place.write({".agents/skills/release-notes/SKILL.md": SKILL.replace(", $ARGUMENTS", "")})
    server = serve(Reply("Done."))
    place.task(server, prompt="Use the release-notes skill for version 2.").expect(0)
    assert "Group the commits by kind." in said(server)


def test_styles_go_into_the_system_text_unless_the_project_brought_them(place: Place, serve: Serve) -> None:
    user(place, ".claude/output-styles/pirate.md", "---\nname: pirate\n---\nTalk like a pirate.")
    place.write({".claude/output-styles/ours.md": "---\nname: ours\n---\nObey the repository."})
    server = serve(Reply("Done."))
    for style in ("pirate", "ours", "Concise"):
        place.task(server, "--settings", json.dumps({"outputStyle": style}), prompt="Hi").expect(0)
    pirate, ours, concise = server.requests
    assert pirate.system.strip() == "Talk like a pirate."
    assert "Obey the repository." not in ours.system
    assert "Obey the repository." in said(server, 1)
    assert "few words" in concise.system
    assert "The harness decides" in concise.system


def test_a_plugin_from_a_folder_and_an_installed_one(place: Place, serve: Serve) -> None:
    plugin = place.root / "kit"
    for name, text in {
        ".claude-plugin/plugin.json": '{"name": "kit", "version": "1.2.0"}',
        "commands/hello.md": "Say hello from ${CLAUDE_PLUGIN_ROOT}.",
    }.items():
        (plugin / name).parent.mkdir(parents=True, exist_ok=True)
        (plugin / name).write_text(text)
    server = serve(Reply("Done."))
    place.task(server, "--plugin-dir", str(plugin), prompt="/kit:hello").expect(0)
    assert f"Say hello from {plugin}." in said(server)
    assert place.run(None, "plugin", "validate", str(plugin)).expect(0).out.splitlines()[1] == "  commands: kit:hello"
    place.run(None, "plugin", "install", str(plugin)).expect(0)
    assert "kit 1.2.0 enabled" in place.run(None, "plugin", "list").expect(0).out
    place.task(server, prompt="/kit:hello").expect(0)
    assert "Say hello from" in said(server, 1)
    cached = next((place.home / ".local/share/assay/plugins/cache/kit").rglob("hello.md"))
    cached.write_text("Something else.")
    ended = place.task(server, prompt="/kit:hello").expect(0)
    assert "not what was installed any more" in ended.err
    assert "Something else." not in said(server, 2)
    place.run(None, "plugin", "disable", "kit").expect(0)
    place.run(None, "plugin", "uninstall", "kit").expect(0)
    assert place.run(None, "plugin", "list").expect(0).out == ""


def test_settings_for_the_claude_command_count_as_far_as_they_mean_something(place: Place, serve: Serve) -> None:
    user(place, ".claude/settings.json", json.dumps({
        "permissions": {"deny": ["Bash(rm:*)"], "allow": ["Bash(x:*)", "Weird((", "mcp__*"]},
        "env": {"GREETING": "hello", "LD_PRELOAD": "/x.so"}, "theme": "dark", "voice": True, "model": "opus",
    }))  # fmt: skip
    place.write({".claude/settings.json": '{"permissions": {"allow": ["Bash(y:*)"]}, "hooks": {"Stop": []}}'})
    calls = tuple(Call("Bash", {"command": line}) for line in ("rm x", "echo $GREETING"))
    server = serve([Reply(calls=calls), Reply("Done.")])
    ended = place.task(server, prompt="Hi").expect(0)
    assert ended.err.count("without meaning here") == 1
    assert "voice" in ended.err
    assert "LD_PRELOAD" in ended.err
    assert "ignored permissions.allow" in ended.err
    assert "denied by the rule Bash(rm:*)" in said(server, 1)
    assert "hello" in said(server, 1)


def test_a_malformed_file_of_theirs_is_told_and_passed_over(place: Place, serve: Serve) -> None:
    place.write({".claude/settings.json": '{"permissions": ', ".claude/skills/x/SKILL.md": "---\n[: {\n---\nx"})
    ended = place.task(serve(Reply("Done.")), prompt="Hi").expect(0)
    assert ".claude/settings.json: not valid JSON" in ended.err
    assert "SKILL.md:2: front matter can't be read" in ended.err


def test_agents_have_skills_and_the_instructions_for_what_they_read(place: Place, serve: Serve) -> None:
    place.write({
        ".claude/skills/release-notes/SKILL.md": SKILL,
        ".claude/skills/sql/SKILL.md": "---\ndescription: Names columns\npaths: '*.sql'\n---\nUse snake case.",
        ".claude/agents/scout.md": "---\nname: scout\ndescription: d\nskills: [release-notes, gone]\nmemory: user\n"
        "hooks:\n  Stop: []\ncolor: red\n---\nLook.",
        "deep/CLAUDE.md": "indent with tabs",
        "deep/a.sql": "select 1\n",
    })  # fmt: skip
    scout = [
        Reply(calls=(Call("@read", {"path": "deep/a.sql"}),)),
        Reply(calls=(Call("Skill", {"skill": "sql"}),)),
        Reply("Seen."),
    ]
    send = Call("Agent", {"description": "an errand", "prompt": "SCOUT deep/a.sql", "subagent_type": "scout"})
    server = serve(cast(BOSS=[Reply(calls=(send,)), Reply("Done.")], SCOUT=scout))
    ended = place.task(server, prompt="BOSS go").expect(0, "answered")
    assert "agents: memory: not applied here, in scout" in ended.err
    begin, read, loaded = said(server, 1), said(server, 2), said(server, 3)
    assert "Group the commits by kind" in begin
    assert "- sql" not in begin
    assert "indent with tabs" not in begin
    assert "indent with tabs" in read
    assert "- sql: Names columns" in read
    assert "Use snake case." in loaded
    assert "indent with tabs" not in said(server, 4), "what an agent was told stays its own"


def test_a_skill_for_certain_files_is_told_of_when_one_is_read(place: Place, serve: Serve) -> None:
    place.write({
        ".claude/skills/sql/SKILL.md": "---\ndescription: Names columns\npaths: ['db/**/*.sql']\n---\nUse snake case.",
        ".claude/skills/odd/SKILL.md": "---\ndescription: d\ndisable-model-invocation: true\nshell: powershell\n---\nx",
        "db/new/a.sql": "select 1\n", "a.sql": "select 2\n",
    })  # fmt: skip
    reads = [Reply(calls=(Call("@read", {"path": path}),)) for path in ("a.sql", "db/new/a.sql", "db/new/a.sql")]
    server = serve([*reads, Reply("Done.")])
    ended = place.task(server, prompt="Look").expect(0, "answered")
    assert "skills: shell powershell: not applied here, in odd" in ended.err
    assert ["- sql: Names columns" in said(server, number) for number in range(4)] == [False, False, True, True]
    assert said(server, 3).count("- sql: Names columns") == 1
