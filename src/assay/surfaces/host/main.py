"""The way into a driven session. Everything that goes wrong before there is one is a line on standard error and exit 1,
which is what client libraries tell apart."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from assay.app.flags import Parsed, parse
from assay.core.errors import AssayError, UsageError
from assay.surfaces.host.pipes import complain


def run(arguments: list[str]) -> int:
    """Carry out the command line of a driven session; returns the exit code."""
    try:
        parsed = parse(arguments)
        return asyncio.run(_driven(parsed))
    except AssayError as error:
        complain(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - the last line of defence: one clear line instead of a traceback
        if "--debug" in arguments or "--debug-to-stderr" in arguments:
            import traceback

            traceback.print_exc()
        complain(f"error: {type(error).__name__}: {error} (this is a defect of assay; --debug shows where)")
        return 1
    finally:
        # How it ended is settled; a signal while the interpreter goes down must not change the exit code.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


async def _driven(parsed: Parsed) -> int:
    from assay.app.messages.result import failure_object
    from assay.app.resume import NoConversation, ResumeRejected
    from assay.app.wishes import read_wish
    from assay.surfaces.host.pipes import Sink
    from assay.surfaces.host.session import Session

    try:
        os.getcwd()  # noqa: PTH109 - the question is whether it is there
    except OSError as error:
        raise UsageError(f"the current directory can't be used: {error.strerror}; change to one that exists") from error
    if any(parsed.words):  # some clients give each switch a value, and that is empty
        raise UsageError("with --input-format stream-json, prompts come by standard input")
    wish = read_wish(parsed, Path.cwd())
    try:
        return await Session(parsed, wish).run()
    except ResumeRejected as error:
        Sink(lambda: None).send(failure_object(error, 0.0) | {"session_id": wish.session})
        return 1
    except NoConversation as error:
        result = failure_object(error, 0.0) | {"subtype": "error_during_execution", "session_id": wish.session}
        del result["terminal_reason"]  # there was nothing that could end
        Sink(lambda: None).send(result)
        complain(str(error))
        return 1
