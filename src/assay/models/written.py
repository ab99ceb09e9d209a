"""A model that writes its calls as text: edits in the shape that suits it, and without tools of its own all it does.

To the house it looks like any other model: what its text asks for are calls of the same tools, with the same gate,
checkpoints, log and results. To the endpoint there is nothing but text: these calls and their results never go there as
such.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from msgspec import json
from msgspec.structs import replace

from assay.core.messages import (
    AssistantMessage,
    AssistantPart,
    Image,
    Message,
    Text,
    ToolCall,
    ToolResult,
    UserMessage,
    UserPart,
)
from assay.core.model import CallDelta, Finished, Model, ModelEvent, ModelRequest, Profile
from assay.models.fences import OWN, Edits, calls_in

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

BLOCKS = """# Edits
Change files by blocks in your reply, each after a line with the path alone. SEARCH holds whole lines exactly as they \
are in the file, and enough of them to occur there once. An empty SEARCH makes a new file.

path/to/file.py
<<<<<<< SEARCH
lines as they are
=======
lines as they shall be
>>>>>>> REPLACE
"""
WHOLE = """# Edits
Change a file by writing all of it in a fence, after a line with its path alone; leave nothing out. Use a longer fence \
where the file has fences itself.

path/to/file.py
```python
the complete file
```
"""
ACTIONS = """
# Actions
There are no tools to call. A command is run when you write it in a fence named run, and files are shown when you name \
them, one a line, in a fence named read:

```run
python3 -m pytest -q
```

What comes of it is told to you next. A reply without edits and actions ends the work.
"""
_AGAIN = (("old_string", "SEARCH"), ("new_string", "REPLACE"), (", or set replace_all", ""), (", or use Edit", ""))


def edits_of(profile: Profile) -> Edits:
    """How a model is to edit: blocks where it has no tools and nothing else was said."""
    return "blocks" if profile.edits == "tool" and not profile.tools else profile.edits


def writes(profile: Profile) -> bool:
    """Whether a model needs a `WrittenModel` around it."""
    return profile.strategy == "loop" and edits_of(profile) != "tool"


def system_of(profile: Profile) -> str:
    """What such a model is told about edits and actions."""
    return (BLOCKS if edits_of(profile) == "blocks" else WHOLE) + ("" if profile.tools else ACTIONS)


class WrittenModel:
    """A `Model` around `inner`, by the facts of its profile."""

    def __init__(self, inner: Model) -> None:
        self._inner = inner
        self._known: list[tuple[Message, Message]] = []
        """Messages as they were and as they were sent, the same objects from request to request."""

    @property
    def profile(self) -> Profile:
        return self._inner.profile

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """See `core.model.Model`."""
        profile = self.profile
        offered = {tool.name for tool in request.tools}
        # A request without tools is an aside, and its reply is words.
        plain = not offered
        sent = request if plain else self._sent(request)
        stream = cast("AsyncGenerator[ModelEvent]", self._inner.stream(sent))
        async with aclosing(stream):
            async for event in stream:
                if isinstance(event, Finished) and event.message.failure is None and not plain:
                    message = event.message
                    calls = calls_in(message.text, edits_of(profile), actions=not profile.tools)
                    made = [call for call in calls if call.name in offered]
                    for call in made:
                        yield CallDelta(call.id, call.name, json.encode(call.arguments).decode())
                    event = replace(event, message=_with(message, made))
                yield event

    def _sent(self, request: ModelRequest) -> ModelRequest:
        profile = self.profile
        kept = tuple(tool for tool in request.tools if tool.name not in ("Edit", "Write")) if profile.tools else ()
        return replace(
            request,
            system=f"{request.system}\n\n{system_of(profile)}".strip(),
            tools=kept,
            messages=self._plain(request.messages, all_of_them=not profile.tools),
        )

    def _plain(self, messages: Sequence[Message], *, all_of_them: bool) -> list[Message]:
        known = self._known
        same = 0
        for (seen, _), message in zip(known, messages, strict=False):
            if seen is not message:
                break
            same += 1
        del known[same:]
        for message in messages[same:]:
            if isinstance(message, AssistantMessage):
                known.append((message, _without(message, all_of_them)))
            else:
                before = known[-1][0] if known else None
                calls = before.calls if isinstance(before, AssistantMessage) else ()
                known.append((message, _told(message, {call.id: call for call in calls}, all_of_them)))
        return [sent for _, sent in known]

    async def aclose(self) -> None:
        await self._inner.aclose()


def _with(message: AssistantMessage, made: list[ToolCall]) -> AssistantMessage:
    """The reply with the calls that its text means, before those that it made itself."""
    if not made:
        return message
    words = [part for part in message.parts if not isinstance(part, ToolCall)]
    return replace(message, parts=(*words, *made, *message.calls), stop="calls")


def _without(message: AssistantMessage, all_of_them: bool) -> AssistantMessage:
    """The reply as the endpoint knows it."""
    parts: list[AssistantPart] = []
    for part in message.parts:
        if not isinstance(part, ToolCall):
            parts.append(part)
        elif all_of_them and not part.id.startswith(OWN):
            parts.append(Text(f"\n[{part.name} {json.encode(part.arguments).decode()}]"))
        elif not all_of_them and not part.id.startswith(OWN):
            parts.append(part)
    if len(parts) == len(message.parts) and not all_of_them:
        return message
    calls = any(isinstance(part, ToolCall) for part in parts)
    return replace(message, parts=tuple(parts), stop=message.stop if calls or message.stop != "calls" else "end")


def _told(message: UserMessage, calls: dict[str, ToolCall], all_of_them: bool) -> UserMessage:
    """What came of calls, as words where the endpoint knows nothing of them."""
    parts: list[UserPart] = []
    for part in message.parts:
        if isinstance(part, ToolResult) and (all_of_them or part.call.startswith(OWN)):
            parts += _words(part, calls.get(part.call))
        else:
            parts.append(part)
    answers = any(isinstance(part, ToolResult) for part in message.parts)
    return replace(message, parts=tuple(parts)) if answers else message


def _words(result: ToolResult, call: ToolCall | None) -> list[Text | Image]:
    text = "\n".join(part.text for part in result.content if isinstance(part, Text))
    if result.is_error and call and call.name in ("Edit", "Write"):
        for ours, theirs in _AGAIN:
            text = text.replace(ours, theirs)
    about = str(call.arguments.get("command") or call.arguments.get("file_path") or "") if call else ""
    named = f"{call.name} {about}".strip().partition("\n")[0][:120] if call else "result"
    images = [part for part in result.content if isinstance(part, Image)]
    return [Text(f"[{named}{': failed' if result.is_error else ''}]\n{text}"), *images]
