"""The Bash tool: one command line in the workspace, its output bounded."""

from collections.abc import Awaitable, Callable

from msgspec import Struct
from msgspec.structs import replace

from assay.core.errors import InvalidArguments, WorkspaceError
from assay.core.ids import new_id
from assay.core.messages import Json, Text
from assay.core.policy import EXTERNAL, WORKSPACE, Effect
from assay.core.tool import ToolContext, ToolOutcome
from assay.core.workspace import Command, CommandResult
from assay.tools.bound import head_tail, keep, one_line, plain, refused
from assay.tools.schema import read_arguments, tool_spec

SHOWN = 8_000
"""Characters of output that the model gets."""
KEPT = 64_000
"""Bytes that are looked at to choose them."""
PATIENCE = 120_000
"""Milliseconds that a command has when nothing is said."""
LONGEST = 600_000
"""Milliseconds."""
TERMINAL = (24, 80)
"""Rows and columns of the private terminal of a command that asked for one."""
MOST_HELD = 8
"""Paths of held changes that are named."""


Background = Callable[[Command, str, ToolContext], Awaitable[ToolOutcome]]
"""Starts a command that goes on after its call; the text says what it is, in the model's words. Its `timeout` is the
one that the model asked for, 0 for none."""


class BashArguments(Struct, forbid_unknown_fields=True):
    command: str
    timeout: int = PATIENCE
    description: str = ""
    run_in_background: bool = False
    tty: bool = False


def never() -> bool:
    return False


class BashTool:
    """Runs commands. While `read_only` says so (plan mode) the workspace itself is not writable for them."""

    def __init__(self, read_only: Callable[[], bool] = never, background: Background | None = None) -> None:
        self._without = () if background else ("run_in_background",)
        self.spec = tool_spec("Bash", BashArguments, self._without)
        self._patience, self._longest = PATIENCE, LONGEST
        self._read_only = read_only
        self._background = background
        self._shell = ""

    def use_timeouts(self, patience: int, longest: int) -> None:
        """Milliseconds that commands have when the model says nothing, and at most; the larger of both at most."""
        self._patience, self._longest = patience, max(patience, longest)
        told = {"timeout": f"milliseconds ({patience}), at most {self._longest}"}
        self.spec = tool_spec("Bash", BashArguments, self._without, told)

    def effects(self, arguments: dict[str, Json]) -> tuple[Effect, ...]:
        asked = read_arguments("Bash", arguments, BashArguments)
        if not asked.command.strip() or "\0" in asked.command:
            raise InvalidArguments("Bash: command: expected a command line")
        return (Effect("execute", asked.command),)

    async def run(self, arguments: dict[str, Json], context: ToolContext) -> ToolOutcome:
        asked = read_arguments("Bash", arguments, BashArguments)
        wanted = self._patience if arguments.get("timeout") is None else asked.timeout
        seconds = min(max(wanted, 1), self._longest) / 1000
        self._shell = self._shell or _found_shell()
        spill = f"{context.spill}/{new_id()}.txt" if context.spill else ""
        command = Command(
            (self._shell, "-c", asked.command),
            timeout=seconds,
            limit=KEPT,
            spill=spill,
            read_only=self._read_only(),
            terminal=TERMINAL if asked.tty else None,
        )
        if asked.run_in_background:
            if self._background is None:
                return refused("commands can't go on in the background here; run it without run_in_background")
            patience = seconds if "timeout" in arguments else 0.0
            return await self._background(replace(command, timeout=patience), asked.description, context)
        try:
            result = await context.workspace.run(command)
        except WorkspaceError as error:
            return refused(str(error))
        return _told(asked.command, seconds, result, spill)


def _found_shell() -> str:
    from shutil import which

    return which("bash") or "/bin/sh"


def _told(command: str, seconds: float, result: CommandResult, spill: str) -> ToolOutcome:
    from assay.tools.condense import condense

    clean = plain(result.output).strip("\n")
    brief = condense(clean)
    missing = result.output_bytes if result.output_bytes > KEPT else 0
    where = ""
    if missing or brief != clean or len(brief) > SHOWN:
        # The workspace spills what goes beyond KEPT; what is cut only here is kept here.
        where = result.spill or (keep(spill, clean) if spill else "")
    body = head_tail(brief, SHOWN, missing, where)
    if where and brief != clean and len(brief) <= SHOWN and not missing:
        body += f"\n[all of it: {where}]"
    if result.timed_out:
        unit = "" if seconds >= 2 else " (timeout is in milliseconds)"
        status = f"timed out after {seconds:g} s and was stopped{unit}"
    else:
        status = f"exit {result.exit_code}" if result.exit_code else ""
    held = _listed(result.held)
    taken = f"[held for review, not in the workspace: {held}]" if held else ""
    text = "\n".join(part for part in (status, body or "(no output)", taken) if part)
    debug: dict[str, Json] = {
        "exit": result.exit_code,
        "bytes": result.output_bytes,
        "seconds": round(result.seconds, 3),
        "timed_out": result.timed_out,
    }
    if where:
        debug["spill"] = where
    if held:
        debug["held"] = list(result.held)
    also = f"; held for review: {held}" if held else ""
    display = one_line(f"$ {one_line(command, 80)} → {status or 'exit 0'}, {result.seconds:.1f} s{also}")
    label = WORKSPACE
    if result.network:
        debug["network"] = list(result.network)
        label = label.join(EXTERNAL)
    return ToolOutcome((Text(text),), display, debug, is_error=bool(status), label=label)


def _listed(paths: tuple[str, ...]) -> str:
    shown = ", ".join(one_line(path, 80) for path in paths[:MOST_HELD])
    return f"{shown} and {len(paths) - MOST_HELD} more" if len(paths) > MOST_HELD else shown
