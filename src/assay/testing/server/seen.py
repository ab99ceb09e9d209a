"""A request as a script sees it: the same shape whichever dialect it came in."""

import re
from collections.abc import Iterator
from typing import Protocol, cast

import msgspec

Record = dict[str, object]

# Ids of calls made by the server say which reply they belong to: `s` counts as a step of the script, `x` does not.
MINTED = re.compile(r"_([sx])(\d{4,})r\d+c\d+")


def record(value: object) -> Record:
    """The value as a JSON object, or an empty one."""
    return cast(Record, value) if isinstance(value, dict) else {}


def records(value: object) -> list[Record]:
    """The JSON objects in a list; whatever else is dropped."""
    return [record(item) for item in cast("list[object]", value) if item] if isinstance(value, list) else []


def string(value: object) -> str:
    """The value if it is a string, or an empty one."""
    return value if isinstance(value, str) else ""


def text_of(content: object) -> str:
    """The text of a message's content: a string, or the text blocks of a list."""
    if isinstance(content, list):
        return "\n".join(string(block["text"]) for block in records(cast("list[object]", content)) if "text" in block)
    return string(content)


class Tool(msgspec.Struct, frozen=True):
    """A tool that the request offers. `schema` is empty for a free-form tool, and `freeform` says so."""

    name: str
    description: str
    schema: Record
    freeform: bool = False


class ToolCall(msgspec.Struct, frozen=True):
    """A call in the history; `arguments` is the text the client sent back."""

    id: str
    name: str
    arguments: str


class ToolResult(msgspec.Struct, frozen=True):
    """A result in the history."""

    id: str
    text: str
    is_error: bool = False


class Turn(msgspec.Struct, frozen=True):
    """One entry of the history, without its thinking. `role`: "system", "user" (results too) or "assistant"."""

    role: str
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    results: tuple[ToolResult, ...] = ()


class Parts(msgspec.Struct, frozen=True):
    """The prompt in the order in which providers cache it, each part as its JSON, cache markers left out."""

    tools: bytes
    system: bytes
    messages: tuple[bytes, ...]


class Reader(Protocol):
    """How one dialect's request body is read."""

    name: str

    def system(self, body: Record) -> str:
        """The text of the system prompt that stands apart from the messages."""
        ...

    def tools(self, body: Record) -> list[Tool]:
        """The tools offered."""
        ...

    def items(self, body: Record) -> list[Record]:
        """The messages or items, oldest first."""
        ...

    def turn(self, item: Record) -> Turn:
        """One message or item as a turn."""
        ...

    def parts(self, body: Record) -> Parts:
        """The prompt in caching order."""
        ...


class SeenRequest:
    """One request to the model, as it arrived.

    `index` counts model requests from 0. `arrived` is in seconds of the monotonic clock, `time` in seconds since
    1970. `headers` have lower-case names and secrets replaced. `raw` is the body, byte for byte.
    """

    def __init__(self, index: int, reader: Reader, path: str, headers: dict[str, str], raw: bytes) -> None:
        self.index = index
        self.reader = reader
        self.path = path
        self.headers = headers
        self.raw = raw
        self.arrived = 0.0
        self.time = 0.0
        self.position = 0
        self._body: Record | None = None

    @property
    def dialect(self) -> str:
        """`anthropic`, `openai-chat` or `openai-responses`."""
        return self.reader.name

    @property
    def body(self) -> Record:
        """The body, decoded. Raises msgspec.DecodeError when it isn't JSON; not an object reads as an empty one."""
        if self._body is None:
            self._body = record(msgspec.json.decode(self.raw))
        return self._body

    def forget_body(self) -> None:
        """Frees the decoded body; it is decoded again when asked for. Keeps a long-lived server small."""
        self._body = None

    @property
    def model(self) -> str:
        """The model asked for."""
        return string(self.body.get("model"))

    @property
    def stream(self) -> bool:
        """Whether a stream was asked for."""
        return self.body.get("stream") is True

    @property
    def system(self) -> str:
        """The system prompt's text."""
        apart = self.reader.system(self.body)
        return "\n".join(filter(None, [apart, *(t.text for t in self.history if t.role == "system")]))

    @property
    def tools(self) -> list[Tool]:
        """The tools offered."""
        return self.reader.tools(self.body)

    @property
    def history(self) -> list[Turn]:
        """All messages, oldest first."""
        return [self.reader.turn(item) for item in self.reader.items(self.body)]

    @property
    def last(self) -> Turn:
        """The last message; an empty user turn when there is none."""
        items = self.reader.items(self.body)
        return self.reader.turn(items[-1]) if items else Turn("user")

    @property
    def parts(self) -> Parts:
        """The prompt in caching order; see `ledger.is_extension`."""
        return self.reader.parts(self.body)

    def first_user_text(self) -> str:
        """The text of the first message of the user: what a conversation is told apart by."""
        turns = (self.reader.turn(item) for item in self.reader.items(self.body))
        return next((turn.text for turn in turns if turn.role == "user" and turn.text), "")

    def place(self) -> int:
        """How many replies of a script lie behind this request, told from its history alone.

        The last call whose id this server made says which reply it was; turns of the assistant after it (or all, if
        there is none) count one each, but those that a fault had spoiled and those without text or calls.
        """
        counted = 0
        for calls, spoke in self._assistant_runs():
            marks = [found for call in calls if (found := MINTED.search(call))]
            steps = [int(mark[2]) for mark in marks if mark[1] == "s"]
            if steps:
                return max(steps) + 1 + counted
            counted += spoke and not marks
        return counted

    def _assistant_runs(self) -> Iterator[tuple[list[str], bool]]:
        """Runs of assistant messages, newest first: the ids of their calls, and whether anything was said."""
        calls: list[str] = []
        spoke = False
        for item in reversed(self.reader.items(self.body)):
            turn = self.reader.turn(item)
            if turn.role == "assistant":
                calls += [call.id for call in turn.calls]
                spoke = spoke or bool(turn.text or turn.calls)
            elif spoke:
                yield calls, spoke
                calls, spoke = [], False
        if spoke:
            yield calls, spoke
