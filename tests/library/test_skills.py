"""Skills and commands: found, named, listed within a budget, filled in, and known by what they are for."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.context.library.agents import read_agents
from assay.context.library.match import meant
from assay.context.library.outputs import read_styles, styled
from assay.context.library.places import Shelf, find_shelves
from assay.context.library.skills import EACH, LISTED, Skill, listing, read_skills
from assay.context.library.template import files_named, filled, pieces
from assay.core.policy import OPERATOR, WORKSPACE

from .test_imports_rules import put


def skill(name: str, description: str, **more: object) -> Skill:
    return Skill(name, "skill", "body", description, **more)


def test_places_and_precedence(tmp_path: Path) -> None:
    home, root = tmp_path / "home", tmp_path / "p"
    (root / ".git").mkdir(parents=True)
    put(home, {".claude/skills/one/SKILL.md": "user's one", ".agents/skills/two/SKILL.md": "user's two"})
    put(root, {
        ".claude/skills/one/SKILL.md": "project's one",
        ".claude/skills/group/three/SKILL.md": "---\ndescription: d\n---\nthree",
        "sub/.agents/skills/three/SKILL.md": "nearer three",
        ".claude/commands/one.md": "a command",
        ".assay/commands/a/b/c.md": "deep",
    })  # fmt: skip
    shelves = find_shelves(root / "sub", (home / ".agents", home / ".claude"), user=True, project=True)
    faults: list[str] = []
    found = read_skills(shelves, faults)
    assert {name: each.body for name, each in found.items()} == {
        "one": "user's one", "two": "user's two", "three": "nearer three", "a:b:c": "deep",
    }  # fmt: skip
    assert faults == []
    assert (found["one"].label, found["three"].label) == (OPERATOR, WORKSPACE)


def test_every_field(tmp_path: Path) -> None:
    head = (
        "name: pdf\ndescription: Reads\nwhen_to_use: always\nargument-hint: [file] [page]\narguments: file page\n"
        "allowed-tools: Read, Bash(pdftotext:*)\nmodel: haiku\nuser-invocable: false\ncontext: fork\nagent: Explore\n"
        "paths:\n  - '*.pdf'\neffort: low\nbackground: true\nhooks:\n  Stop: []\n"
    )
    put(tmp_path, {"skills/x/SKILL.md": f"---\n{head}---\nRead $file", "commands/plain.md": "Do it"})
    found = read_skills([Shelf(tmp_path, "user")], [])
    pdf, plain = found["pdf"], found["plain"]
    assert (pdf.description, pdf.when, pdf.arguments) == ("Reads", "always", ("file", "page"))
    assert pdf.tools == ("Read", "Bash(pdftotext:*)")
    assert (pdf.model, pdf.for_user, pdf.fork, pdf.agent, pdf.paths) == ("haiku", False, True, "Explore", ("*.pdf",))
    assert (pdf.effort, pdf.background, pdf.hooks) == ("low", True, {"Stop": []})
    assert pdf.digest.startswith("sha256:")
    assert (plain.for_model, plain.description) == (False, "Do it")


@pytest.mark.parametrize("name", ["a b", "a/b", "../x", ":", "", "x" * 200, "a\x1b[2J"])
def test_names_that_cannot_be_called(tmp_path: Path, name: str) -> None:
    put(tmp_path, {"skills/x/SKILL.md": f'---\nname: "{name}"\n---\nbody'})
    faults: list[str] = []
    found = read_skills([Shelf(tmp_path, "user")], faults)
    assert list(found) == (["x"] if not name else [])
    assert bool(faults) == bool(name)


def test_one_bad_file_costs_itself_only(tmp_path: Path) -> None:
    put(tmp_path, {"skills/bad/SKILL.md": "---\n[: {\n---\n", "skills/good/SKILL.md": "fine"})
    faults: list[str] = []
    assert list(read_skills([Shelf(tmp_path, "project", top=tmp_path)], faults)) == ["good"]
    assert faults[0].startswith(f"{tmp_path}/skills/bad/SKILL.md:2: ")


def test_links_of_the_project_stay_in_it(tmp_path: Path) -> None:
    put(tmp_path, {"out/SKILL.md": "outside", "p/.claude/x": ""})
    (tmp_path / "p/.claude/skills").mkdir()
    (tmp_path / "p/.claude/skills/s").symlink_to(tmp_path / "out")
    (tmp_path / "p/.claude/skills/loop").symlink_to(tmp_path / "p/.claude/skills")
    assert read_skills([Shelf(tmp_path / "p/.claude", "project", top=tmp_path / "p")], []) == {}
    assert "s" in read_skills([Shelf(tmp_path / "p/.claude", "user")], [])


def test_the_listing_keeps_to_its_budget_and_says_what_is_cut() -> None:
    assert listing([]) is None
    assert listing([skill("a", "d", for_model=False), skill("b", "d", paths=("*.py",))]) is None
    few = listing([skill("a", "does a", when="if a"), skill("b", "x" * 2_000)])
    assert few is not None
    assert not few.cut
    assert "- a: does a if a\n" in few.text
    assert "x [... cut]" in few.text
    assert len(few.text) < EACH + 300
    many = listing([skill(f"skill-{n}", "word " * 60) for n in range(100)])
    assert many is not None
    assert many.cut
    assert "more, not described for lack of room: skill-" in many.text
    assert len(many.text) < LISTED + 1_500


@pytest.mark.parametrize(
    ("body", "arguments", "text"),
    [
        ("Do $ARGUMENTS now", "a b", "Do a b now"),
        ("$0-$1-$2", 'one "two words"', "one-two words-"),
        ("$ARGUMENTS[1]", "a b", "b"),
        ("$file on $page", "x.pdf 3", "x.pdf on 3"),
        ("plain", "a b", "plain\n\nArguments: a b"),
        ("plain", "", "plain"),
        ("$HOME ${X} ${DIR}", "", "$HOME ${X} /d"),
        ("$ARGUMENTS", "$0 ${DIR} !`x`", "$0 ${DIR} !`x`"),
        ("$0", 'open "quote', "open"),
    ],
)
def test_arguments(body: str, arguments: str, text: str) -> None:
    assert filled(body, arguments, ("file", "page"), {"DIR": "/d"}) == text


def test_commands_in_a_text() -> None:
    found = [(each.text, each.command) for each in pieces("a !`git log` b\n```!\necho 1\necho 2\n```\n`x`")]
    assert [command for _, command in found if command] == ["git log", "echo 1\necho 2"]
    assert "".join(text for text, _ in found) == "a !`git log` b\n```!\necho 1\necho 2\n```\n`x`"


@given(st.text(alphabet="a!`\n$0[]{}@ /.", max_size=100), st.text(max_size=30))
def test_no_text_makes_it_raise(body: str, arguments: str) -> None:
    filled(body, arguments)
    files_named(body)
    assert "".join(each.text for each in pieces(body)) == body


def test_files_that_a_prompt_names() -> None:
    text = 'Look at @src/a.py, @"my file.txt" and @./b. Not me@x.org, `@c.py` or\n```\n@d.py\n```'
    assert files_named(text) == ["src/a.py", "my file.txt", "./b"]


SKILLS = [
    skill("release-notes", "Writes release notes from the commits since the last tag"),
    skill("db-migrations", "Creates and reviews database schema migrations with alembic"),
    skill("pdf", "Extracts text and tables from PDF documents, fills PDF forms"),
    skill("review", "Reviews a pull request for security problems and missing tests"),
    skill("i18n", "Adds and checks translations of user interface strings"),
]
"""A small set on which the matcher is measured: prompts, and the skill they are about ("" for none)."""
PROMPTS = {
    "Use the release-notes skill": "release-notes",
    "Please use the pdf skill on report.pdf": "pdf",
    "run db-migrations": "db-migrations",
    "Write release notes for the commits since the last tag": "release-notes",
    "create an alembic migration of the database schema for the new column": "db-migrations",
    "Extract the tables and the text from this PDF document": "pdf",
    "Review this pull request for security problems and missing tests": "review",
    "check the translations of the interface strings": "i18n",
    "skill i18n please": "i18n",
    "Fix the failing test in calc.py": "",
    "The pdf parser crashes on line 3 of parse.py": "",
    "Please review my change": "",
    "Why does db/migrations/0003.py fail?": "",
    "What is 2 + 2?": "",
    "add a column to the table": "",
    "rename the release function": "",
    "translate this comment to English": "",
    "look at release-notes.md": "",
}


def test_which_skill_is_meant() -> None:
    told = {prompt: next((each.name for each in meant(prompt, SKILLS)), "") for prompt in PROMPTS}
    right = [prompt for prompt, name in PROMPTS.items() if told[prompt] == name]
    false = {prompt: name for prompt, name in told.items() if name and name != PROMPTS[prompt]}
    assert not false, false
    assert len(right) / len(PROMPTS) >= 0.9, {prompt: name for prompt, name in told.items() if name != PROMPTS[prompt]}


def test_none_is_meant_that_the_model_may_not_have() -> None:
    hidden = [skill("release-notes", "x", for_model=False), skill("release-notes", "x", fork=True)]
    assert meant("use the release-notes skill", hidden) == []


@given(st.text(max_size=200))
def test_matching_never_raises(prompt: str) -> None:
    assert len(meant(prompt, SKILLS)) <= 2


def test_agents_from_files(tmp_path: Path) -> None:
    put(tmp_path, {
        "agents/a.md": "---\nname: reviewer\ndescription: Reviews\ntools: Read, Grep\nmodel: sonnet\n---\nYou review.",
        "agents/README.md": "no definition",
        "agents/bad.md": "---\nname: bad\n---\nno description",
    })  # fmt: skip
    faults: list[str] = []
    agent, *others = read_agents([Shelf(tmp_path, "plugin", "kit", tmp_path)], faults)
    assert not others
    assert (agent.name, agent.tools, agent.prompt) == ("kit:reviewer", ("Read", "Grep"), "You review.")
    assert agent.origin == "plugin"
    assert "description is missing" in faults[0]


def test_styles(tmp_path: Path) -> None:
    put(tmp_path, {
        "output-styles/p.md": "---\nname: pirate\n---\nArr",
        "output-styles/q.md": "---\nkeep-coding-instructions: true\n---\nQ",
    })  # fmt: skip
    found = read_styles([Shelf(tmp_path, "user")], [])
    assert list(found) == ["default", "concise", "explanatory", "pirate", "q"]
    assert styled("ours", found["pirate"]) == "Arr"
    assert styled("ours", found["q"]) == "ours\n\nQ"
    assert styled("ours", found["default"]) == "ours"
    theirs = read_styles([Shelf(tmp_path, "project")], [])["pirate"]
    assert styled("ours", theirs) == "ours\n\nArr"
