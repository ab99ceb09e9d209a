"""A scripted model server for tests: three dialects on loopback, faults on demand, a ledger of what was asked.

    async with ScriptedServer([Reply("Hello")]) as server:
        ...  # point any client at server.url
        assert len(server.requests) == 1

`python -m assay.testing.server --help` is the same as a program.
"""

from assay.testing.server.choose import Choice, ReplyFunction
from assay.testing.server.faults import CATALOGUE, FaultKind
from assay.testing.server.ledger import (
    Conversation,
    Exchange,
    conversations,
    is_extension,
    prompt_bytes,
    shared_prefix,
)
from assay.testing.server.script import (
    Call,
    Fault,
    Match,
    Reply,
    Rule,
    Script,
    ScriptError,
    Thinking,
    Usage,
    load_script,
    parse_fault,
    parse_script,
)
from assay.testing.server.seen import Parts, SeenRequest, Tool, ToolCall, ToolResult, Turn
from assay.testing.server.server import ScriptedServer, serve_in_thread

__all__ = [
    "CATALOGUE",
    "Call",
    "Choice",
    "Conversation",
    "Exchange",
    "Fault",
    "FaultKind",
    "Match",
    "Parts",
    "Reply",
    "ReplyFunction",
    "Rule",
    "Script",
    "ScriptError",
    "ScriptedServer",
    "SeenRequest",
    "Thinking",
    "Tool",
    "ToolCall",
    "ToolResult",
    "Turn",
    "Usage",
    "conversations",
    "is_extension",
    "load_script",
    "parse_fault",
    "parse_script",
    "prompt_bytes",
    "serve_in_thread",
    "shared_prefix",
]
