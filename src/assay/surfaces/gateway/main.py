"""`assay models gateway`: serve the configured models to other programs of this user."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, json

from assay.app.config import Settings, load_settings, parse_sources
from assay.app.flags import Flag, describe, parse
from assay.app.model import LOCAL, catalog_of, open_model
from assay.app.paths import Paths, find_paths
from assay.core.clock import SystemClock
from assay.core.errors import AssayError, StorageError, UsageError
from assay.core.model import Model

if TYPE_CHECKING:
    import socket

    from assay.surfaces.gateway.service import Gateway

FLAGS = (
    Flag("--port", "int", "the port on this machine (default: any free one)", value="N"),
    Flag("--model", "repeat", "offer only these; the first answers to any other name, too", value="MODEL"),
    Flag("--key", "repeat", "a token for a client of this name, told apart in the ledger", value="NAME"),
    Flag("--base-url", "text", "a server that speaks a known dialect, for --model", value="URL"),
    Flag("--api-key-env", "text", "the variable that holds the key for --base-url", value="NAME"),
    Flag("--dialect", "text", "the dialect of --base-url", value="NAME"),
    Flag("--help", "switch", "print this", "-h"),
)
USAGE = "usage: assay models gateway [--port N] [--model MODEL]... [--key NAME]...\n"


class Wanted(Struct, frozen=True):
    """Implements `app.model.ModelWish`."""

    environ: dict[str, str]
    base_url: str | None = None
    api_key_env: str | None = None
    dialect: str | None = None
    fallback: tuple[str, ...] = ()


def run(arguments: list[str]) -> int:
    """Carry out `assay models gateway ...`; returns the exit code."""
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return 130
    except AssayError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code


def _run(arguments: list[str]) -> int:
    parsed = parse(arguments, FLAGS)
    if parsed.on("help"):
        sys.stdout.write(f"{USAGE}\n{describe(FLAGS)}\n")
        return 0
    if parsed.words:
        raise UsageError(f"assay models gateway takes no '{parsed.words[0]}'")
    try:
        import uvicorn
    except ImportError:
        raise UsageError("the gateway needs a web server: pip install 'assay[gateway]'") from None
    environ = dict(os.environ)
    wanted = Wanted(environ, parsed.text("base_url"), parsed.text("api_key_env"), parsed.text("dialect"))
    offered = parsed.many("model")
    if wanted.base_url and not offered:
        raise UsageError("--base-url needs --model: the name of a model on that server")
    paths = find_paths(environ)
    settings, notices = load_settings(paths.settings, Path.cwd(), parse_sources("user"))
    for notice in notices:
        sys.stderr.write(f"! {notice}\n")
    keys = {secrets.token_urlsafe(32): name for name in parsed.many("key") or ["default"]}
    gateway = make_gateway(wanted, settings, paths, offered, keys)
    listening = _socket(parsed.whole("port") or 0)
    port = int(listening.getsockname()[1])
    file = _write_tokens(paths.state / "gateway" / f"{port}.json", port, keys)
    try:
        _tell(port, file, keys)
        config = uvicorn.Config(
            gateway,
            log_level="error",
            access_log=False,
            lifespan="off",
            ws="none",
            http="h11",
            server_header=False,
            limit_concurrency=256,
            timeout_graceful_shutdown=5,
        )
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        file.unlink(missing_ok=True)
        listening.close()
    return 0


def make_gateway(
    wanted: Wanted, settings: Settings, paths: Paths, offered: list[str], keys: Mapping[str, str]
) -> Gateway:
    """The application, over the models that settings and the environment know. Raises `AssayError` for a name in
    `offered` that can't be had."""
    from assay.surfaces.gateway.pool import Pool
    from assay.surfaces.gateway.service import Gateway

    catalog, clock = catalog_of(settings), SystemClock()

    def open_(name: str) -> Model:
        return open_model(name, wanted, settings, paths, clock, [])

    def names() -> list[str]:
        if offered:
            return offered
        ready = {
            provider
            for provider, entry in catalog.providers.items()
            if provider != "local" and entry.models and any(wanted.environ.get(key.name) for key in entry.keys)
        }
        found = [f"{provider}/{model}" for provider in sorted(ready) for model in catalog.providers[provider].models]
        return [*found, LOCAL]

    for name in offered:
        open_(name)  # a name or a key that is wrong is better told now
    return Gateway(Pool(open_, offered), keys, names)


def _socket(port: int) -> socket.socket:
    import socket

    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise UsageError(f"--port: {port} on this machine can't be used ({error.strerror})") from error
    return listening


def _write_tokens(file: Path, port: int, keys: Mapping[str, str]) -> Path:
    """Where programs of this user find the tokens; nobody else can read it."""
    told = {"url": f"http://127.0.0.1:{port}", "pid": os.getpid(), "keys": {name: key for key, name in keys.items()}}
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.unlink(missing_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(json.encode(told) + b"\n")
    except OSError as error:
        raise StorageError(f"can't write {file}: {error.strerror}") from error
    return file


def _tell(port: int, file: Path, keys: Mapping[str, str]) -> None:
    url = f"http://127.0.0.1:{port}"
    lines = [f"Anthropic  {url} (ANTHROPIC_BASE_URL)", f"OpenAI     {url}/v1 (OPENAI_BASE_URL)"]
    lines += [f"token      {key}{f'  ({name})' if len(keys) > 1 else ''}" for key, name in keys.items()]
    lines += [f"file       {file}", f"ledger     {url}/ledger", "Ctrl-C stops it"]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
