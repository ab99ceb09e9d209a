"""The AskUserQuestion tool: questions with options, answered by whoever approves the call.

The answers come with the approval, as the argument `answers` of the call that was approved; the model never gives it.
"""

from msgspec import Struct

from assay.core.errors import InvalidArguments
from assay.core.messages import Json, Text
from assay.core.policy import OPERATOR, PERSON, Effect
from assay.core.tool import ToolContext, ToolOutcome
from assay.tools.bound import one_line
from assay.tools.schema import read_arguments, tool_spec

MOST = 4
"""Questions of a call, and options of a question."""
LONGEST = 4_000
"""Characters of a text, and of an answer."""


class Option(Struct, forbid_unknown_fields=True):
    label: str
    description: str = ""
    preview: str = ""


class Asked(Struct, forbid_unknown_fields=True, rename="camel"):
    question: str
    header: str
    options: list[Option]
    multi_select: bool = False


class AskArguments(Struct, forbid_unknown_fields=True):
    questions: list[Asked]


class AnsweredArguments(AskArguments, forbid_unknown_fields=True):
    answers: dict[str, object] = {}
    annotations: dict[str, object] = {}
    metadata: dict[str, object] = {}


class AskTool:
    """Offered only when there is somebody to ask."""

    def __init__(self) -> None:
        self.spec = tool_spec("AskUserQuestion", AskArguments)

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        questions = read_arguments("AskUserQuestion", arguments, AnsweredArguments).questions
        if not 1 <= len(questions) <= MOST:
            raise InvalidArguments(f"AskUserQuestion: questions: expected 1 to {MOST}")
        for number, asked in enumerate(questions):
            texts = [asked.question, *(option.label for option in asked.options)]
            if not 1 < len(asked.options) <= MOST:
                raise InvalidArguments(f"AskUserQuestion: questions[{number}].options: expected 2 to {MOST}")
            if not all(text.strip() and len(text) <= LONGEST for text in texts):
                raise InvalidArguments(
                    f"AskUserQuestion: questions[{number}]: expected texts of at most {LONGEST} characters"
                )
        return (PERSON,)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        del context  # of the port; there is nothing to touch
        asked = read_arguments("AskUserQuestion", arguments, AnsweredArguments)
        lines = [_line(question, asked.answers) for question in asked.questions]
        said = [line for line in lines if line]
        text = "\n".join(said) or "The user gave no answer; decide as seems best and say how you did."
        debug: dict[str, Json] = {"answers": {key: _plain(value) for key, value in asked.answers.items()}}
        # In their own words: as good as a prompt.
        return ToolOutcome((Text(text),), one_line(f"answered: {'; '.join(said)}"), debug, label=OPERATOR)


def _line(question: Asked, answers: dict[str, object]) -> str:
    answer = answers.get(question.question, answers.get(question.header))
    return "" if answer is None else f"{question.question} {_plain(answer)}"


def _plain(answer: object) -> str:
    if isinstance(answer, list):
        return ", ".join(str(each) for each in answer)[:LONGEST]  # type: ignore[reportUnknownVariableType]
    return str(answer)[:LONGEST]
