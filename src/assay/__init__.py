"""assay: a coding agent that proves its work, for any model.

    async for message in assay.query(prompt="The test of mean() fails: fix it"):
        ...

Importing this package does no work: each name below is loaded when it is first used. docs/sdk.md is the guide; the
command lives in `assay.__main__`, the rooms are described in docs/design.md.
"""

from typing import TYPE_CHECKING

from assay._version import __version__ as __version__

if TYPE_CHECKING:
    from assay.core.errors import AssayError as AssayError
    from assay.core.tool import ToolContext as ToolContext
    from assay.sdk.bridge import Bridge as Bridge
    from assay.sdk.bridge import run_sync as run_sync
    from assay.sdk.client import Client as Client
    from assay.sdk.client import query as query
    from assay.sdk.hooks import HookMatcher as HookMatcher
    from assay.sdk.messages import AssistantMessage as AssistantMessage
    from assay.sdk.messages import ContentBlock as ContentBlock
    from assay.sdk.messages import EventMessage as EventMessage
    from assay.sdk.messages import Message as Message
    from assay.sdk.messages import ResultMessage as ResultMessage
    from assay.sdk.messages import StreamEvent as StreamEvent
    from assay.sdk.messages import SystemMessage as SystemMessage
    from assay.sdk.messages import TextBlock as TextBlock
    from assay.sdk.messages import ThinkingBlock as ThinkingBlock
    from assay.sdk.messages import ToolResultBlock as ToolResultBlock
    from assay.sdk.messages import ToolUseBlock as ToolUseBlock
    from assay.sdk.messages import UserMessage as UserMessage
    from assay.sdk.options import AgentDefinition as AgentDefinition
    from assay.sdk.options import Options as Options
    from assay.sdk.permissions import PermissionResultAllow as PermissionResultAllow
    from assay.sdk.permissions import PermissionResultDeny as PermissionResultDeny
    from assay.sdk.permissions import PermissionUpdate as PermissionUpdate
    from assay.sdk.sessions import delete_session as delete_session
    from assay.sdk.sessions import fork_session as fork_session
    from assay.sdk.sessions import get_session_messages as get_session_messages
    from assay.sdk.sessions import list_sessions as list_sessions
    from assay.sdk.store import InMemorySessionStore as InMemorySessionStore
    from assay.sdk.store import SessionStore as SessionStore
    from assay.sdk.tools import ToolAnnotations as ToolAnnotations
    from assay.sdk.tools import create_sdk_mcp_server as create_sdk_mcp_server
    from assay.sdk.tools import tool as tool

_PLACES = {
    "core.errors": ("AssayError",),
    "core.tool": ("ToolContext",),
    "sdk.bridge": ("Bridge", "run_sync"),
    "sdk.client": ("Client", "query"),
    "sdk.hooks": ("HookCallback", "HookContext", "HookInput", "HookMatcher", "HookOutput"),
    "sdk.messages": (
        "AssistantMessage", "ContentBlock", "ConversationResetMessage", "EventMessage", "HookEventMessage", "Message",
        "MirrorErrorMessage", "RateLimitEvent", "ResultMessage", "StreamEvent", "SystemMessage",
        "TaskNotificationMessage", "TaskProgressMessage", "TaskStartedMessage", "TaskUpdatedMessage", "TextBlock",
        "ThinkingBlock", "ToolResultBlock", "ToolUseBlock", "UserMessage",
    ),
    "sdk.options": ("AgentDefinition", "Options", "PermissionMode"),
    "sdk.permissions": (
        "CanUseTool", "PermissionResult", "PermissionResultAllow", "PermissionResultDeny", "PermissionRuleValue",
        "PermissionUpdate", "ToolPermissionContext",
    ),
    "sdk.sessions": (
        "ForkSessionResult", "SessionInfo", "SessionMessage", "delete_session", "fork_session", "get_session_messages",
        "list_sessions",
    ),
    "sdk.store": ("InMemorySessionStore", "SessionKey", "SessionStore"),
    "sdk.tools": ("FunctionTool", "ToolAnnotations", "create_sdk_mcp_server", "tool"),
}  # fmt: skip


def __getattr__(name: str) -> object:
    for place, names in _PLACES.items():
        if name in names:
            from importlib import import_module

            return getattr(import_module(f"assay.{place}"), name)
    raise AttributeError(f"module 'assay' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(["__version__", *(name for names in _PLACES.values() for name in names)])
