"""A program that starts a model server and then waits to be killed: RUNTIME MODEL keep|private COMMAND…"""

import asyncio
import sys
from pathlib import Path

from assay.models.local.server import LocalServer
from assay.models.local.store import user_file


async def run() -> None:
    runtime, model, mode, *command = sys.argv[1:]
    server = LocalServer(Path(runtime), keep=mode == "keep", command=command)
    endpoint = await server.ensure(user_file(Path(model)))
    print(endpoint.pid, flush=True)
    await asyncio.sleep(60)


asyncio.run(run())
