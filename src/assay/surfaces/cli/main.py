"""Which command was asked for, and its help."""

from __future__ import annotations

import sys
from collections.abc import Callable

from assay._version import __version__
from assay.app.flags import FLAGS, Parsed, describe, parse

COMMANDS: dict[str, str] = {
    "resume": "go on with an earlier session: assay resume [ID] [-p PROMPT]",
    "sessions": "list, show, export or delete stored sessions",
    "models": "the catalogue, the local model store, a gateway: list, pull, where, serve, gateway",
    "check": "discover and run this project's checks, print the evidence table; no model",
    "held": "what commands did to protected names and was taken back: list, show, apply, drop",
    "plugin": "plugins: list, validate, install, uninstall, enable, disable, marketplace",
    "rewind": "take a session back to before a turn: its files, its conversation, or both",
    "mcp": "servers of tools: list, get, add, add-json, remove, login, logout",
    "doctor": "prove what works here: providers, local model, sandbox, terminal",
    "explain": "why a call was decided as it was, or how one would be: assay explain 'Bash(git push)'",
    "demo": "the main job, end to end, on a real project",
}


def run(arguments: list[str]) -> int:
    """Carry out the command line; returns the exit code. Never shows a traceback unless --verbose asks for it."""
    try:
        _stand_somewhere()
        return _dispatch(arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0
    except Exception as error:  # noqa: BLE001 - the last line of defence: one clear line instead of a traceback
        return _explain(error, verbose="--verbose" in arguments)


def _stand_somewhere() -> None:
    """Raises `UsageError` when the directory we were started in is gone."""
    import os

    try:
        os.getcwd()  # noqa: PTH109
    except OSError as error:
        from assay.core.errors import UsageError

        raise UsageError(f"the current directory can't be used: {error.strerror}; change to one that exists") from error


def _explain(error: Exception, *, verbose: bool) -> int:
    from assay.core.errors import AssayError
    from assay.surfaces.cli.terminal import write_err

    if verbose:
        import traceback

        write_err(traceback.format_exc())
    if isinstance(error, AssayError):
        write_err(f"error: {error}")
        return error.exit_code
    write_err(f"error: {type(error).__name__}: {error} (this is a defect of assay; --verbose shows where)")
    return 1


def _dispatch(arguments: list[str]) -> int:
    if arguments and arguments[0] in COMMANDS:
        return _command(arguments[0])(arguments[1:])
    parsed = parse(arguments)
    if parsed.on("version"):
        return _version()
    if parsed.on("help"):
        sys.stdout.write(help_text())
        return 0
    return _prompt(parsed)


def _version() -> int:
    sys.stdout.write(f"{__version__} (assay)\n")
    return 0


def _prompt(parsed: Parsed) -> int:
    from assay.core.errors import UsageError

    if len(parsed.words) > 1:
        raise UsageError(f"one prompt is enough; got '{parsed.words[1]}' as well. Put the prompt in quotes")
    if not parsed.on("print"):
        hint = parsed.words[0] if parsed.words else "fix the failing test"
        raise UsageError(f'the interactive screen is not built yet; run one task with: assay -p "{hint[:60]}"')
    from assay.surfaces.cli.headless import run_headless

    return run_headless(parsed, parsed.words[0] if parsed.words else None)


def _command(name: str) -> Callable[[list[str]], int]:
    if name == "resume":
        return _resume
    if name == "sessions":
        from assay.surfaces.cli.sessions import run_sessions

        return run_sessions
    if name == "models":
        from assay.surfaces.cli.models import run_models

        return run_models
    if name == "check":
        from assay.surfaces.cli.check import run_check

        return run_check
    if name == "held":
        from assay.surfaces.cli.held import run_held

        return run_held
    if name == "plugin":
        from assay.surfaces.cli.plugin import run_plugin

        return run_plugin
    if name == "rewind":
        from assay.surfaces.cli.rewind import run_rewind

        return run_rewind
    if name == "mcp":
        from assay.surfaces.cli.mcp import run_mcp

        return run_mcp
    if name == "doctor":
        from assay.surfaces.cli.doctor import run_doctor

        return run_doctor
    if name == "explain":
        from assay.surfaces.cli.explain import run_explain

        return run_explain
    from assay.surfaces.cli.demo import run_demo

    return run_demo


def _resume(arguments: list[str]) -> int:
    """`assay resume [ID] [-p [PROMPT]]`: the same as `--resume ID`, or `--continue` without an ID."""
    parsed = parse(arguments)
    if parsed.on("help"):
        sys.stdout.write(f"{COMMANDS['resume']}\n\nTakes the options of `assay -p`.\n")
        return 0
    # A single word behind -p is a prompt for the newest session, unless it can only be an ID.
    if parsed.words and not (len(parsed.words) == 1 and parsed.on("print") and not _is_id(parsed.words[0])):
        parsed.given["resume"] = parsed.words.pop(0)
    else:
        parsed.given["continue"] = True
    parsed.given["print"] = True  # without a screen, going on is a headless task
    return _prompt(parsed)


def _is_id(word: str) -> bool:
    """The beginning of a session's id: these start with the time, whose first hexadecimal digit stays 0 for long."""
    return word.startswith("0") and len(word) >= 4 and not word.strip("0123456789abcdef-")


def help_text() -> str:
    commands = "\n".join(f"  {name:<10} {text}" for name, text in COMMANDS.items())
    return f"""assay {__version__}: a coding agent that proves its work

usage: assay -p [OPTIONS] "PROMPT"
       assay COMMAND [...]

commands:
{commands}

options:
{describe(FLAGS)}

exit codes: 0 answered or verified, 1 failed, 2 usage, 3 key or quota, 4 provider unavailable, 5 budget, 6 stuck,
7 no sandbox, 8 needs approval, 9 storage, 10 partial or unverified, 130 interrupted
"""
