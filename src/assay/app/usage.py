"""What fills a model's window, by category."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import json

from assay.core.messages import Json
from assay.core.model import ToolSpec, estimate_tokens
from assay.run.run import Run
from assay.run.window import FULL_AT

_MCP = "mcp__"
_COLOURS = {
    "System prompt": "promptBorder", "System tools": "inactive", "MCP tools": "cyan", "Deferred tools": "inactive",
    "Memory files": "claude", "Messages": "purple", "Free space": "promptBorder", "Autocompact buffer": "inactive",
}  # fmt: skip
"""Names that hosts paint categories by."""


def context_usage(run: Run) -> dict[str, Json]:
    """As hosts ask for it by `get_context_usage`. Tokens are estimates, but for the total after a reply, which is what
    the provider counted."""
    profile, shown = run.parts.model.profile, run.tools.specs(run.state.loaded)
    deferred = [tool.spec for tool in run.tools.deferred if tool.spec not in shown]
    system = estimate_tokens(run.options.system)
    own = _weigh(spec for spec in shown if not spec.name.startswith(_MCP))
    served = _weigh(spec for spec in shown if spec.name.startswith(_MCP))
    files: list[Json] = [
        {"path": fragment.source, "type": "Project", "tokens": estimate_tokens(fragment.text)}
        for fragment in run.options.instructions
    ]
    memory = sum(estimate_tokens(fragment.text) for fragment in run.options.instructions) if run.state.messages() else 0
    total = run.next_input() if run.state.messages() else system + own + served
    window = profile.context
    parts = {
        "System prompt": system,
        "System tools": own,
        "MCP tools": served,
        "Deferred tools": _weigh(deferred),
        "Memory files": memory,
        "Messages": max(total - system - own - served - memory, 0),
        "Autocompact buffer": round(window * (1 - FULL_AT)),
    }
    parts["Free space"] = max(window - total - parts["Autocompact buffer"], 0)
    return {
        "categories": [
            {"name": name, "tokens": tokens, "color": _COLOURS[name]}
            | ({"isDeferred": True} if name == "Deferred tools" else {})
            for name, tokens in parts.items()
            if tokens
        ],
        "totalTokens": total,
        "maxTokens": window,
        "rawMaxTokens": window,
        "percentage": round(100 * total / window) if window else 0,
        "model": profile.name,
        "isAutoCompactEnabled": run.options.compaction == "auto",
        "autoCompactThreshold": int(window * FULL_AT),
        "memoryFiles": files,
        "mcpTools": [_mcp_row(spec, loaded=True) for spec in shown if spec.name.startswith(_MCP)]
        + [_mcp_row(spec, loaded=False) for spec in deferred if spec.name.startswith(_MCP)],
        "systemTools": [
            {"name": spec.name, "tokens": _weigh([spec])} for spec in shown if not spec.name.startswith(_MCP)
        ],
        "agents": [],
        "gridRows": [],
        "apiUsage": None,
    }


def _weigh(specs: Iterable[ToolSpec]) -> int:
    return sum(estimate_tokens(spec.name + spec.description + json.encode(spec.parameters).decode()) for spec in specs)


def _mcp_row(spec: ToolSpec, *, loaded: bool) -> Json:
    server = spec.name.removeprefix(_MCP).partition("__")[0]
    return {"name": spec.name, "serverName": server, "tokens": _weigh([spec]), "isLoaded": loaded}
