"""From the words of a command line to a wish: the one place that knows both."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from assay.app.attempts import read_attempts
from assay.app.flags import EFFORTS, Parsed
from assay.app.task import Wish
from assay.core.budget import Budget
from assay.core.errors import UsageError
from assay.core.messages import Json


def read_wish(parsed: Parsed, directory: Path) -> Wish:
    """What the flags ask for. Raises `UsageError`."""
    resume = parsed.text("resume")
    skips = parsed.on("dangerously_skip_permissions")
    if resume == "":
        raise UsageError("--resume needs the ID of a session; for the newest one use --continue")
    return Wish(
        directory=directory,
        environ=dict(os.environ),
        model=parsed.text("model"),
        fallback=tuple(name for name in (parsed.text("fallback_model") or "").split(",") if name.strip()),
        base_url=parsed.text("base_url"),
        api_key_env=parsed.text("api_key_env"),
        dialect=parsed.text("dialect"),
        permission_mode="bypassPermissions" if skips else parsed.text("permission_mode"),
        bypass_allowed=skips or parsed.on("allow_dangerously_skip_permissions"),
        prompt_tool="" if parsed.text("permission_prompts") == "none" else parsed.text("permission_prompt_tool") or "",
        allowed=tuple(parsed.many("allowedTools")),
        disallowed=tuple(parsed.many("disallowedTools")),
        tools=tuple(" ".join(parsed.many("tools")).replace(",", " ").split()) if "tools" in parsed.given else None,
        budget=Budget(
            parsed.whole("max_turns"),
            parsed.whole("max_tokens_total"),
            parsed.number("max_budget_usd"),
            parsed.number("max_seconds"),
        ),
        system=_read(parsed, "system_prompt"),
        append_system=_appended(parsed),
        add_dirs=tuple(parsed.many("add_dir")),
        settings=parsed.text("settings"),
        setting_sources=parsed.text("setting_sources"),
        schema=read_schema(parsed.text("json_schema")),
        effort=parsed.text("effort") or _effort(os.environ.get("CLAUDE_CODE_EFFORT_LEVEL", "")),
        thinking=_thinking(parsed),
        attempts=read_attempts(parsed.whole("attempts"), "--attempts"),
        agents=parsed.text("agents"),
        mcp_config=tuple(parsed.many("mcp_config")),
        strict_mcp=parsed.on("strict_mcp_config"),
        plugin_dirs=tuple(parsed.many("plugin_dir")),
        mirror=parsed.on("session_mirror"),
        session_id=_session_id(parsed.text("session_id")),
        resume_at=parsed.text("resume_session_at"),
        resume_drops=parsed.text("resume_drops_turn"),
        persist=not parsed.on("no_session_persistence"),
        checks=tuple(parsed.many("check")),
        no_sandbox=parsed.on("no_sandbox"),
        session=resume if resume else ("" if parsed.on("continue") else None),
        fork=parsed.on("fork_session"),
        approve=tuple(parsed.many("approve")),
    )


def _read(parsed: Parsed, key: str) -> str | None:
    """The text of a flag, or of the file that its sibling names."""
    file = parsed.text(f"{key}_file")
    if file is None:
        return parsed.text(key)
    try:
        return Path(file).expanduser().read_text("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"--{key.replace('_', '-')}-file: {file} cannot be read ({error.strerror})") from error


def _appended(parsed: Parsed) -> str:
    budget = parsed.whole("task_budget")
    advice = f"Manage this task within about {budget} tokens, all requests and replies together." if budget else ""
    return "\n\n".join(part for part in (_read(parsed, "append_system_prompt") or "", advice) if part)


def _thinking(parsed: Parsed) -> str | None:
    tokens, said = parsed.whole("max_thinking_tokens"), parsed.text("thinking")
    if tokens is None and said is None:
        told = os.environ.get("MAX_THINKING_TOKENS", "")
        tokens = int(told) if told.isascii() and told.isdigit() and len(told) < 10 else None
    if tokens is not None:
        return thinking_for(tokens)
    return "off" if said == "disabled" else said


def _effort(word: str) -> str | None:
    return word if word in EFFORTS else None


def thinking_for(tokens: int) -> str:
    """`--thinking` for a most number of tokens; what is too small for any thinking is raised to the least there is."""
    return str(max(tokens, 1024)) if tokens > 0 else "off"


def _session_id(text: str | None) -> str:
    import re

    if text is not None and not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
        raise UsageError(f"--session-id takes a UUID; got '{text[:80]}'")
    return (text or "").lower()


def read_schema(text: str | None) -> dict[str, Json] | None:
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, Json])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise UsageError(f"--json-schema is not a JSON object: {error}") from error
