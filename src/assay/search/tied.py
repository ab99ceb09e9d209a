"""Candidates that the checks leave tied, told apart: by what their changed functions answer to the same inputs, and by
what a model says of answers that differ.

The inputs are the arguments that tests give these functions, and neighbours of them (`clusters.inputs_of`). They are
run in copies, inside the sandbox; only Python's can be. Where nothing can be run, the comparator has the changes alone.
"""

from __future__ import annotations

import ast
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from msgspec import Struct
from msgspec.structs import replace

from assay.core.errors import WorkspaceError
from assay.core.messages import AssistantMessage, Text, UserMessage
from assay.core.model import ModelRequest, estimate_tokens
from assay.repair.source import Function, functions, lines_of, parsed, span
from assay.repair.trial import Answer, Bench, Call, Want
from assay.repair.trial.command import driven
from assay.run.run import Run
from assay.search.aside import ask_aside
from assay.search.candidate import Candidate
from assay.search.clusters import inputs_of
from assay.search.compare import Ports, Question
from assay.search.located import SLOW
from assay.search.rules import EVIDENCE, sift
from assay.verify.baseline import Baseline
from assay.verify.protect import path_kind

ROLE = "comparator"
MOST = 6
"""Candidates that are run; the others count as they did."""
FUNCTIONS = 3
CALLS = 40
SECONDS = 5.0
"""Processor seconds for one candidate's answers, and for watching the tests."""
LARGEST = 400_000
"""Bytes of a file that is looked at."""
THINKING = 4_000
"""Tokens more for a model that thinks before it answers."""


class Changed(Struct, frozen=True):
    """A function that a candidate changed."""

    path: str
    symbol: str
    start: int
    end: int
    """Its lines in the changed file, 1-based."""
    signature: str

    @property
    def place(self) -> str:
        return f"{self.path}:{self.symbol}"


def changed_functions(path: str, old: str, new: str) -> list[Changed]:
    """The functions of the Python source `new` whose text `old` does not hold."""
    tree = parsed(new)
    lines, before = lines_of(new), "\n".join(lines_of(old))
    found: list[Changed] = []
    for symbol, node in functions(tree) if tree else ():
        start, end = span(node)
        if "\n".join(lines[start - 1 : end]).strip() not in before:
            found.append(Changed(path, symbol, start, end, _signature(node)))
    return found


def _signature(node: Function) -> str:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({ast.unparse(node.args)}){returns}"


async def changes_of(run: Run, start: str, tree: str) -> dict[str, tuple[str, list[Changed]]]:
    """Path -> text and changed functions of the Python files, tests aside, that `tree` has otherwise than `start`."""
    found: dict[str, tuple[str, list[Changed]]] = {}
    for change in await run.workspace.changes(start, tree):
        if not change.path.endswith(".py") or path_kind(change.path) != "other":
            continue
        data = await run.workspace.read_at(tree, change.path)
        if data is None or len(data) > LARGEST:
            continue
        old = (await run.workspace.read_at(start, change.path) or b"").decode("utf-8", "replace")
        text = data.decode("utf-8", "replace")
        found[change.path] = text, changed_functions(change.path, old, text)
    return found


class Tied:
    """What is asked about the candidates of one turn, which began at the tree `start`."""

    def __init__(self, run: Run, start: str) -> None:
        self._run = run
        self._start = start
        self._baseline: Baseline | None = None
        self._known: dict[str, dict[str, Answer]] = {}
        """Tree -> input -> what came of it."""
        self._changed: dict[str, Changed] = {}
        self._calls: dict[str, Call] = {}

    async def observed(self, pool: Sequence[Candidate]) -> list[Candidate]:
        """`pool`, and where the checks leave several different green ones, what these answer (`behaviour`)."""
        left = [one for one in sift(pool, EVIDENCE).left if one.vector.green][:MOST]
        if len({one.tree for one in left}) < 2:
            return [*pool]
        try:
            answers = await self._answers(left)
        except WorkspaceError:
            return [*pool]
        return [replace(one, behaviour=answers.get(one.number, one.behaviour)) for one in pool]

    def question(self) -> Question:
        """What the comparator is asked: the task, and the function where they differ in a single one."""
        spec = self._run.state.prompt
        plain = [one for one in self._changed.values() if "." not in one.symbol]
        if len(self._changed) != 1 or not plain:
            return Question(spec)
        return Question(spec, plain[0].signature, plain[0].place)

    @property
    def ports(self) -> Ports:
        return Ports(self._ask, self._observe if self._baseline else None)

    async def _answers(self, left: Sequence[Candidate]) -> dict[int, dict[str, str]]:
        """Number -> input -> digest, for inputs that every one has an answer to, and the same one each time."""
        texts: dict[str, str] = {}
        for one in left:
            for path, (text, found) in (await changes_of(self._run, self._start, one.tree)).items():
                texts.setdefault(path, text)
                self._changed.update({each.place: each for each in found if each.place not in self._changed})
        self._baseline = await self._driven() if self._changed else None
        calls = await self._inputs(left[0].tree, texts) if self._baseline else []
        if not calls:
            return {}
        self._run.progress("check", "running what passes on the same inputs")
        self._calls = {call.key: call for call in calls}
        for tree in dict.fromkeys(one.tree for one in left):
            self._known[tree] = await self._run_on(tree, calls)
        again = await self._run_on(left[0].tree, calls)
        steady = [
            call.key
            for call in calls
            if call.key in again
            and again[call.key].digest == self._known[left[0].tree][call.key].digest
            and all(_told(self._known[one.tree], call.key) for one in left)
        ]
        return {one.number: {key: self._known[one.tree][key].digest for key in steady} for one in left}

    async def _driven(self) -> Baseline | None:
        """A check that calls Python, one of the user's before others: how the functions can be reached."""
        run = self._run
        known = (await run.proof.gate(self._start, run.state.prompt)).ledger.known()
        fit = [each for each in known if each.first.run.seconds <= SLOW and driven(each.check.command)]
        return next((each for each in fit if each.check.command in run.proof.user_checks), next(iter(fit), None))

    async def _inputs(self, tree: str, texts: Mapping[str, str]) -> list[Call]:
        """What tests call the changed functions with, as they do where they are green, and neighbours of that."""
        async with self._bench(tree) as bench:
            traced = await bench.trace([*texts], Want(seconds=SECONDS, each_seconds=3.0))
        recorded = [(each, traced.calls[place]) for place, each in self._changed.items() if traced.calls.get(place)]
        found: list[Call] = []
        for each, calls in recorded[:FUNCTIONS]:
            most = CALLS // min(len(recorded), FUNCTIONS)
            opaque = [call for call in calls if call.arguments.startswith("pickle:")][:most]
            text = "\n".join(lines_of(texts[each.path])[each.start - 1 : each.end])
            plain = inputs_of([call.arguments for call in calls], text, most - len(opaque))
            found += [*opaque, *(Call(each.path, each.symbol, arguments) for arguments in plain)]
        return found

    async def _run_on(self, tree: str, calls: Sequence[Call]) -> dict[str, Answer]:
        async with self._bench(tree) as bench:
            return (await bench.observe((), calls, SECONDS))[0]

    @asynccontextmanager
    async def _bench(self, tree: str) -> AsyncGenerator[Bench]:
        assert self._baseline is not None
        async with self._run.workspace.copy(tree) as copy:
            yield Bench(copy, self._baseline.check, self._baseline.failing, ())

    async def _observe(self, pool: Sequence[Candidate], inputs: Sequence[str]) -> list[dict[str, str]]:
        """`compare.Ports.observe`: in words, and only what was not run yet is."""
        found: list[dict[str, str]] = []
        for one in pool:
            known = self._known.setdefault(one.tree, {})
            fresh = [self._calls.get(line) or _call(line) for line in inputs if line not in known]
            with suppress(WorkspaceError):
                known |= await self._run_on(one.tree, fresh) if fresh else {}
            found.append({line: known[line].text for line in inputs if line in known and _told(known, line)})
        return found

    async def _ask(self, request: ModelRequest) -> AssistantMessage:
        run = self._run
        text = "".join(part.text for part in request.messages[-1].parts if isinstance(part, Text))
        if run.parts.mask:
            text = run.parts.mask.text(text)
        more = THINKING if run.parts.model.profile.reasoning != "none" else 0
        asked = replace(
            request,
            messages=(UserMessage((Text(text),)),),
            max_output=(request.max_output or 0) + more,
            reasoning=run.options.reasoning,
        )
        run.progress("think", "comparing two results that pass")
        # No word, no vote.
        return await ask_aside(run, asked, ROLE, estimate_tokens(text)) or AssistantMessage((), "end")


def _told(known: Mapping[str, Answer], line: str) -> bool:
    return line in known and not known[line].digest.startswith("absent")


def _call(line: str) -> Call:
    """`path:symbol(arguments)` as a call."""
    place = line[: line.index("(")]
    path, _, symbol = place.rpartition(":")
    return Call(path, symbol, line[len(place) :])
