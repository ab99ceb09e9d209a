"""The tables of docs/reference.md that are made from the code.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. `python tests/docs/record.py` writes them anew; the
parity test fails while they differ from the code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from importlib import import_module
from itertools import chain
from pathlib import Path
from pkgutil import iter_modules
from typing import cast

import assay.surfaces.cli
from assay.app.commands import BUILT_IN
from assay.app.flags import Flag
from assay.core.check import EXIT_CODES
from assay.core.web import Page, WebError
from assay.models.catalog import load
from assay.surfaces.cli.main import COMMANDS
from assay.surfaces.gateway.main import FLAGS as GATEWAY
from assay.testing.server.faults import CATALOGUE
from assay.tools.toolbox import toolbox

ROOT = Path(__file__).parent.parent.parent
REFERENCE = ROOT / "docs" / "reference.md"
BLOCK = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)

OUTCOMES = {
    "answered": "nothing was changed; a text answer was given",
    "verified": "on the final tree every criterion has evidence of class A, B or C, nothing regressed, no protected "
    "path was changed without leave",
    "partial": "changed; some criteria have weak evidence only (class D or E)",
    "unverified": "changed; nothing executable speaks for it",
    "failed": "checks are red, or the model gave up",
    "usage": "bad flag, unknown model, unreadable file, or a request that the provider calls invalid",
    "auth": "the key is missing or refused, or the quota is spent",
    "unavailable": "the provider can't be reached or gave no usable reply, after bounded retries",
    "budget": "the limit of tokens, money, requests or time",
    "stuck": "the model went in circles",
    "no_sandbox": "commands can't be confined here, and `--no-sandbox` was not given",
    "needs_approval": "policy wants a person to decide, and there is none",
    "storage": "the session can't be written",
    "interrupted": "a signal ended the turn",
}


def flag_modules() -> dict[str, tuple[Flag, ...]]:
    """The flag tables of the command line by command; `assay` itself under "assay"."""
    found: dict[str, tuple[Flag, ...]] = {}
    for module in iter_modules(assay.surfaces.cli.__path__):
        table = getattr(import_module(f"assay.surfaces.cli.{module.name}"), "FLAGS", None)
        if table is not None:
            found["assay" if module.name == "main" else module.name] = table
    found["models gateway"] = GATEWAY
    for name in [name for name, table in found.items() if name != "assay" and table is found["assay"]]:
        del found[name]
    return found


def rows(head: Iterable[str], body: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in line] for line in body)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def flags(command: str) -> str:
    def written(flag: Flag) -> str:
        value = "" if flag.kind == "switch" else f" {'|'.join(flag.choices) or flag.value}"
        many = "..." if flag.kind == "many" else ""
        return f"`{flag.short + ', ' if flag.short else ''}{flag.name}{value}{many}`"

    return rows(("flag", "meaning"), ((written(flag), flag.help) for flag in flag_modules().get(command, ())))


def outcomes() -> str:
    return rows(
        ("outcome", "exit", "when"), ((f"`{name}`", str(code), OUTCOMES[name]) for name, code in EXIT_CODES.items())
    )


class NoWeb:
    """Is enough to have the tools told of that need a web."""

    async def get(self, url: str, limit: int) -> Page:
        raise WebError(url)


def tools() -> str:
    body: list[tuple[str, str, str]] = []
    for tool in chain(*toolbox(web=NoWeb(), search=(NoWeb(), "https://localhost/?q={query}"))):
        shape = cast("dict[str, dict[str, dict[str, str]]]", tool.spec.parameters)
        needed = cast("list[str]", tool.spec.parameters.get("required", []))
        arguments = [
            f"`{name}` ({about['type']}{'' if name in needed else ', optional'})"
            + (f": {about['description']}" if "description" in about else "")
            for name, about in shape["properties"].items()
        ]
        body.append((f"`{tool.spec.name}`", "<br>".join(arguments), " ".join(tool.spec.description.split())))
    return rows(("tool", "arguments", "what the model is told"), body)


def providers() -> str:
    return rows(
        ("provider", "base URL", "dialect", "key, first that is set", "default model"),
        (
            (
                f"`{name}`",
                entry.base_url or "a server on this machine, started when needed",
                f"`{entry.dialect}`",
                ", ".join(f"`{key.name}`" for key in entry.keys) + ("" if entry.key_required else " (not needed)"),
                f"`{entry.model}`" if entry.model else "",
            )
            for name, entry in load().providers.items()
        ),
    )


def aliases() -> str:
    return rows(("alias", "model"), ((f"`{name}`", f"`{target}`") for name, target in load().aliases.items()))


def faults() -> str:
    return rows(
        ("fault", "family", "what it does"), ((f"`{n}`", kind.family, kind.says) for n, kind in CATALOGUE.items())
    )


def commands() -> str:
    return rows(("command", "what it does"), ((f"`assay {name}`", text) for name, text in COMMANDS.items()))


def slash() -> str:
    said = ((f"/{name} {hint}".strip(), what) for name, (what, hint) in BUILT_IN.items())
    return rows(("command", "what it does"), ((f"`{call}`".replace("|", "\\|"), what) for call, what in said))


TABLES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "outcomes": outcomes,
    "tools": tools,
    "providers": providers,
    "aliases": aliases,
    "faults": faults,
    "slash": slash,
}


def table(name: str) -> str:
    """The table of that name; `flags COMMAND` for the options of a command."""
    kind, _, command = name.partition(" ")
    return flags(command) if kind == "flags" else TABLES[name]()


def renewed(text: str) -> str:
    """`text` with every marked table made from the code."""
    return BLOCK.sub(lambda block: block[1] + table(block[2]) + block[3], text)
