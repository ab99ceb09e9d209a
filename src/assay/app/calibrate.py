"""Which way of editing suits a model: tiny edits with one right result each, asked for in every dialect.

The tasks are made here, the same ones every time: what edits go wrong by (twins, quotes, tabs, blank lines, deep
indentation, several places, new files), in made-up code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import cast

from msgspec import Struct

from assay.app.jsonfile import read_object, write_object
from assay.core.errors import AuthError, ProviderUnavailable, UsageError
from assay.core.messages import AssistantMessage, Json, Text, ToolCall, Usage, UserMessage
from assay.core.model import Finished, Model, ModelRequest, ToolSpec
from assay.models.fences import Edits, calls_in
from assay.models.written import BLOCKS, WHOLE

DIALECTS: tuple[Edits, ...] = ("tool", "blocks", "whole")
SYSTEM = "You edit files exactly as asked: nothing else in them changes, and no file is shown again in words."
OUTPUT = 2_000
"""Tokens of a reply at most."""
_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "islet", "jetty", "knoll", "larch")


class EditTask(Struct, frozen=True):
    path: str
    before: str
    """Empty for a file that is to be made."""
    ask: str
    after: str


class Score(Struct, frozen=True):
    """How a model did in one dialect."""

    edits: Edits
    passed: int = 0
    asked: int = 0
    usage: Usage = Usage()
    missed: tuple[int, ...] = ()
    """Numbers of the tasks that failed, from 1."""

    @property
    def tokens(self) -> float:
        """Sent and received, for each task."""
        return self.usage.total / max(self.asked, 1)


def edit_tasks(seed: int = 12) -> list[EditTask]:
    """Twelve tasks, the same for the same `seed`."""
    dice = Random(seed)  # noqa: S311 - the same tasks every time
    words = dice.sample(_WORDS, len(_WORDS))
    return [made(words[n], words[(n + 1) % 12], dice.randrange(3, 90)) for n, made in enumerate(_KINDS)]


def _operator(a: str, b: str, n: int) -> EditTask:
    code = f"def {a}({b}):\n    found = {b} - {n}\n    return found\n"
    return EditTask(f"{a}.py", code, f"In {a}, add {n} instead of subtracting it.", code.replace(" - ", " + "))


def _twins(a: str, b: str, n: int) -> EditTask:
    one = f"def first_{a}(items):\n    total = 0\n    for item in items:\n        total += item\n    return total\n"
    two = one.replace("first_", "second_")
    ask = f"In second_{a} only, let total begin at {n}."
    return EditTask(f"src/{b}.py", f"{one}\n\n{two}", ask, f"{one}\n\n{two.replace('total = 0', f'total = {n}')}")


def _quotes(a: str, b: str, n: int) -> EditTask:
    code = f'PATTERN = "\\\\d+\\"{a}\\""\nTEXT = \'it\\\'s {b}\'\nCOUNT = {n}\n'
    return EditTask(f"{b}.py", code, f"Change {a} to {b} in PATTERN.", code.replace(f'\\"{a}', f'\\"{b}'))


def _insert(a: str, b: str, n: int) -> EditTask:
    code = f"def {a}(x):\n    y = x * {n}\n    return y\n"
    ask = f"In {a}, put the line `print({b!r})` right before the return."
    return EditTask(f"{a}.py", code, ask, code.replace("    return", f"    print({b!r})\n    return"))


def _delete(a: str, b: str, n: int) -> EditTask:
    code = f"import os\nimport sys\n\n{a} = {n}\nprint({a})  # {b}\n"
    return EditTask(f"{b}.py", code, "Remove the line that imports os.", code.replace("import os\n", ""))


def _tabs(a: str, b: str, n: int) -> EditTask:
    code = f"all: {a}\n\n{a}: {b}.c\n\tcc -O{n % 3} -o {a} {b}.c\n\nclean:\n\trm -f {a}\n"
    ask = "In the rule `clean`, add `-v` behind `-f`. Lines there are indented by a tab."
    return EditTask("Makefile", code, ask, code.replace("rm -f", "rm -f -v"))


def _deep(a: str, b: str, n: int) -> EditTask:
    code = (
        f"class {a.title()}:\n    def run(self, rows):\n        for row in rows:\n            if row:\n"
        f"                with row as {b}:\n                    if {b} > {n}:\n                        return {b}\n"
        "        return None\n"
    )
    return EditTask(f"lib/{a}.py", code, "Compare with >= instead of >.", code.replace(" > ", " >= "))


def _blank(a: str, b: str, n: int) -> EditTask:
    code = f"{a} = {n}\n\n\n\n{b} = {n}\n"
    ask = f"Only one empty line is to be left between the lines of {a} and {b}."
    return EditTask(f"{a}.py", code, ask, f"{a} = {n}\n\n{b} = {n}\n")


def _several(a: str, b: str, n: int) -> EditTask:
    code = (
        f"{a}_size = {n}\n\n\ndef area():\n    return {a}_size * {a}_size\n\n\ndef edge():\n    return 4 * {a}_size\n"
    )
    return EditTask(f"{b}.py", code, f"Rename {a}_size to {b}_size everywhere.", code.replace(f"{a}_size", f"{b}_size"))


def _unicode(a: str, b: str, n: int) -> EditTask:
    code = f"GRÜSSE = {{\n    'é': 'α → {a}',\n    'ß': '{n} €',\n}}\n"
    return EditTask(f"{a}.py", code, f"Put {b} in place of {a}.", code.replace(a, b))


def _new(a: str, b: str, n: int) -> EditTask:
    after = f"def {a}():\n    return {n}\n"
    ask = f"Make the new file {b}/{a}.py with a function {a}, without parameters, docstring or types, that returns {n}."
    return EditTask(f"{b}/{a}.py", "", ask, after)


def _block(a: str, b: str, n: int) -> EditTask:
    head = f"def {a}(n):\n"
    old = f"    if n > {n}:\n        return True\n    else:\n        return False\n"
    ask = f"Let the body of {a} be one line that returns n > {n}."
    return EditTask(f"{b}.py", head + old, ask, f"{head}    return n > {n}\n")


_KINDS: tuple[Callable[[str, str, int], EditTask], ...] = (
    _operator, _twins, _quotes, _insert, _delete, _tabs, _deep, _blank, _several, _unicode, _new, _block,
)  # fmt: skip


def request_of(task: EditTask, edits: Edits) -> ModelRequest:
    """One task as a model is asked it in one dialect."""
    from assay.tools.edit import EditTool
    from assay.tools.write import WriteTool

    tools: tuple[ToolSpec, ...] = (EditTool().spec, WriteTool().spec) if edits == "tool" else ()
    words = {"tool": "", "blocks": BLOCKS, "whole": WHOLE}[edits]
    shown = f"{task.path}\n````\n{task.before}````\n\n" if task.before else ""
    asked = f"{shown}{task.ask}"
    return ModelRequest(f"{SYSTEM}\n\n{words}".strip(), tools, (UserMessage((Text(asked),)),), max_output=OUTPUT)


def solved(task: EditTask, message: AssistantMessage, edits: Edits) -> bool:
    """Whether the edits of a reply give exactly what was asked for; the last line end is not looked at."""
    calls = message.calls if edits == "tool" else tuple(calls_in(message.text, edits))
    files = applied({task.path: task.before} if task.before else {}, calls)
    return files is not None and {path: text.strip("\n") for path, text in files.items()} == {
        task.path: task.after.strip("\n")
    }


def applied(files: dict[str, str], calls: Sequence[ToolCall]) -> dict[str, str] | None:
    """`files` after `calls`, by the rules of the tools; None when one of them would be refused, or there are none."""
    files = dict(files)
    for call in calls:
        given = {key: value for key, value in call.arguments.items() if isinstance(value, str)}
        path, old, new = given.get("file_path", ""), given.get("old_string", ""), given.get("new_string", "")
        if call.name == "Write" and path and "content" in given:
            files[path] = given["content"]
            continue
        if call.name != "Edit" or call.invalid or not path:
            return None
        count = files.get(path, "").count(old) if old else int(not files.get(path))
        if count != 1 and not (count and call.arguments.get("replace_all") is True):
            return None
        files[path] = files[path].replace(old, new) if old else new
    return files if calls else None


async def score(model: Model, edits: Edits, tasks: Sequence[EditTask], told: Callable[[str], None]) -> Score:
    """Ask every task once. Raises `AuthError` and `ProviderUnavailable` when the model can't be asked."""
    passed, usage, missed = 0, Usage(), list[int]()
    for number, task in enumerate(tasks, 1):
        told(f"{edits} {number}/{len(tasks)}")
        async for event in model.stream(request_of(task, edits)):
            if not isinstance(event, Finished):
                continue
            failure = event.message.failure
            if failure and failure.kind in ("auth", "quota"):
                raise AuthError(failure.message)
            if failure and failure.kind not in ("empty", "refused", "cut", "protocol"):
                raise ProviderUnavailable(failure.message)
            usage += event.message.usage
            if failure is None and solved(task, event.message, edits):
                passed += 1
            else:
                missed.append(number)
    return Score(edits, passed, len(tasks), usage, tuple(missed))


def best(scores: Sequence[Score]) -> Score | None:
    """The one that passes most; of equals the cheapest. None where none passes any: nothing is known then."""
    return max((one for one in scores if one.passed), key=lambda one: (one.passed, -one.tokens), default=None)


def known(file: Path, name: str) -> dict[str, Json]:
    """The facts about a model in the user's settings. Raises `UsageError` where none could be kept."""
    if "/" not in name:
        raise UsageError(f"the fact can't be kept for '{name}': give the server a name under providers in {file}")
    models = read_object(file).get("models", {})
    facts = cast("dict[str, Json]", models).get(name, {}) if isinstance(models, dict) else None
    if not isinstance(facts, dict):
        raise UsageError(f"{file}: models is not an object of objects; mend it first")
    return cast("dict[str, Json]", facts)


def save(file: Path, name: str, edits: Edits) -> None:
    """Write the fact into the user's settings. Raises `UsageError` for a name that settings can't hold."""
    facts = known(file, name)
    whole = read_object(file)
    models = cast("dict[str, Json]", whole.get("models", {}))
    write_object(file, {**whole, "models": {**models, name: {**facts, "edits": edits}}})
