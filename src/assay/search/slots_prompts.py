"""What a tiny model is asked: one function, one failing check, one short answer.

The order matters to such a model: it copies from what it read last, so the function comes after the test. The answer's
beginning is put into its mouth where the endpoint allows that, and writing stops where the answer ends.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from assay.core.messages import AssistantMessage, Message, Text, UserMessage
from assay.core.model import ModelRequest, estimate_tokens
from assay.repair.excerpt import Shown, Spec

Variant = Literal["line", "whole", "line-report", "whole-report", "spec", "minimal"]
"""One line or the whole function, with the failing test or with the report alone; the function anew from its
specification, without its body as it is; the whole with a hint at one line."""

REPORT = "Bug report: {task}\n\n"
CHECK = "This test fails:\n```python\n{test}\n```\n"
SEEN = "```\n{seen}\n```\n"
RAISED = "The error is raised at this line: `{line}`\n"
PLACE = "\nThe bug is in this function of `{path}`:\n```python\n{function}```\n\n"
ASK_LINE = (
    "Which line of `{name}` is wrong? Copy that line after `-`, and write what should stand there after `+`. "
    "Change as little as possible."
)
ASK_WHOLE = "Write the corrected `{name}` completely, in one ```python block. Nothing else."
HINT = "Look at this line first: `{line}`\n"
ASK_MINIMAL = "Make the smallest change that corrects `{name}`. Write `{name}` completely, in one ```python block."
OWNER = "It belongs to this class:\n```python\n{owner}\n```\n"
ASK_SPEC = "Write this Python function completely and correctly, in one ```python block:\n```python\n{head}\n```\n"

TASK_CHARACTERS = 1_200
TEST_CHARACTERS = 1_400
SEEN_CHARACTERS = 500
LINE_TOKENS = 160
PREFILL = "prefill"
"""The quirk of endpoints that go on from a last assistant message."""


class Case(Struct, frozen=True):
    """All that is said about one location."""

    task: str
    path: str
    shown: Shown
    test: str = ""
    """An excerpt of the failing test."""
    seen: str = ""
    """What it saw instead of what it expected."""
    raised: str = ""
    """The line of the function that raised, if one did."""
    spec: Spec | None = None
    suspect: str = ""
    """The line of the function that is likeliest to be wrong, where anything tells."""


def prompt(case: Case, variant: Variant) -> str:
    if variant == "spec" and case.spec is not None:
        return _spec_prompt(case, case.spec)
    text = REPORT.format(task=_cut(" ".join(case.task.split()), TASK_CHARACTERS))
    if not variant.endswith("-report"):
        if case.test:
            text += CHECK.format(test=_cut(case.test, TEST_CHARACTERS))
        if case.seen:
            text += SEEN.format(seen=_cut(case.seen, SEEN_CHARACTERS))
    if case.raised:
        text += RAISED.format(line=case.raised)
    text += PLACE.format(path=case.path, function=case.shown.text)
    if variant == "minimal":
        hint = HINT.format(line=case.suspect) if case.suspect and case.suspect != case.raised else ""
        return text + hint + ASK_MINIMAL.format(name=case.shown.name)
    ask = ASK_LINE if variant.startswith("line") else ASK_WHOLE
    return text + ask.format(name=case.shown.name)


def _spec_prompt(case: Case, spec: Spec) -> str:
    """Without the body, which a small model would copy; with the test only where nothing else says what to do."""
    text = OWNER.format(owner=spec.owner) if spec.owner else ""
    text += ASK_SPEC.format(head=spec.head)
    documented = '"""' in spec.head or "'''" in spec.head
    if spec.words:
        text = f"{_cut(spec.words, TASK_CHARACTERS)}\n\n{text}"
    elif not documented:
        text = f"{_cut(' '.join(case.task.split()), TASK_CHARACTERS)}\n\n{text}"
    if case.test and not documented:
        text += f"It must pass this test:\n```python\n{_cut(case.test, TEST_CHARACTERS)}\n```\n"
    return text


def request(
    case: Case, variant: Variant, prefill: bool, temperature: float, seed: int, samples: int = 1
) -> ModelRequest:
    """The request for samples of one wording. With `prefill` the reply goes on from `start_of`."""
    messages: list[Message] = [UserMessage((Text(prompt(case, variant)),))]
    stop: tuple[str, ...] = ()
    if prefill:
        messages.append(AssistantMessage((Text(start_of(case, variant)),), "end"))
        stop = ("```",) if variant.startswith("line") else ("```", "\ndef ", "\nclass ", "\n@")
    size = estimate_tokens(case.shown.text)
    return ModelRequest(
        "",
        (),
        tuple(messages),
        max_output=LINE_TOKENS if variant.startswith("line") else size * 3 // 2 + 60,
        temperature=temperature,
        seed=seed,
        stop=stop,
        samples=samples,
    )


def start_of(case: Case, variant: Variant) -> str:
    """The beginning of a good reply."""
    if variant.startswith("line"):
        return "```diff\n-"
    head = case.spec.head if variant == "spec" and case.spec is not None else case.shown.head
    return f"```python\n{head}\n" if head else "```python\n"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
