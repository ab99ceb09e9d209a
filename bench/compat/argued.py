"""Where we differ on purpose, and why: by conversation, how the difference begins as `compare` words it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WHOLE = (
    "a reply is shown as a message once it is whole: one that breaks off is asked for again, and must not have acted"
)
CLOSED = "a stream that was begun is brought to its end, so that whoever puts it together is not left waiting"
WANTED = "the client library's own suite wants `api_error`"
NEWER = "later versions say so, and ours has a new session with an id of its own from there on"
AT_ONCE = "no later try can help, so the first answer is told"
FIRST = "the session is told before anything is asked about it"
KEPT = "that version had left out this tool, which is documented and which ours always has"

ARGUED: Mapping[str, Mapping[str, str]] = {
    "partial messages": {"`assistant": WHOLE, "nothing against `assistant": WHOLE},
    "no such model": {"2 requests": AT_ONCE, "terminal_reason": WANTED},
    "key refused": {"3 requests": AT_ONCE, "terminal_reason": WANTED},
    "interrupt": {"nothing against `stream": CLOSED},
    "interrupt, then go on": {
        "nothing against `stream": CLOSED,
        "`assistant": WHOLE,
        "nothing against `assistant": WHOLE,
    },
    "set model and mode": {"`user: text`": "a request is answered by its response; no words are put into the chat"},
    "wrong requests": {"`answers: success`": "a mode that does not exist is refused, not taken"},
    "a hook adds context": {"nothing against `system/init`": FIRST, "`system/init`": FIRST},
    "a hook blocks the prompt": {"nothing against `system/init`": FIRST, "`system/init`": FIRST},
    "command that is none": {
        "": "words that begin with a slash and name no command go to the model: they may be a path, or a skill's"
    },
    "nobody to ask": {"refused ['Bash']": "without a host to ask, confined commands run: the sandbox is the boundary"},
    "glob and grep": {"`user: tool_result error`": KEPT},
    "todo": {"`user: tool_result error`": KEPT},
    "clear": {
        "nothing against `conversation_reset`": NEWER,
        "`assistant: text`": "there is nothing to say, and no message without words",
    },
}


def unargued(name: str, found: Sequence[str]) -> list[str]:
    """Those differences in the conversation `name` that nobody has argued."""
    known = ARGUED.get(name, {})
    return [each for each in found if not any(each.startswith(begins) for begins in known)]


def arguments(name: str, found: Sequence[str]) -> list[str]:
    """Why the differences found are meant, each reason once."""
    known = ARGUED.get(name, {})
    reasons = [why for each in found for begins, why in known.items() if each.startswith(begins)]
    return list(dict.fromkeys(reasons))
