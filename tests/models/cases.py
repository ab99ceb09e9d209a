"""One table of requests that every dialect encodes, and the profiles they are encoded for."""

from __future__ import annotations

from assay.core.messages import (
    AssistantMessage,
    Failure,
    Image,
    Native,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    UserMessage,
)
from assay.core.model import ModelRequest, Profile, Reasoning, ToolSpec

PROFILES = {
    "anthropic": Profile("anthropic/m", "m", "anthropic", images=True, max_output=64_000, reasoning="adaptive"),
    "openai-chat": Profile("openai/m", "m", "openai-chat", images=True, max_output=64_000, reasoning="effort"),
    "openai-responses": Profile(
        "openai/m", "m", "openai-responses", images=True, max_output=64_000, reasoning="effort"
    ),
}
SYSTEM = "You repair code."
READ = ToolSpec("read", "Read a file.", {"type": "object", "properties": {"path": {"type": "string"}}})
SHELL = ToolSpec("shell", "Run a command.", {"type": "object", "properties": {"command": {"type": "string"}}})
PIXEL = Image("image/png", "iVBORw0KGgo=")


def user(*parts: Text | Image | ToolResult | str) -> UserMessage:
    return UserMessage(tuple(Text(part) if isinstance(part, str) else part for part in parts))


def said(text: str) -> AssistantMessage:
    return AssistantMessage((Text(text),), "end")


CALLS = AssistantMessage(
    (
        Thinking("Look first."),
        Text("I look at both."),
        ToolCall("call:1/é", "read", {"path": "a.py"}),
        ToolCall("call_2", "shell", {}, "the arguments are not valid JSON"),
    ),
    "calls",
)
RESULTS = user(
    "Go on.",
    ToolResult("call:1/é", (Text("x = 1"), PIXEL)),
    ToolResult("call_2", (Text("Not run: the arguments are not valid JSON"),), is_error=True),
)
FAILED = AssistantMessage((Text("half a"),), "failed", failure=Failure("cut", "cut"))
NATIVES = {
    "anthropic": [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "b3Bh"},
        {"type": "text", "text": "Here.", "citations": None},
    ],
    "openai-chat": [{"role": "assistant", "content": "Here.", "reasoning_content": "Hm."}],
    "openai-responses": [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "b3Bh"},
        {"type": "message", "id": "m_1", "role": "assistant", "content": [{"type": "output_text", "text": "Here."}]},
    ],
}


def native(dialect: str, model: str = "m") -> AssistantMessage:
    return AssistantMessage(
        (Thinking("Hm."), Text("Here.")), "end", native=Native(dialect, model, list(NATIVES[dialect]))
    )


def request(*messages: UserMessage | AssistantMessage, system: str = SYSTEM, tools: tuple[ToolSpec, ...] = (), **more):
    return ModelRequest(system, tools, list(messages), **more)


CASES: dict[str, ModelRequest] = {
    "hello": request(user("Hello.")),
    "no system": request(user("Hello."), system="", tools=(READ,)),
    "tools": request(
        user("Fix it."), CALLS, RESULTS, said("Fixed."), user("Thanks."), tools=(READ, SHELL), session="s-1"
    ),
    "image": request(user("What is this?", PIXEL)),
    "native anthropic": request(user("One."), native("anthropic"), user("Two.")),
    "native openai-chat": request(user("One."), native("openai-chat"), user("Two.")),
    "native openai-responses": request(user("One."), native("openai-responses"), user("Two.")),
    "native of another model": request(
        *(user("One."), native("anthropic", "n"), user("Two.")),
        *(native("openai-chat", "n"), user("Three."), native("openai-responses", "n"), user("Four.")),
    ),
    "failed": request(user("One."), FAILED, user("Two.")),
    "blank": request(user("One.", " \n"), AssistantMessage((Thinking("only"),), "end"), user("Two.")),
    "thinking off": request(user("Hi."), reasoning=Reasoning("off")),
    "thinking adaptive, effort max": request(user("Hi."), reasoning=Reasoning("adaptive", effort="max")),
    "thinking budget": request(user("Hi."), reasoning=Reasoning("budget", budget=4_000)),
    "sampling": request(user("Hi."), temperature=0.7, seed=3, stop=("END",), max_output=500),
    "schema": request(user("Hi."), schema={"type": "object"}),
}
