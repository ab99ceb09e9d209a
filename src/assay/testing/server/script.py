"""What a scripted server is told to say: replies, faults, rules, and the JSON file that holds them.

Nothing here knows a wire format; the dialect modules render these shapes for whichever endpoint was called.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

Stop = Literal["auto", "end", "calls", "length", "refusal", "sequence", "pause"]
Order = Literal["conversation", "request"]
After = Literal["error", "repeat", "loop"]
Close = Literal["end", "close", "reset"]


class ScriptError(ValueError):
    """A script that can't be used; the message is one line that says where and why."""


class Thinking(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One block of reasoning.

    `signature` is Anthropic's; `redacted` replaces the text by an opaque Anthropic block; `encrypted` is what a
    Responses reasoning item carries when the client asked for it.
    """

    text: str = ""
    signature: str = "c2lnbmF0dXJl"
    redacted: str | None = None
    encrypted: str = "ZW5jcnlwdGVk"


class Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One tool call. A name that starts with `@` is a role (see `roles`), resolved against the request's own tools.

    `raw_arguments` is sent as it stands, valid JSON or not. `id` replaces the id that the server would make; an
    empty one leaves the id out.
    """

    name: str
    arguments: dict[str, object] = {}
    raw_arguments: str | None = None
    id: str | None = None


class Usage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Token counts. `input` excludes what was read from or written to the cache; `output` includes `reasoning`."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A condition on a request; every field that is set must hold.

    `tool`: the request offers this tool. `tools`: whether it offers any. `text`: the raw body contains this.
    `last`: the last message contains this. `turn`: this many turns of the assistant lie behind it.
    """

    dialect: str | None = None
    path: str | None = None
    model: str | None = None
    tool: str | None = None
    tools: bool | None = None
    text: str | None = None
    last: str | None = None
    turn: int | None = None


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Something to do wrong, by name (`faults.CATALOGUE` has them all, with what each field means to it).

    `times`: how often, None for ever. `after`: how many requests it could have struck are let pass first.
    `close`: how a cut ends: `end` (the HTTP body ends properly, as behind a proxy), `close` (the connection is
    closed, the last chunk missing) or `reset` (TCP reset). `seconds`, `size`, `status`, `retry_after`: by fault.
    """

    name: str
    times: int | None = 1
    after: int = 0
    seconds: float | None = None
    size: int | None = None
    status: int | None = None
    retry_after: str | None = None
    close: Close | None = None
    when: Match | None = None


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One answer of the model, in no particular dialect: thinking, then text, then calls.

    `usage` None means: counted from the request and the reply. `delay`: seconds before the first byte. `pace`:
    seconds between the pieces of the stream. `chunk`: characters a delta. `fault` stands before the reply: it
    strikes `fault.times` times, then the reply is served whole. `aside`: no step of the script (a title, a summary).
    """

    text: str = ""
    thinking: str | tuple[Thinking, ...] = ()
    calls: tuple[Call, ...] = ()
    stop: Stop = "auto"
    usage: Usage | None = None
    delay: float = 0.0
    pace: float = 0.0
    chunk: int = 16
    fault: Fault | None = None
    aside: bool = False


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Requests that match get `reply`, outside the order of the script. The first rule that matches wins."""

    when: Match
    reply: Reply


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Replies in order, rules that go before them, and faults that strike across them.

    `order`: "conversation" finds the place from the request's own history, so that parallel, retried and resumed
    conversations each get their own next reply; "request" counts served replies over the whole server.
    `after`: what follows the last reply: a 400 that says so, the last reply again, or all of them again.
    """

    replies: tuple[Reply, ...] = ()
    rules: tuple[Rule, ...] = ()
    faults: tuple[Fault, ...] = ()
    order: Order = "conversation"
    after: After = "error"


def load_script(path: Path) -> Script:
    """Reads a script from a JSON file: an object with the fields of `Script`, or just a list of replies.

    Raises ScriptError with one line that says what is wrong and where.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ScriptError(f"script {path}: {error.strerror or error}") from error
    return parse_script(data, str(path))


def parse_script(data: bytes, origin: str = "script") -> Script:
    """Decodes a script from JSON; see `load_script`."""
    try:
        if data.lstrip().startswith(b"["):
            return Script(replies=msgspec.json.decode(data, type=tuple[Reply, ...]))
        return msgspec.json.decode(data, type=Script)
    except msgspec.DecodeError as error:
        raise ScriptError(f"{origin}: {error}") from error


def parse_fault(text: str) -> Fault:
    """Reads `NAME` or `NAME:key=value,key=value` (keys: the fields of Fault but `when`; `times=forever`).

    Raises ScriptError.
    """
    name, _, rest = text.partition(":")
    fields: dict[str, object] = {"name": name}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise ScriptError(f"fault {text!r}: {part!r} is not key=value")
        fields[key] = None if (key, value) == ("times", "forever") else value
    try:
        return msgspec.convert(fields, Fault, strict=False)
    except msgspec.ValidationError as error:
        raise ScriptError(f"fault {text!r}: {error}") from error


def as_script(value: "Script | Reply | Sequence[Reply]") -> Script:
    """Takes a script, one reply or a list of replies; one reply is repeated for ever."""
    if isinstance(value, Script):
        return value
    if isinstance(value, Reply):
        return Script(replies=(value,), after="repeat")
    return Script(replies=tuple(value))
