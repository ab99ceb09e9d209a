"""A reply while it is written, as the events of Anthropic's Messages stream, whatever the model's own dialect is.

Source of the shapes: https://docs.anthropic.com/en/api/messages-streaming."""

from __future__ import annotations

from assay.app.messages.blocks import STOPS, assistant, usage_object
from assay.core.ids import new_id
from assay.core.messages import AssistantMessage, Json, Usage
from assay.core.model import CallDelta, TextDelta, ThinkingDelta

Events = list[dict[str, Json]]


class Draft:
    """One reply: turns deltas into events, and remembers the text, should the reply never be finished."""

    def __init__(self, model: str) -> None:
        self.id = f"msg_{new_id().replace('-', '')}"
        self._model = model
        self._index = -1
        self._open: str = ""
        self._text: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def begun(self) -> bool:
        return self._index >= 0

    def delta(self, delta: TextDelta | ThinkingDelta | CallDelta) -> Events:
        match delta:
            case TextDelta(text):
                self._text.append(text)
                block: dict[str, Json] = {"type": "text", "text": ""}
                piece: dict[str, Json] = {"type": "text_delta", "text": text}
                key = "text"
            case ThinkingDelta(text):
                block = {"type": "thinking", "thinking": "", "signature": ""}
                piece = {"type": "thinking_delta", "thinking": text}
                key = "thinking"
            case CallDelta(id, name, arguments):
                block = {"type": "tool_use", "id": id, "name": name, "input": {}}
                piece = {"type": "input_json_delta", "partial_json": arguments}
                key = f"call {id}"
        events: Events = []
        if self._index < 0:
            message = assistant(self.id, self._model, [], None, Usage())
            events.append({"type": "message_start", "message": message})
        if key != self._open:
            events += self._close()
            self._index, self._open = self._index + 1, key
            events.append({"type": "content_block_start", "index": self._index, "content_block": block})
        events.append({"type": "content_block_delta", "index": self._index, "delta": piece})
        return events

    def end(self, message: AssistantMessage | None) -> Events:
        """What closes the stream; `message` is None for a reply that was given up."""
        if not self.begun:
            return []
        stop = STOPS.get(message.stop) if message else None
        usage = usage_object(message.usage if message else Usage())
        delta: dict[str, Json] = {"stop_reason": stop, "stop_sequence": None}
        return [
            *self._close(),
            {"type": "message_delta", "delta": delta, "usage": usage},
            {"type": "message_stop"},
        ]

    def _close(self) -> Events:
        if not self._open:
            return []
        self._open = ""
        return [{"type": "content_block_stop", "index": self._index}]
