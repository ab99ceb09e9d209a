"""Which failures a second turn mends: those in which the candidate never got to its answer."""

from __future__ import annotations

import re

_CRASH = re.compile(r"\b(SyntaxError|IndentationError|NameError|UnboundLocalError|ImportError|ModuleNotFoundError)\b")
_CALL = re.compile(
    r"\bTypeError\b.*(?:positional argument|required|unexpected keyword|takes|multiple values|not callable)"
)


def crashed(reason: str) -> bool:
    """Whether a test failed because the code could not run as written (`reason` is its line of error): names, imports
    and calls. A wrong answer is no crash: small models do not mend those in a second turn."""
    return "AssertionError" not in reason and bool(_CRASH.search(reason) or _CALL.search(reason))
