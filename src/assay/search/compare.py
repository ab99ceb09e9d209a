"""The comparator: a model says which of two results a specification asks for. The results come from running both.

Each question is put in both orders, because models favour a place; only the same answer twice counts. What the two
differ on is found by running them on known and made inputs, and asked for only where those show no difference. Only
where nothing of them can be run are the changes themselves compared, in both orders, too.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from assay.core.messages import AssistantMessage, Text, Usage, UserMessage
from assay.core.model import ModelRequest
from assay.search.candidate import Candidate
from assay.search.clusters import calls_in, differing, refused, shown

INPUTS = 3
"""Inputs that two candidates are compared on at most."""
BRACKET = 4
"""Ways of behaving that enter the knock-out; more are not worth their tokens."""
SPEC_CHARACTERS = 2_400
RESULT_CHARACTERS = 400
PATCH_CHARACTERS = 1_600
WHOLE_PATCH = 6_000
"""Characters of a change beyond which it is not judged by its text."""

HEAD = "Specification of `{signature}`:\n```\n{spec}\n```\n\n"
TASK = "Task:\n```\n{spec}\n```\n\n"
RAN = "Two versions of it were run as `{call}`.\nA: {first}\nB: {second}\n\n"
WHICH = (
    "Which result does the specification ask for? Give the reason in one sentence, then a last line with nothing but "
    "ANSWER: A or ANSWER: B, or ANSWER: NEITHER when the specification does not tell."
)
WHICH_BRIEF = "Which result is right by the specification, A or B? Answer with one letter."
CHANGES = "Two changes were made for it, and the checks pass with either.\nA:\n{first}\n\nB:\n{second}\n\n"
WHICH_CHANGE = (
    "Which one does what the task asks for, in every case? Give the reason in one sentence, then a last line with "
    "nothing but ANSWER: A or ANSWER: B, or ANSWER: NEITHER when that can't be told."
)
DIFFER = (
    "Two versions of it:\n```diff\n{first}\n```\n```diff\n{second}\n```\n\n"
    "Write one call of `{name}` with literal arguments for which the two give different results and the specification "
    "says which is right. It will be run. Reply with the call alone.{tried}"
)


class Question(Struct, frozen=True):
    """What the changed callable should do. Without `spec` nothing is ever asked."""

    spec: str = ""
    """Its documentation, or the task in words."""
    signature: str = ""
    """`name(parameters) -> type`, as in the source; "" where it is not a single callable, and `place`, too."""
    place: str = ""
    """`path:symbol` of it, as inputs have it."""
    brief: bool = False
    """Ask for one letter: for models that lose the thread when they reason."""

    @property
    def name(self) -> str:
        return self.signature.split("(")[0].removeprefix("async ").removeprefix("def ").strip()


Ask: TypeAlias = Callable[[ModelRequest], Awaitable[AssistantMessage]]


class Ports(Struct, frozen=True):
    """What choosing may use; all of it is optional."""

    ask: Ask | None = None
    observe: Callable[[Sequence[Candidate], Sequence[str]], Awaitable[Sequence[Mapping[str, str]]]] | None = None
    """What each candidate answers to these inputs (see `clusters`), as text that a model can read, where
    `Candidate.behaviour` may hold digests. Without it, what is in `behaviour` is shown as it is."""


class Match(Struct, frozen=True):
    """How two compared. `winner` is a candidate's number; 0 when it could not be told."""

    winner: int = 0
    call: str = ""
    """The input that decided; "" when the changes themselves did."""
    asked: int = 0
    usage: Usage = Usage()


async def compare(left: Candidate, right: Candidate, question: Question, ports: Ports) -> Match:
    """Which of the two is right by the specification, on at most `INPUTS` inputs."""
    if ports.ask is None or not question.spec:
        return Match()
    asked, usage = 0, Usage()
    known = _plain_first(left, right)
    tried: list[str] = []
    judged = False
    for nth in range(INPUTS):
        call = known[nth] if nth < len(known) else ""
        if not call:
            if not question.place or ports.observe is None:
                break
            reply = await ports.ask(_wish(left, right, question, tried))
            asked, usage = asked + 1, usage + reply.usage
            call = next((question.place + given for given in calls_in(reply.text, question.name)), "")
        answers = await _answers(left, right, call, ports) if call and call not in tried else None
        tried += [call] if call else []
        if answers is None:
            continue
        judged = True
        choice, used = await _twice(ports.ask, lambda swapped, a=answers, c=call: _which(question, c, a, swapped))
        asked, usage = asked + 2, usage + used
        if choice:
            return Match((left, right)[choice - 1].number, call, asked, usage)
    if judged or not _short(left) or not _short(right):
        return Match(0, "", asked, usage)
    choice, used = await _twice(ports.ask, lambda swapped: _changes(left, right, question, swapped))
    return Match((0, left.number, right.number)[choice], "", asked + 2, usage + used)


async def _twice(ask: Ask, request: Callable[[bool], ModelRequest]) -> tuple[int, Usage]:
    """1 or 2 when both orders say so, else 0; and what asking cost."""
    first, second = await ask(request(False)), await ask(request(True))
    one, other = _choice(first.text, False), _choice(second.text, True)
    return (one if one == other else 0), first.usage + second.usage


async def _answers(left: Candidate, right: Candidate, call: str, ports: Ports) -> tuple[str, str] | None:
    """What the two answer, run if that can be done; None when there is no difference to judge."""
    answers: Sequence[Mapping[str, str]] = (left.behaviour, right.behaviour)
    if ports.observe is not None:
        answers = await ports.observe([left, right], [call])
    one, other = (answer.get(call, "") for answer in answers)
    return (one, other) if one and other and one != other else None


def _plain_first(left: Candidate, right: Candidate) -> list[str]:
    """Inputs on which they differ; first those that neither of them refuses, for on these the specification speaks."""

    def raised(call: str) -> int:
        return refused(left.behaviour[call]) + refused(right.behaviour[call])

    # Arguments that can't be written down tell a reader nothing.
    legible = [call for call in differing(left.behaviour, right.behaviour) if shown(call) != call]
    return sorted(legible, key=raised)


def _which(question: Question, call: str, answers: tuple[str, str], swapped: bool) -> ModelRequest:
    first, second = (_cut(answer, RESULT_CHARACTERS) for answer in (answers[::-1] if swapped else answers))
    text = _head(question) + RAN.format(call=shown(call), first=first, second=second)
    text += WHICH_BRIEF if question.brief else WHICH
    return _request(text, 4 if question.brief else 160)


def _wish(left: Candidate, right: Candidate, question: Question, tried: Sequence[str]) -> ModelRequest:
    first, second = _cut(left.patch, PATCH_CHARACTERS), _cut(right.patch, PATCH_CHARACTERS)
    told = f" These give the same or were not clear: {'; '.join(map(shown, tried))}" if tried else ""
    text = DIFFER.format(first=first, second=second, name=question.name, tried=told)
    return _request(_head(question) + text, 160)


def _changes(left: Candidate, right: Candidate, question: Question, swapped: bool) -> ModelRequest:
    first, second = (_indented(one.patch) for one in ((right, left) if swapped else (left, right)))
    return _request(_head(question) + CHANGES.format(first=first, second=second) + WHICH_CHANGE, 160)


def _short(candidate: Candidate) -> bool:
    return 0 < len(candidate.patch) <= WHOLE_PATCH


def _indented(text: str) -> str:
    """As a block that nothing in it can end."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def _choice(reply: str, swapped: bool) -> int:
    """1 for the left one, 2 for the right one, 0 for neither. The last word counts: models think aloud first."""
    marked = re.findall(r"ANSWER:?\W*(A|B|NEITHER)\b", reply.upper())
    alone = re.findall(r"(?<![A-Za-z'])(A|B)(?![A-Za-z'])", reply) if not marked else []
    word = marked[-1] if marked else alone[0] if len(set(alone)) == 1 else ""
    if word not in ("A", "B"):
        return 0
    return 2 if (word == "B") != swapped else 1


def _head(question: Question) -> str:
    spec = _cut(question.spec.strip(), SPEC_CHARACTERS)
    return HEAD.format(signature=question.signature, spec=spec) if question.signature else TASK.format(spec=spec)


def _request(text: str, room: int) -> ModelRequest:
    return ModelRequest("", (), (UserMessage((Text(text),)),), max_output=room, temperature=0.0)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


async def knock_out(
    leaders: Sequence[Candidate], question: Question, ports: Ports
) -> tuple[dict[int, str], int, Usage]:
    """Brackets of two over one candidate for each way of behaving, likeliest first: number -> why it went, questions
    asked, tokens. Where a pair can't be told apart, both stay and the one that came first plays on."""
    dropped: dict[int, str] = {}
    asked, usage = 0, Usage()
    playing = list(leaders[:BRACKET])
    while len(playing) > 1:
        through: list[Candidate] = []
        for left, right in zip(playing[::2], playing[1::2], strict=False):
            match = await compare(left, right, question, ports)
            asked, usage = asked + match.asked, usage + match.usage
            winner, loser = (right, left) if match.winner == right.number else (left, right)
            if match.winner:
                better = f"{shown(match.call)} is answered better" if match.call else "the task is met better"
                dropped[loser.number] = f"comparison: {better} by {winner.number}"
            through.append(winner)
        playing = through + playing[len(playing) - len(playing) % 2 :]
    return dropped, asked, usage
