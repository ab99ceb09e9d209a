"""`python -m assay.testing.server`: the scripted model server as a program."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import cast

from assay.testing.server.faults import CATALOGUE, check_faults
from assay.testing.server.jobs import echo, five_step
from assay.testing.server.script import Order, Reply, ScriptError, load_script, parse_fault
from assay.testing.server.server import Scripted, ScriptedServer


def _faults_help() -> str:
    width = max(map(len, CATALOGUE)) + 2
    lines = [f"  {name:<{width}}{kind.says}" for name, kind in CATALOGUE.items()]
    return "\n".join(
        [
            "faults (--fault NAME or NAME:key=value,…; keys: times (1, or forever), after, seconds, size, status,",
            "retry_after, close=end|close|reset; a fault that needs text or a call waits for a reply that has it):",
            *lines,
        ]
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m assay.testing.server",
        description="A scripted model server on loopback: Anthropic Messages, OpenAI Chat Completions and Responses.",
        epilog=_faults_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--script", type=Path, metavar="FILE", help="replies, rules and faults as JSON")
    jobs = ["five-step", "echo", "obedient"]
    what.add_argument("--job", choices=jobs, help="a built-in job that fits any agent's tools, or what the prompt says")
    parser.add_argument("--turns", type=int, default=50, metavar="N", help="turns of the echo job (50)")
    parser.add_argument("--root", type=Path, metavar="DIR", help="make the five-step job's paths absolute, below DIR")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME", help="a fault; repeatable; see below")
    parser.add_argument("--order", choices=["conversation", "request"], help="how the place in the script is found")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (0: a free one)")
    parser.add_argument("--print-url", action="store_true", help="print the base URL on a line of its own when ready")
    parser.add_argument("--log", type=Path, metavar="FILE", help="append one JSON line an exchange to FILE")
    return parser


def _scripted(arguments: argparse.Namespace) -> Scripted:
    if arguments.script is not None:
        return load_script(cast(Path, arguments.script))
    if arguments.job == "five-step":
        return five_step(cast("Path | None", arguments.root))
    if arguments.job == "echo":
        return echo(cast(int, arguments.turns))
    if arguments.job == "obedient":
        from assay.testing.server.obedient import obedient

        return obedient
    return Reply("Hello from the scripted server.")


async def _serve(server: ScriptedServer, print_url: bool) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(_number: int, _frame: object) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stopped.set)

    # Not the loop's own handlers: those go with the loop, and a second signal would then kill the clean exit.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    async with server:
        if print_url:
            sys.stdout.write(server.url + "\n")
            sys.stdout.flush()
        await stopped.wait()


def main(argv: list[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT, then 0. 2 for a bad script or flag or an address that can't be used."""
    arguments = _parser().parse_args(argv)
    try:
        faults = [parse_fault(text) for text in cast("list[str]", arguments.fault)]
        check_faults(faults)
        server = ScriptedServer(
            _scripted(arguments),
            faults,
            order=cast("Order | None", arguments.order),
            log=cast("Path | None", arguments.log),
            address=(cast(str, arguments.host), cast(int, arguments.port)),
        )
        asyncio.run(_serve(server, bool(arguments.print_url)))
    except (ScriptError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
