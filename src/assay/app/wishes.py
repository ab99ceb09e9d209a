"""From the words of a command line to a wish: the one place that knows both."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from assay.app.flags import Parsed
from assay.app.task import Wish
from assay.core.budget import Budget
from assay.core.errors import UsageError
from assay.core.messages import Json


def read_wish(parsed: Parsed, directory: Path) -> Wish:
    """What the flags ask for. Raises `UsageError`."""
    resume = parsed.text("resume")
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
        permission_mode=parsed.text("permission_mode"),
        allowed=tuple(parsed.many("allowedTools")),
        disallowed=tuple(parsed.many("disallowedTools")),
        tools=tuple(" ".join(parsed.many("tools")).replace(",", " ").split()) if "tools" in parsed.given else None,
        budget=Budget(
            parsed.whole("max_turns"),
            parsed.whole("max_tokens_total"),
            parsed.number("max_budget_usd"),
            parsed.number("max_seconds"),
        ),
        system=parsed.text("system_prompt"),
        append_system=parsed.text("append_system_prompt") or "",
        add_dirs=tuple(parsed.many("add_dir")),
        plugin_dirs=tuple(parsed.many("plugin_dir")),
        settings=parsed.text("settings"),
        setting_sources=parsed.text("setting_sources"),
        schema=read_schema(parsed.text("json_schema")),
        effort=parsed.text("effort"),
        thinking=parsed.text("thinking"),
        checks=tuple(parsed.many("check")),
        no_sandbox=parsed.on("no_sandbox"),
        session=resume if resume else ("" if parsed.on("continue") else None),
        fork=parsed.on("fork_session"),
        approve=tuple(parsed.many("approve")),
    )


def read_schema(text: str | None) -> dict[str, Json] | None:
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, Json])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise UsageError(f"--json-schema is not a JSON object: {error}") from error
