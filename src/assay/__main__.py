"""The command's entry point: as little as possible before we know what was asked."""

from __future__ import annotations

import gc
import sys


def main() -> int:
    """Run the `assay` command; returns its exit code."""
    if sys.argv[1:] in (["--version"], ["-v"]):
        from assay._version import __version__

        sys.stdout.write(f"{__version__} (assay)\n")
        return 0
    if None in (sys.stdin, sys.stdout, sys.stderr):
        _open_streams()
    # Nearly all that is made on the way to the first request stays in use; looking for garbage in it is wasted.
    gc.set_threshold(50_000, 20, 50)
    arguments = sys.argv[1:]
    if arguments[:2] == ["models", "gateway"]:
        from assay.surfaces.gateway.main import run

        arguments = arguments[2:]
    elif _driven(arguments):
        from assay.surfaces.host.main import run
    else:
        from assay.surfaces.cli.main import run

    code = run(arguments)
    # The interpreter would look at every object once more before it ends; nothing of ours needs that.
    gc.freeze()
    return code


def _driven(arguments: list[str]) -> bool:
    """Whether another program drives us by lines of JSON. Client libraries say so at the end of the line; older ones
    ask for such output and no prompt."""
    said = {flag: _value(arguments, flag) for flag in ("--input-format", "--output-format")}
    if said["--input-format"]:
        return said["--input-format"] == "stream-json"
    return said["--output-format"] == "stream-json" and not {"-p", "--print", "-h", "--help"} & {*arguments}


def _value(arguments: list[str], flag: str) -> str:
    for place, word in enumerate(arguments):
        if word == flag and place + 1 < len(arguments):
            return arguments[place + 1]
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return ""


def _open_streams() -> None:
    """A standard stream that was closed at the start leads nowhere: else the next file opened, perhaps the session's
    log, would get its number, and what is printed would be written into it."""
    import os

    while (descriptor := os.open(os.devnull, os.O_RDWR)) < 3:
        name, mode = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))[descriptor]
        setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    os.close(descriptor)


if __name__ == "__main__":
    # `python -m` looks for modules in the current directory first, and that is a project which we don't trust.
    if not sys.flags.safe_path:
        del sys.path[0]
    sys.exit(main())
