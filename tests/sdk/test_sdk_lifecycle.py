"""Every way in which a program can let go of an agent has a bounded end, and leaves no process behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from assay import AssistantMessage, Bridge, Client, Options, ResultMessage, UserMessage, query, run_sync, tool
from assay.core.errors import UsageError
from assay.testing.server import Call, Reply

from .conftest import Place, all_of

BOUND = 90
"""Seconds for anything."""


def sleeping(place: Place, marker: str) -> Options:
    """A task whose command runs for an hour; it can be found by `marker`."""
    line = f"touch started; sleep 3600.{marker}"
    return place.options([Reply(calls=(Call("@shell", {"command": line}),)), Reply("Done.")])


async def started(place: Place) -> None:
    async with asyncio.timeout(BOUND):
        while not (place.project / "started").exists():
            await asyncio.sleep(0.02)


def running(marker: str) -> bool:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if f"sleep\x003600.{marker}".encode() in (entry / "cmdline").read_bytes():
                    return True
            except OSError:
                continue
    return False


async def gone(marker: str) -> None:
    async with asyncio.timeout(BOUND):
        while running(marker):
            await asyncio.sleep(0.05)


async def test_interrupting_ends_the_turn_and_the_session_goes_on(place: Place) -> None:
    async with asyncio.timeout(BOUND), Client(sleeping(place, "101")) as client:
        await client.interrupt()  # nothing is under way: nothing happens
        await client.query("run")
        receiving = asyncio.create_task(all_of(client.receive_response()))
        await started(place)
        while not running("101"):
            await asyncio.sleep(0.02)
        await client.interrupt()
        result = (await receiving)[-1]
        assert result.outcome == "interrupted"
        await gone("101")
        await client.query("and now?")
        assert (await all_of(client.receive_response()))[-1].result == "Done."


async def test_leaving_the_loop_early_ends_the_turn(place: Place) -> None:
    async with asyncio.timeout(BOUND):
        async with aclosing(query(prompt="run", options=sleeping(place, "102"))) as messages:
            async for message in messages:
                if isinstance(message, AssistantMessage):
                    await started(place)
                    break
        await gone("102")


async def test_cancelling_whoever_iterates_ends_the_turn(place: Place) -> None:
    async with asyncio.timeout(BOUND):
        task = asyncio.create_task(all_of(query(prompt="run", options=sleeping(place, "103"))))
        await started(place)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gone("103")


async def test_disconnecting_in_the_middle(place: Place) -> None:
    async with asyncio.timeout(BOUND):
        client = Client(sleeping(place, "104"))
        await client.connect()
        await client.query("run")
        await started(place)
        await client.disconnect()
        await client.disconnect()
        await gone("104")
        with pytest.raises(UsageError, match="not connected"):
            await client.query("again")


async def test_connecting_can_be_cancelled(place: Place) -> None:
    options = place.options([Reply("hi")])
    for _ in range(3):
        client = Client(options)
        connecting = asyncio.create_task(client.connect())
        await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
    async with asyncio.timeout(BOUND), Client(options) as client:
        await client.query("hi")
        assert (await all_of(client.receive_response()))[-1].result == "hi"


async def test_an_exception_of_the_program_while_it_reads(place: Place) -> None:
    async with asyncio.timeout(BOUND):
        with pytest.raises(ZeroDivisionError):
            async with aclosing(query(prompt="run", options=sleeping(place, "105"))) as messages:
                async for _ in messages:
                    raise ZeroDivisionError
        await gone("105")


async def test_a_tool_that_raises_anything_is_a_result(place: Place) -> None:
    @tool(read_only=True)
    async def odd() -> None:
        """Odd."""
        raise AssertionError("unexpected")

    options = place.options([Reply(calls=(Call("odd", {}),)), Reply("Done.")], tools=[odd])
    seen = await all_of(query(prompt="go", options=options))
    (block,) = [block for message in seen if isinstance(message, UserMessage) for block in message.content]
    assert block.is_error
    assert "AssertionError: unexpected" in str(block.content)
    assert seen[-1].outcome == "answered"


def test_without_a_loop(place: Place) -> None:
    seen: list[object] = []
    result = run_sync("hi", place.options([Reply("hello")]), on_message=seen.append)
    assert (result.result, seen[-1]) == ("hello", result)
    result = run_sync("hi", model="any", base_url=f"{place.server.url}/v1", directory=place.project)
    assert result.outcome == "answered"
    with pytest.raises(UsageError, match="nope"):
        run_sync("hi", model="nope", directory=place.project)
    with pytest.raises(TypeError):
        run_sync("hi", wrong=1)


async def test_within_a_loop_that_runs_already(place: Place) -> None:
    assert run_sync("hi", place.options([Reply("hello")])).result == "hello"


def test_a_conversation_without_a_loop(place: Place) -> None:
    with Bridge() as wait:
        client = Client(place.options([Reply("one"), Reply("two")]))
        wait(client.connect())
        wait(client.query("first"))
        first = [*wait.each(client.receive_response())][-1]
        assert isinstance(first, ResultMessage)
        wait(client.query("then"))
        for message in wait.each(client.receive_response()):
            if isinstance(message, ResultMessage):
                assert message.result == "two"
        wait(client.disconnect())
        with pytest.raises(UsageError):
            wait(client.query("late"))
    with pytest.raises(UsageError, match="bridge is not open"):
        wait(asyncio.sleep(0))


def program(place: Place, body: str, marker: str) -> subprocess.Popen[bytes]:
    """A program of its own, started on a task whose command runs for an hour."""
    options = sleeping(place, marker)
    text = (
        "import asyncio, os, signal, sys, time, pathlib, assay\n"
        f"options = assay.Options(model='any', base_url={options.base_url!r}, directory={str(place.project)!r})\n"
        f"started = pathlib.Path({str(place.project / 'started')!r})\n" + textwrap.dedent(body)
    )
    source = str(Path(__file__).parents[2] / "src")
    environment = {**os.environ, "PYTHONPATH": source, "ASSAY_HOME": str(place.home)}
    return subprocess.Popen([sys.executable, "-c", text], env=environment, stdout=-1, stderr=-1)


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=BOUND)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.returncode, out.decode(), err.decode()


def wait_started(place: Place) -> None:
    limit = time.monotonic() + BOUND
    while not (place.project / "started").exists():
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_ctrl_c_ends_the_turn_in_order(place: Place) -> None:
    process = program(
        place,
        """
        # Whoever runs the tests in the background of a shell has them, and us, ignore Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            assay.run_sync("run", options)
        except KeyboardInterrupt:
            print("interrupted")
        """,
        "106",
    )
    wait_started(place)
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert (code, out.strip()) == (0, "interrupted"), err
    assert not running("106")
    from assay import list_sessions

    assert [each.outcome for each in list_sessions(str(place.project))] == ["interrupted"]


def test_a_loop_that_is_closed_early_leaves_nothing(place: Place) -> None:
    process = program(
        place,
        """
        async def work():
            async for message in assay.query(prompt="run", options=options):
                pass

        async def until_started():
            while not started.exists():
                await asyncio.sleep(0.02)

        loop = asyncio.new_event_loop()
        task = loop.create_task(work())
        loop.run_until_complete(until_started())
        loop.close()
        del task, loop
        import gc
        gc.collect()
        for _ in range(300):
            if not os.popen("pgrep -f 'sleep 3600[.]107'").read():
                break
            time.sleep(0.05)
        else:
            print("still there")
        print("end")
        """,
        "107",
    )
    code, out, err = ended(process)
    assert (code, out.strip()) == (0, "end"), err
    assert not running("107")


def test_a_fork_takes_nothing_from_its_parent(place: Place) -> None:
    process = program(
        place,
        """
        async def work():
            async with assay.Client(options) as client:
                await client.query("run")
                while not started.exists():
                    await asyncio.sleep(0.02)
                child = os.fork()
                if not child:
                    code = 1
                    try:
                        client.session_id
                    except assay.AssayError as error:
                        code = 0 if "belongs to process" in str(error) else 2
                    os._exit(code)
                print("child", os.waitpid(child, 0)[1])
                await client.interrupt()
                async for message in client.receive_response():
                    pass
                print(message.outcome)

        asyncio.run(work())
        """,
        "108",
    )
    code, out, err = ended(process)
    assert (code, out.split()) == (0, ["child", "0", "interrupted"]), err
    assert not running("108")
