"""`assay models`: the catalogue, and the store of the local model."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from assay.app.config import load_settings, parse_sources
from assay.app.flags import Flag, Parsed, describe, parse
from assay.app.model import LOCAL, catalog_of, runtime_folder
from assay.app.paths import Paths, find_paths
from assay.core.errors import UsageError
from assay.surfaces.cli.terminal import ascii_json, draw, is_live, one_line, write_err, write_out

FLAGS = (
    Flag("--from", "text", "pull: a file that you have already", value="FILE"),
    Flag("--file", "text", "serve: another GGUF file", value="FILE"),
    Flag("--port", "int", "serve: the port on this machine (default: any free one)", value="N"),
    Flag("--context", "int", "serve: tokens of context", value="N"),
    Flag("--json", "switch", "list, calibrate: as JSON"),
    Flag("--save", "switch", "calibrate: keep what suits the model in your settings"),
    Flag("--base-url", "text", "calibrate: a server that speaks a known dialect", value="URL"),
    Flag("--api-key-env", "text", "calibrate: the variable that holds the key for --base-url", value="NAME"),
    Flag("--dialect", "text", "calibrate: the dialect of --base-url", value="NAME"),
    Flag("--help", "switch", "print this", "-h"),
)
USAGE = """usage: assay models list [PROVIDER] [--json]
       assay models pull [--from FILE]
       assay models where
       assay models serve [--file FILE] [--port N] [--context N]
       assay models stop
       assay models calibrate MODEL [--save] [--json]
       assay models gateway [--port N] [--model MODEL]... [--key NAME]...
"""


def run_models(arguments: list[str]) -> int:
    """Carry out `assay models ...`; returns the exit code."""
    parsed = parse(arguments, FLAGS)
    if parsed.on("help") or not parsed.words:
        sys.stdout.write(f"{USAGE}\n{describe(FLAGS)}\n")
        return 0 if parsed.on("help") else 2
    paths = find_paths(os.environ)
    match parsed.words:
        case ["list", *rest]:
            return _list(paths, rest[0] if rest else "", as_json=parsed.on("json"))
        case ["pull"]:
            return _pull(paths, parsed.text("from"))
        case ["where"]:
            return _where(paths)
        case ["serve"]:
            return asyncio.run(_serve(paths, parsed))
        case ["stop"]:
            return _stop(paths)
        case ["calibrate", name]:
            from assay.surfaces.cli.calibrate import run_calibrate

            return asyncio.run(run_calibrate(paths, name, parsed))
        case ["calibrate", *_]:
            raise UsageError("assay models calibrate takes one model: PROVIDER/NAME or an alias")
        case [action, *_]:
            raise UsageError(
                f"assay models has no '{action}'; it has list, pull, where, serve, stop, calibrate, gateway"
            )
        case _:
            return 2


def _list(paths: Paths, provider: str, *, as_json: bool) -> int:
    settings, notices = load_settings(paths.settings, Path.cwd(), parse_sources("user"))
    for notice in notices:
        write_err(f"! {notice}")
    catalog = catalog_of(settings)
    if provider and provider not in catalog.providers:
        raise UsageError(f"no provider '{provider}'; there are {', '.join(catalog.providers)}")
    if as_json:
        import msgspec

        write_out(ascii_json(msgspec.json.format(msgspec.json.encode(catalog)).decode()) + "\n")
        return 0
    aliases: dict[str, list[str]] = {}
    for alias, target in catalog.aliases.items():
        aliases.setdefault(target, []).append(alias)
    for name, entry in catalog.providers.items():
        if provider and name != provider:
            continue
        key = " or ".join(key.name for key in entry.keys) or "no key"
        ready = "" if not entry.keys else " (set)" if any(os.environ.get(key.name) for key in entry.keys) else ""
        write_out(f"{name}: {entry.base_url or 'on this machine'}, {entry.dialect}, {key}{ready}\n")
        for model, facts in entry.models.items():
            price = f"${facts.price.input:g}/${facts.price.output:g} per million" if facts.price else "price unknown"
            short = f"  = {', '.join(aliases[f'{name}/{model}'])}" if f"{name}/{model}" in aliases else ""
            context = facts.context or entry.defaults.context
            room = f"{context // 1000}k" if context else "?"
            write_out(f"  {name}/{model:<34} {room:>6}  {price}{short}\n")
    return 0


def _pull(paths: Paths, file: str | None) -> int:
    from assay.models.local.pinned import QWEN_CODER
    from assay.models.local.pull import mirrors, pull
    from assay.models.local.store import Store

    own = Path(file).expanduser().absolute() if file else None
    if own and not own.is_file():
        raise UsageError(f"--from: there is no file {own}")
    bar = _Bar()
    try:
        found = asyncio.run(pull(Store(paths.models), QWEN_CODER, mirrors(own), bar))
    except KeyboardInterrupt:
        bar.end()
        write_err("stopped; what was pulled is kept, the same command goes on from there")
        return 130
    bar.end()
    write_out(f"{found}\n")
    return 0


class _Bar:
    """Progress of a download on standard error: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._live = is_live(sys.stderr)
        self._last = 0.0

    def __call__(self, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        if now - self._last < (0.1 if self._live else 5.0):
            return
        self._last = now
        share = done / total if total else 0.0
        text = f"{share:4.0%} of {total / 1e6:,.0f} MB  {one_line(note, 60)}"
        if self._live:
            filled = round(share * 24)
            draw(f"[{'#' * filled}{'.' * (24 - filled)}] {text}")
        else:
            write_err(text)

    def end(self) -> None:
        if self._live:
            draw("")


def _where(paths: Paths) -> int:
    from assay.models.local.pinned import QWEN_CODER
    from assay.models.local.store import Store

    store = Store(paths.models)
    found = store.find(QWEN_CODER)
    write_out(f"store     {paths.models}\n")
    write_out(f"model     {LOCAL} ({QWEN_CODER.display}, {QWEN_CODER.licence})\n")
    write_out(f"file      {found or 'not here yet: assay models pull'}\n")
    write_out(f"sha256    {QWEN_CODER.sha256}\n")
    return 0 if found else 1


async def _serve(paths: Paths, parsed: Parsed) -> int:
    from assay.models.local.pinned import QWEN_CODER
    from assay.models.local.server import Endpoint, LocalServer, serve
    from assay.models.local.state import Options
    from assay.models.local.store import Store

    file = parsed.text("file")
    located = await asyncio.to_thread(
        Store(paths.models).locate, Path(file).expanduser().absolute() if file else QWEN_CODER
    )

    def ready(endpoint: Endpoint) -> None:
        write_out(
            f"serving {located.name}\nbase URL  {endpoint.base_url}/v1 (OpenAI), {endpoint.base_url} (Anthropic)\n"
            f"key       {endpoint.api_key}\nCtrl-C stops it\n"
        )

    options = Options(context=parsed.whole("context") or 8_192, port=parsed.whole("port") or 0)
    server = LocalServer(runtime_folder(paths, os.environ), keep=False)
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    import signal

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, lambda: task.cancel() if task else None)
    try:
        await serve(server, located, options, ready)
    except asyncio.CancelledError:
        write_err("stopped")
    return 0


def _stop(paths: Paths) -> int:
    from assay.models.local.server import stop_all

    count = stop_all(runtime_folder(paths, os.environ))
    write_err(f"stopped {count} local model server{'s' if count != 1 else ''}")
    return 0
