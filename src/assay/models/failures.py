"""Names for what went wrong at a provider, and how a command ends because of it."""

from __future__ import annotations

from assay.core.errors import AssayError, AuthError, Interrupted, ProviderUnavailable, UsageError
from assay.core.messages import Failure, FailureKind

KINDS: dict[str, FailureKind] = {
    # Anthropic's error types, https://docs.anthropic.com/en/api/errors
    "authentication_error": "auth",
    "permission_error": "auth",
    "billing_error": "quota",
    "not_found_error": "not_found",
    "request_too_large": "context_too_long",
    "rate_limit_error": "rate_limit",
    "overloaded_error": "overloaded",
    "api_error": "server",
    "timeout_error": "server",
    # OpenAI's codes, and those of servers that speak its dialects
    "invalid_api_key": "auth",
    "insufficient_quota": "quota",
    "billing_hard_limit_reached": "quota",
    "billing_not_active": "quota",
    "model_not_found": "not_found",
    "context_length_exceeded": "context_too_long",
    "exceed_context_size_error": "context_too_long",
    "rate_limit_exceeded": "rate_limit",
    "server_error": "server",
    "internal_server_error": "server",
    "slow_down": "overloaded",
    "server_overloaded": "overloaded",
    "content_filter": "refused",
    "content_policy_violation": "refused",
}

TOO_LONG = (
    "prompt is too long",
    "context length",
    "context_length",
    "context window",
    "context size",
    "maximum context",
    "too many tokens",
    "input is too long",
    "input length and `max_tokens` exceed",
    "exceeds the available context",
)
SPENT = ("credit balance", "insufficient balance", "exceeded your current quota", "insufficient credits")

INVALID = frozenset((
    "invalid_request_error", "invalid_request", "invalid_prompt", "invalid_value", "unknown_parameter",
    "unsupported_parameter", "missing_required_parameter", "400",
))  # fmt: skip
"""Says little where a status says more, but inside a stream there is none."""


def classify(status: int, codes: tuple[str, ...], message: str) -> FailureKind:
    """The kind of an error from its HTTP status (0 inside a stream), its codes (most telling first) and its words."""
    low = message.lower()
    if any(words in low for words in SPENT):
        return "quota"
    if status in (0, 400, 413, 422, 500) and any(words in low for words in TOO_LONG):
        return "context_too_long"
    for code in codes:
        if code in KINDS:
            return KINDS[code]
    if status == 0 and not INVALID.isdisjoint(codes):
        return "bad_request"
    return by_status(status)


def by_status(status: int) -> FailureKind:
    if status in (401, 403):
        return "auth"
    if status == 402:
        return "quota"
    if status in (404, 405, 410, 501, 505):  # the last two: a web server, but not one that models are asked at
        return "not_found"
    if status == 413:
        return "context_too_long"
    if status == 429:
        return "rate_limit"
    if status in (503, 529):
        return "overloaded"
    if status in (0, 408, 409, 425) or status >= 500:
        return "server"
    return "bad_request"


def retry_after(headers: dict[str, str], now: float) -> float | None:
    """Seconds that the server asks to wait: `retry-after-ms`, or `retry-after` in seconds or as a date (RFC 9110)."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        value = headers.get("retry-after", "")
        if not value or value.replace(".", "", 1).isdigit():
            return float(value) if value else None
        from email.utils import parsedate_to_datetime

        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def page_words(body: bytes) -> str:
    """What an error page that is not JSON says: its beginning, HTML without tags."""
    text = body[:4_000].decode("utf-8", "replace")
    if text.lstrip().startswith("<"):
        import re

        text = re.sub(r"<(style|script)\b.*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL | re.IGNORECASE)
    return " ".join(text.split())[:400]


def one_line(text: str, limit: int = 300) -> str:
    """`text` without line breaks and control characters, cut to `limit` characters."""
    clean = "".join(c if c.isprintable() else " " for c in text[: limit * 4])
    words = " ".join(clean.split())
    return words if len(words) <= limit else words[: limit - 1] + "…"


def failure_error(failure: Failure) -> AssayError:
    """The error, and with it the exit code, that ends a command for `failure`."""
    if failure.kind in ("auth", "quota"):
        return AuthError(failure.message)
    if failure.kind in ("bad_request", "not_found"):
        return UsageError(failure.message)
    if failure.kind == "cancelled":
        return Interrupted(failure.message)
    if failure.kind in ("context_too_long", "refused", "empty"):
        return AssayError(failure.message)
    return ProviderUnavailable(failure.message)
