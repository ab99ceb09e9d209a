"""Two jobs that any coding agent can be driven through, whatever its tools are called.

The five-step job repairs a one-line bug: look, read, edit, test, answer. The echo job runs `echo 1`, `echo 2`, … and
answers. Both say nothing that depends on the agent: calls go by role (see `roles`), and an agent that must end by
calling a tool, or by a command that it announced, gets that.
"""

from pathlib import Path

from assay.testing.server.choose import ReplyFunction
from assay.testing.server.roles import player
from assay.testing.server.script import Call, Reply
from assay.testing.server.seen import SeenRequest

# The project of the five-step job: relative path to content. Its test fails until `+` becomes `-`'s opposite.
PROJECT_FILE = "calc.py"
BEFORE = "def add(a, b):\n    return a - b\n"
AFTER = "def add(a, b):\n    return a + b\n"
TEST_FILE = "test_calc.py"
TEST = "from calc import add\n\nassert add(2, 3) == 5\nprint('ok')\n"
PROMPT = "The test test_calc.py fails. Repair calc.py so that `python3 test_calc.py` passes."

_SUBMIT = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
_SUMMARY = "Summary so far: the task is to repair calc.py; the work is under way and nothing has gone wrong."


def write_project(root: Path) -> None:
    """Writes the files of the five-step job into a folder that exists."""
    (root / PROJECT_FILE).write_text(BEFORE)
    (root / TEST_FILE).write_text(TEST)


def five_step(root: Path | None = None) -> ReplyFunction:
    """The five-step job on the files of `write_project`. With `root`, paths are absolute below it."""
    path = str(root / PROJECT_FILE) if root else PROJECT_FILE
    edit = Call("@edit", {"path": path, "old": "    return a - b", "new": "    return a + b"})
    steps = (
        Reply("I look at the files…", calls=(Call("@shell", {"command": "ls"}),)),
        Reply("I read the code…", calls=(Call("@read", {"path": path}),)),
        Reply("It subtracts; I make it add…", calls=(edit,)),
        Reply("I run the test…", calls=(Call("@shell", {"command": "python3 test_calc.py"}),)),
    )
    return _job(steps, edit, "The bug is repaired: add() adds now, and the test passes…")


def echo(turns: int) -> ReplyFunction:
    """`turns` times `echo N`, then an answer."""
    steps = tuple(Reply(f"Turn {n}.", calls=(Call("@shell", {"command": f"echo {n}"}),)) for n in range(1, turns + 1))
    return _job(steps, None, f"All {turns} turns are done.")


def _job(steps: tuple[Reply, ...], edit: Call | None, answer: str) -> ReplyFunction:
    def reply(seen: SeenRequest) -> Reply:
        last = seen.last
        if seen.position and not last.results and "summar" in last.text.lower() and _SUBMIT.encode() not in seen.raw:
            return Reply(_SUMMARY, aside=True)
        if not seen.tools and b"SEARCH/REPLACE" in seen.raw:
            return Reply(answer, calls=(edit,) if edit else ())
        if not seen.tools and _SUBMIT.encode() not in seen.raw:
            return Reply("Scripted job", aside=True)
        if seen.position < len(steps):
            return steps[seen.position]
        return _final(seen, answer) if seen.position == len(steps) else Reply(answer)

    return reply


def _final(seen: SeenRequest, answer: str) -> Reply:
    """The last reply, in the way in which the agent wants to be told."""
    if _SUBMIT.encode() in seen.raw:
        return Reply(answer, calls=(Call("@shell", {"command": f"echo {_SUBMIT}"}),))
    if player("finish", seen.tools) is not None:
        return Reply(answer, calls=(Call("@finish", {"text": answer}),))
    return Reply(answer)
