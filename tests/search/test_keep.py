"""What the done gate accepts is written whole or not at all, and only where policy and the files allow it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.search.runs import bytes_of, events, open_run, text_of

from assay.core.errors import StorageFull
from assay.core.events import CallDecided
from assay.core.hooks import SILENT, HookAnswer, HookEvent
from assay.core.messages import Json
from assay.core.policy import Approval, Decision, Effect, Label, Question, Verdict
from assay.core.workspace import Stamp
from assay.loop.calls import BY_HOOK
from assay.repair.patch import Edit, Patch, between
from assay.run.run import Run, RunOptions
from assay.search.keep import keep_if_sound
from assay.search.slots_words import Judged

SHOP = "\ufeffdef total(prices):\r\n    return -sum(prices)\r\n"
RIGHT = SHOP.replace("-sum", "sum")
CHECK = RunOptions(checks=(f"{sys.executable} check.py",))
FILES = {
    "shop.py": SHOP,
    "tax.py": "RATE = 3\n",
    "check.py": "import shop, tax\n\nassert shop.total([1]) == 1 and tax.RATE == 2\n",
}
BOTH = Patch(
    (
        *between("shop.py", SHOP.removeprefix("\ufeff"), RIGHT.removeprefix("\ufeff")).edits,
        *between("tax.py", "RATE = 3\n", "RATE = 2\n").edits,
    )
)


class Ruled:
    """A gate that says `word` of writing, and a person who answers."""

    def __init__(self, word: Verdict, allowed: bool = False) -> None:
        self.word: Verdict = word
        self.allowed = allowed
        self.asked: list[Question] = []

    async def decide(self, tool: str, effects: tuple[Effect, ...], label: Label, arguments: object = None) -> Decision:
        writes = any(effect.kind == "write" for effect in effects)
        return Decision(self.word if writes else "allow", "so say the rules" if writes else "")

    async def approve(self, question: Question) -> Approval:
        self.asked.append(question)
        return Approval(self.allowed)


class Says:
    """Hooks that answer by event."""

    def __init__(self, **answers: HookAnswer) -> None:
        self.answers = answers
        self.fired: list[tuple[str, object]] = []

    def listens(self, event: HookEvent) -> bool:
        return event in self.answers

    async def fire(self, event: HookEvent, subject: str, data: dict[str, Json]) -> HookAnswer:
        use = data.get("tool_input")
        self.fired.append((event, use["file_path"] if isinstance(use, dict) else subject))
        return self.answers.get(event, SILENT)


async def keep(run: Run, patch: Patch = BOTH) -> Judged:
    return await keep_if_sound(run, patch, await run.start_tree(), red=True)


def untouched(run: Run) -> bool:
    return bytes_of(run, "shop.py") == SHOP.encode() and text_of(run, "tax.py") == "RATE = 3\n"


async def test_what_the_gate_accepts_is_written_with_its_mark_and_line_ends(tmp_path: Path) -> None:
    async with open_run(tmp_path, FILES, options=CHECK) as run:
        judged = await keep(run)
        assert judged.kept and judged.tree == await run.workspace.snapshot()
        assert bytes_of(run, "shop.py") == RIGHT.encode() and text_of(run, "tax.py") == "RATE = 2\n"
        # Who is stopped while it is written finds the intent in the log.
        assert [event.effects[0].target for event in events(run, CallDecided)] == ["shop.py", "tax.py"]
        assert run.state.touched


async def test_what_it_refuses_is_not(tmp_path: Path) -> None:
    async with open_run(tmp_path, FILES, options=CHECK) as run:
        half = Patch(BOTH.edits[:1])
        judged = await keep(run, half)
        assert not judged.kept and judged.note and judged.tree
        assert untouched(run) and not events(run, CallDecided)


async def test_a_file_that_somebody_changed_meanwhile_stays_theirs(tmp_path: Path) -> None:
    async with open_run(tmp_path, FILES, options=CHECK) as run:
        await run.start_tree()
        Path(run.workspace.root, "tax.py").write_text("RATE = 4\n")
        assert (await keep(run)).note == "not kept: shop.py, tax.py changed meanwhile"
        assert text_of(run, "tax.py") == "RATE = 4\n" and bytes_of(run, "shop.py") == SHOP.encode()


async def test_a_new_file_is_made(tmp_path: Path) -> None:
    files = {"check.py": "from deep.tax import RATE\n\nassert RATE == 2\n"}
    async with open_run(tmp_path, files, options=CHECK) as run:
        assert (await keep(run, Patch((Edit("deep/tax.py", 0, 0, "RATE = 2\n"),)))).kept
        assert text_of(run, "deep/tax.py") == "RATE = 2\n"


@pytest.mark.parametrize("new", [False, True])
async def test_when_the_second_file_cannot_be_written_the_first_is_put_back(tmp_path: Path, new: bool) -> None:
    async with open_run(tmp_path, FILES, options=CHECK) as run:
        patch = Patch((Edit("new.py", 0, 0, "x = 1\n"), *BOTH.edits)) if new else BOTH
        Path(run.workspace.root, "tax.py").chmod(0o444)
        judged = await keep(run, patch)
        assert not judged.kept and "could not be kept: tax.py: read-only" in judged.note
        assert untouched(run) and not Path(run.workspace.root, "new.py").exists()


async def test_what_cannot_be_put_back_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_run(tmp_path, FILES, options=CHECK) as run:
        write, room = run.workspace.write_file, [1]

        def full(path: str, data: bytes, expect: Stamp | None) -> Stamp:
            if not room:
                raise StorageFull(f"{path}: the disk is full")
            room.pop()
            return write(path, data, expect)

        monkeypatch.setattr(run.workspace, "write_file", full)
        note = (await keep(run)).note
        assert note == "could not be kept: tax.py: the disk is full; shop.py could not be put back"


async def test_a_file_that_is_no_utf_8_is_left_alone(tmp_path: Path) -> None:
    async with open_run(tmp_path, {**FILES, "old.py": b"# caf\xe9\n"}, options=CHECK) as run:
        judged = await keep(run, Patch((*BOTH.edits, Edit("old.py", 0, 0, "x = 1\n"))))
        assert not judged.kept and judged.note.startswith("could not be kept: ")
        assert untouched(run) and bytes_of(run, "old.py") == b"# caf\xe9\n"


@pytest.mark.parametrize("word", ["deny", "ask"])
async def test_policy_speaks_of_every_file(tmp_path: Path, word: Verdict) -> None:
    rules = Ruled(word)
    async with open_run(tmp_path, FILES, options=CHECK, gate=rules) as run:
        run.parts = replace(run.parts, approver=rules)
        assert (await keep(run)).note == "not kept: so say the rules"
        assert untouched(run)
        # What is denied asks nobody; what needs leave that nobody gives ends the turn as such.
        assert len(rules.asked) == (word == "ask")
        assert bool(run.state.asked_in_vain) == (word == "ask")


async def test_a_person_may_give_leave(tmp_path: Path) -> None:
    rules = Ruled("ask", allowed=True)
    async with open_run(tmp_path, FILES, options=CHECK, gate=rules) as run:
        run.parts = replace(run.parts, approver=rules)
        assert (await keep(run)).kept
        assert [one.arguments["file_path"] for one in rules.asked] == ["shop.py", "tax.py"]
        assert not run.state.asked_in_vain


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (HookAnswer("deny", "not on Fridays"), "not kept: not on Fridays"),
        (HookAnswer("ask", "look at it"), "not kept: look at it"),
        (
            HookAnswer("allow", arguments={"file_path": "shop.py", "content": ""}),
            "not kept: a hook would have something else written than what was judged",
        ),
    ],
)
async def test_a_hook_has_its_word_on_what_is_written(tmp_path: Path, answer: HookAnswer, note: str) -> None:
    async with open_run(tmp_path, FILES, options=CHECK) as run:
        run.use_hooks(Says(PreToolUse=answer), "startup")
        assert (await keep(run)).note == note
        assert untouched(run)
        (decided,) = events(run, CallDecided)
        assert (decided.decision.verdict, decided.decision.rule) == (
            "ask" if answer.decision == "ask" else "deny",
            BY_HOOK,
        )


async def test_a_hook_may_give_leave_and_hears_the_end(tmp_path: Path) -> None:
    hooks = Says(PreToolUse=HookAnswer("allow"), PostToolUse=SILENT)
    async with open_run(tmp_path, FILES, options=CHECK, gate=Ruled("ask")) as run:
        run.use_hooks(hooks, "startup")
        assert (await keep(run)).kept
        paths = [str(Path(run.workspace.root, path)) for path in ("shop.py", "tax.py")]
        assert hooks.fired == [(event, path) for event in ("PreToolUse", "PostToolUse") for path in paths]


WORDS = """\
def one(word):
    \'\'\'The singular of a word.

    >>> one("chances")
    'chance'
    \'\'\'
    return word[:-1]


def never_right():
    \'\'\'
    >>> never_right()
    2
    \'\'\'
    return 1
"""


async def test_examples_that_worked_guard_what_the_tests_do_not_look_at(tmp_path: Path) -> None:
    files = {"words.py": WORDS, "check.py": "from words import one\n\nassert one('glass') == 'glass'\n"}
    async with open_run(tmp_path, files, options=CHECK) as run:
        cheap = between("words.py", WORDS, WORDS.replace("word[:-1]", "word[:]"))
        judged = await keep(run, cheap)
        assert not judged.kept and "words.one" in judged.note, judged
        right = "word if word.endswith('ss') else word[:-1]"
        assert (await keep(run, between("words.py", WORDS, WORDS.replace("word[:-1]", right)))).kept
        assert right in text_of(run, "words.py")
