"""Calls read from text: what is meant as one becomes one, everything else stays words."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from assay.core.messages import AssistantMessage, Native, Text, ToolCall, ToolResult, UserMessage
from assay.core.model import CallDelta, Finished, ModelRequest, ToolSpec
from assay.models.catalog import load
from assay.models.fences import OWN, calls_in
from assay.models.written import WrittenModel, edits_of, writes
from assay.testing import ScriptedModel, call, reply
from assay.testing.models import PROFILE, collect

BLOCK = "<<<<<<< SEARCH\n    return a - b\n=======\n    return a + b\n>>>>>>> REPLACE\n"
TOOLS = tuple(ToolSpec(name, name, {"type": "object"}) for name in ("Bash", "Read", "Edit", "Write"))
BLOCKS = replace(PROFILE, edits="blocks")
BARE = replace(PROFILE, tools=False)


def meant(text: str, edits: str = "blocks", *, actions: bool = False) -> list[tuple[str, dict[str, object]]]:
    calls = calls_in(text, edits, actions)  # type: ignore[arg-type]
    assert all(each.id.startswith(OWN) for each in calls)
    assert len({each.id for each in calls}) == len(calls)
    return [(each.name, {"invalid": each.invalid} if each.invalid else each.arguments) for each in calls]


FIX = ("Edit", {"file_path": "src/calc.py", "old_string": "    return a - b", "new_string": "    return a + b"})


@pytest.mark.parametrize(
    "text",
    [
        f"I turn the sign.\n\nsrc/calc.py\n{BLOCK}\nDone.",
        f"src/calc.py\n```python\n{BLOCK}```\n",
        f"```python src/calc.py\n{BLOCK}```\n",
        f"```python\nsrc/calc.py\n{BLOCK}```\n",
        f"**`src/calc.py`:**\n{BLOCK}",
        f"### File: src/calc.py\n\n{BLOCK}",
        f"src/calc.py\r\n{BLOCK}".replace("\n", "\r\n").replace("\r\r", "\r"),
        "src/calc.py\n" + BLOCK.replace("<<<<<<< SEARCH", "<<<<< search").replace(">>>>>>> REPLACE", ">>>>>"),
        BLOCK.replace("SEARCH", "SEARCH src/calc.py"),
    ],
    ids=["bare", "fenced", "info", "inside", "bold", "heading", "crlf", "sloppy", "beside"],
)
def test_a_block_is_an_edit_however_its_path_is_written(text: str) -> None:
    assert meant(text) == [FIX]


def test_blocks_follow_each_other_and_the_path_holds_until_the_next() -> None:
    new = "<<<<<<< SEARCH\n=======\nx = 1\n>>>>>>> REPLACE\n"
    gone = "<<<<<<< SEARCH\na = 1\n=======\n>>>>>>> REPLACE\n"
    assert meant(f"src/calc.py\n{BLOCK}{gone}\nnew/x.py\n{new}") == [
        FIX,
        ("Edit", {"file_path": "src/calc.py", "old_string": "a = 1\n", "new_string": ""}),
        ("Edit", {"file_path": "new/x.py", "old_string": "", "new_string": "x = 1"}),
    ]


def test_the_end_of_a_fence_around_blocks_begins_no_other() -> None:
    run = ("Bash", {"command": "pytest"})
    assert meant(f"src/calc.py\n```python\n{BLOCK}```\nNow the tests:\n```run\npytest\n```\n", actions=True) == [
        FIX,
        run,
    ]
    whole = ("Write", {"file_path": "new.py", "content": "x = 1\n"})
    assert meant(f"src/calc.py\n```\n{BLOCK}```\n\nnew.py\n```python\nx = 1\n```\n", "whole") == [FIX, whole]
    # A block may hold such a line itself.
    fenced = BLOCK.replace("=======", "```\n=======").replace("return a + b", "return a + b\n```")
    read = f"````\ndoc.md\n```md\n{fenced}```\n````\n```run\npytest\n```\n"
    assert [name for name, _ in meant(read, actions=True)] == ["Edit", "Bash"]


def test_fences_that_are_never_closed_are_looked_through_once() -> None:
    began = time.process_time()
    assert len(meant("````x\n" * 8_000 + "src/calc.py\n" + BLOCK)) == 1
    assert time.process_time() - began < 2


def test_an_underlined_heading_is_no_middle() -> None:
    found = meant("a.rst\n<<<<<<< SEARCH\nTitle\n=====\n=======\nTitel\n=====\n>>>>>>> REPLACE\n")
    assert found == [("Edit", {"file_path": "a.rst", "old_string": "Title\n=====", "new_string": "Titel\n====="})]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"Here it is:\n{BLOCK}", "names the file"),
        ("a.py\n<<<<<<< SEARCH\nx\n=======\ny\n", "cut off"),
        ("a.py\n<<<<<<< SEARCH\nx\n>>>>>>> REPLACE\n", "with 0 lines"),
        ("a.py\n<<<<<<< SEARCH\nx\n=======\ny\n=======\nz\n>>>>>>> REPLACE\n", "with 2 lines"),
    ],
)
def test_what_is_meant_as_an_edit_and_is_none_is_told(text: str, says: str) -> None:
    ((name, told),) = meant(text)
    assert name == "Edit" and says in str(told["invalid"])


@pytest.mark.parametrize(
    "text",
    [
        "Use `a.py`:\n```python\nprint(1)\n```\n",
        "<<<<<<< HEAD\nmine\n=======\ntheirs\n>>>>>>> branch\n",
        "```run\nrm -r x\n```",
        "a.py\n\nis a file. 1 << 2 >> 3 == 4",
    ],
)
def test_prose_examples_and_conflicts_stay_words(text: str) -> None:
    assert meant(text) == [] and meant(text, "tool") == []


def test_whole_files_need_a_line_with_nothing_but_the_path() -> None:
    text = "I rewrite it.\n\n`src/a.py`\n```python\nx = 1\n```\n\nIn `src/b.py`, do this:\n```python\ny\n```\n"
    assert meant(text, "whole") == [("Write", {"file_path": "src/a.py", "content": "x = 1\n"})]
    longer = "doc/a.md\n````markdown\n```\ncode\n```\n````\n"
    assert meant(longer, "whole") == [("Write", {"file_path": "doc/a.md", "content": "```\ncode\n```\n"})]
    assert "cut off" in str(meant("a.py\n```python\nx = 1\n", "whole")[0][1]["invalid"])
    assert meant(f"src/calc.py\n{BLOCK}", "whole") == [FIX]


def test_commands_and_files_by_fences() -> None:
    text = "First:\n```read\na.py\nb.py\n```\n```run\npython3 -m pytest\n```\n```run\n\n```\n"
    assert meant(text, actions=True) == [
        ("Read", {"file_path": "a.py\nb.py"}),
        ("Bash", {"command": "python3 -m pytest"}),
    ]
    assert "not closed" in str(meant("```run\nls", actions=True)[0][1]["invalid"])


@given(st.text(alphabet=st.sampled_from("<>=`~ #*abc./\n\r\tSEARCHREPLACE"), max_size=400), st.booleans())
def test_whatever_is_written_can_be_read(text: str, actions: bool) -> None:
    for edits in ("tool", "blocks", "whole"):
        for each in calls_in(text, edits, actions):  # type: ignore[arg-type]
            assert each.invalid or each.arguments


LINES = st.lists(st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc")), max_size=30), min_size=1, max_size=6)


@given(LINES, LINES)
def test_blocks_carry_code_untouched(old: list[str], new: list[str]) -> None:
    marks = ("<", "=", ">", "`", "~")
    old, new = ([line for line in lines if line.strip()[:1] not in marks] or ["x"] for lines in (old, new))
    text = "\n".join(["a.py", "<<<<<<< SEARCH", *old, "=======", *new, ">>>>>>> REPLACE"])
    assert meant(text) == [("Edit", {"file_path": "a.py", "old_string": "\n".join(old), "new_string": "\n".join(new)})]


def test_which_models_write_follows_from_facts() -> None:
    assert [writes(p) for p in (PROFILE, BLOCKS, BARE)] == [False, True, True]
    assert edits_of(BARE) == "blocks" and edits_of(replace(BARE, edits="whole")) == "whole"
    assert not writes(replace(BARE, strategy="slots"))
    own = {"models": {"openai/x": {"edits": "whole"}}}
    profile, _ = load(own).resolve("openai/x", environ={"OPENAI_API_KEY": "k"})
    assert profile.edits == "whole"


async def test_the_house_sees_calls_and_the_endpoint_words() -> None:
    inner = ScriptedModel([f"So:\nsrc/calc.py\n{BLOCK}", "Done."], BARE)
    model = WrittenModel(inner)
    start = UserMessage((Text("mend it"),))
    first = await collect(model, ModelRequest("You are.", TOOLS, [start]))
    assert [each.name for each in first.calls] == ["Edit"] and first.stop == "calls"
    missed = "src/calc.py: old_string is not in the file."
    results = UserMessage((ToolResult(first.calls[0].id, (Text(missed),), True), Text("also this")))
    await collect(model, ModelRequest("You are.", TOOLS, [start, first, results]))
    one, two = inner.requests
    assert one.tools == two.tools == () and one.system == two.system
    assert one.system.startswith("You are.") and "<<<<<<< SEARCH" in one.system and "```run" in one.system
    assert two.messages[0] is start
    sent = two.messages[1]
    assert isinstance(sent, AssistantMessage) and sent.text == first.text and not sent.calls and sent.stop == "end"
    assert two.messages[2] == UserMessage(
        (Text("[Edit src/calc.py: failed]\nsrc/calc.py: SEARCH is not in the file."), Text("also this"))
    )


async def test_with_tools_only_edits_are_written() -> None:
    own = call("Bash", {"command": "ls"}, id="b1")
    inner = ScriptedModel([reply(f"src/calc.py\n{BLOCK}```run\nls\n```", [own]), "Done."], BLOCKS)
    model = WrittenModel(inner)
    first = await collect(model, ModelRequest("S", TOOLS, [UserMessage((Text("go"),))]))
    assert [each.name for each in first.calls] == ["Edit", "Bash"]
    await collect(model, ModelRequest("S", TOOLS, [UserMessage((Text("go"),)), first]))
    assert [tool.name for tool in inner.requests[0].tools] == ["Bash", "Read"]
    assert "```run" not in inner.requests[0].system
    sent = inner.requests[1].messages[1]
    assert isinstance(sent, AssistantMessage) and sent.calls == (own,) and sent.stop == "calls"


async def test_calls_of_another_model_are_words_to_one_without_tools() -> None:
    before = AssistantMessage((ToolCall("c1", "Bash", {"command": "ls"}),), "calls", native=Native("x", "y", []))
    answered = UserMessage((ToolResult("c1", (Text("a.py"),)),))
    inner = ScriptedModel(["Fine."], BARE)
    await collect(WrittenModel(inner), ModelRequest("", TOOLS, [UserMessage((Text("go"),)), before, answered]))
    sent = inner.requests[0].messages
    assert isinstance(sent[1], AssistantMessage) and "Bash" in sent[1].text and not sent[1].calls
    assert sent[2] == UserMessage((Text("[Bash ls]\na.py"),))


async def test_messages_stay_the_same_objects_from_request_to_request() -> None:
    inner = ScriptedModel([f"a.py\n{BLOCK}", "x", "y"], BARE)
    model = WrittenModel(inner)
    history: list[UserMessage | AssistantMessage] = [UserMessage((Text("go"),))]
    for number in range(3):
        message = await collect(model, ModelRequest("", TOOLS, list(history)))
        said = tuple(ToolResult(each.id, (Text("ok"),)) for each in message.calls) or (Text(str(number)),)
        history += [message, UserMessage(said)]
    second, third = inner.requests[1:]
    assert all(one is other for one, other in zip(second.messages, third.messages, strict=False))


async def test_an_aside_without_tools_is_left_alone_and_calls_are_streamed() -> None:
    inner = ScriptedModel([f"a.py\n{BLOCK}"] * 2, BLOCKS)
    model = WrittenModel(inner)
    aside = ModelRequest("S", (), [UserMessage((Text("go"),))])
    assert not (await collect(model, aside)).calls and inner.requests[0] == replace(
        aside, messages=tuple(aside.messages)
    )
    events = [event async for event in model.stream(ModelRequest("S", TOOLS, [UserMessage((Text("go"),))]))]
    last = events[-1]
    assert isinstance(last, Finished)
    assert [event.id for event in events if isinstance(event, CallDelta)] == [each.id for each in last.message.calls]
    await model.aclose()
    assert inner.closed
