import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import msgspec
import pytest

from assay.models.local import server as server_module
from assay.models.local.errors import RuntimeMissing, ServerFailed
from assay.models.local.machine import physical_cores, process_start, threads
from assay.models.local.server import Endpoint, LocalServer, child_environment, serve, stop_all
from assay.models.local.state import Options, Runtime, State, end, read_state, write_state
from assay.models.local.store import ModelFile, user_file

from .tiny import CONTENT

HERE = Path(__file__).parent
STUB = (sys.executable, "-P", str(HERE / "stub_child.py"))


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "run"
    yield folder
    stop_all(folder)


@pytest.fixture
def model(tmp_path: Path) -> ModelFile:
    return named(tmp_path, "model")


def named(folder: Path, name: str) -> ModelFile:
    path = folder / f"{name}.gguf"
    path.write_bytes(CONTENT)
    return user_file(path)


def local(runtime: Path, *, keep: bool = True, start_seconds: float = 20.0) -> LocalServer:
    return LocalServer(runtime, keep=keep, command=STUB, start_seconds=start_seconds)


async def gone(pid: int, seconds: float = 5.0) -> bool:
    for _ in range(int(seconds / 0.02)):
        if not process_start(pid):
            return True
        await asyncio.sleep(0.02)
    return False


async def get(endpoint: Endpoint, path: str, key: str | None = None) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False, timeout=5) as client:
        return await client.get(
            endpoint.base_url + path, headers={"Authorization": f"Bearer {key or endpoint.api_key}"}
        )


async def test_a_server_is_started_once_and_reused(runtime: Path, model: ModelFile) -> None:
    told: list[str] = []
    mine = local(runtime)
    first = await mine.ensure(model, notify=told.append)
    second = await local(runtime).ensure(model, notify=told.append)
    assert first == second
    assert told == ["starting the local model model"]
    assert (await get(first, "/v1/models")).status_code == 200
    assert (await get(first, "/v1/models", key="guess")).status_code == 401
    await mine.stop()
    assert await gone(first.pid)
    assert [path.name for path in runtime.iterdir()] == ["lock"]


async def test_callers_at_the_same_time_get_the_same_server(runtime: Path, model: ModelFile) -> None:
    endpoints = await asyncio.gather(*(local(runtime).ensure(model) for _ in range(4)))
    assert len({endpoint.pid for endpoint in endpoints}) == 1


async def test_the_key_is_private_and_the_users_keys_stay_outside(
    runtime: Path, model: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:word@127.0.0.1:9")
    endpoint = await local(runtime).ensure(model)
    told = (await get(endpoint, "/env")).json()
    assert not {"OPENAI_API_KEY", "HTTPS_PROXY"} & set(told["environment"])
    assert told["threads"] == threads()
    assert runtime.stat().st_mode & 0o777 == 0o700
    for path in runtime.glob("server-*"):
        assert path.stat().st_mode & 0o077 == 0
    if sys.platform == "linux":
        for file in ("cmdline", "environ"):
            assert endpoint.api_key.encode() not in Path(f"/proc/{endpoint.pid}/{file}").read_bytes()


def test_the_module_path_of_a_server_is_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "here"]))
    for entry in child_environment()["PYTHONPATH"].split(os.pathsep):
        assert Path(entry).is_absolute()


async def test_a_server_ends_when_idle_but_not_before(runtime: Path, model: ModelFile) -> None:
    mine = local(runtime)
    endpoint = await mine.ensure(model, Options(idle_seconds=2.5))
    for _ in range(8):
        await asyncio.sleep(0.4)  # together longer than it may idle
        assert (await get(endpoint, "/work")).status_code == 200
    assert await gone(endpoint.pid)
    assert [path.name for path in runtime.iterdir()] == ["lock"]
    again = await mine.ensure(model)
    assert again.pid != endpoint.pid


async def test_looking_a_server_up_keeps_it(runtime: Path, model: ModelFile) -> None:
    mine = local(runtime)
    endpoint = await mine.ensure(model, Options(idle_seconds=2.5))
    for _ in range(8):
        await asyncio.sleep(0.4)  # together longer than it may idle
        assert await mine.ensure(model) == endpoint


async def test_a_server_that_nobody_can_find_ends(runtime: Path, model: ModelFile) -> None:
    endpoint = await local(runtime).ensure(model, Options(idle_seconds=2))
    for path in runtime.glob("server-*.json"):
        path.unlink()
    assert await gone(endpoint.pid)


@pytest.mark.parametrize("mode", ["keep", "private"])
async def test_when_the_parent_is_killed(runtime: Path, model: ModelFile, mode: str) -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", str(HERE / "stub_parent.py"), str(runtime), model.path, mode, *STUB),
        stdout=asyncio.subprocess.PIPE,
        env=child_environment(),
    )
    assert parent.stdout is not None
    async with asyncio.timeout(20):
        pid = int(await parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    if mode == "private":
        assert await gone(pid)
    else:
        assert (await local(runtime).ensure(model)).pid == pid


async def test_a_private_server_is_its_owners_only(runtime: Path, model: ModelFile) -> None:
    async with local(runtime, keep=False) as mine:
        private = await mine.ensure(model)
        assert await mine.ensure(model) == private
        shared = await local(runtime).ensure(model)
        assert shared.pid != private.pid
        other = await mine.ensure(model, Options(parallel=9))
        assert await gone(private.pid)
    assert await gone(other.pid)
    assert process_start(shared.pid)


async def test_a_server_serves_callers_who_ask_for_no_more_than_it_has(
    runtime: Path, model: ModelFile, tmp_path: Path
) -> None:
    first = await local(runtime).ensure(model, Options(context=4_096, parallel=2))
    assert (await local(runtime).ensure(model, Options(context=2_048, parallel=1))).pid == first.pid
    assert (await local(runtime).ensure(model, Options(context=8_192, parallel=1))).pid != first.pid
    assert (await local(runtime).ensure(named(tmp_path, "other"), Options(context=1_024))).pid != first.pid
    assert stop_all(runtime) == 3


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(
    ("name", "reason"), [("fail", "unknown architecture 'stub'"), ("crash", "segmentation fault of a kind")]
)
async def test_a_failed_start_shows_the_end_of_the_log(
    runtime: Path, tmp_path: Path, keep: bool, name: str, reason: str
) -> None:
    with pytest.raises(ServerFailed, match=reason) as caught:
        await local(runtime, keep=keep).ensure(named(tmp_path, name))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4
    assert [path.name for path in runtime.iterdir()] == ["lock"]


@pytest.mark.parametrize("keep", [True, False])
async def test_a_start_has_a_time_limit_and_leaves_nothing(runtime: Path, tmp_path: Path, keep: bool) -> None:
    started = asyncio.create_task(watch_pid(runtime))
    with pytest.raises(ServerFailed, match="did not start within 2 s"):
        await local(runtime, keep=keep, start_seconds=2).ensure(named(tmp_path, "slow"))
    assert await gone(await started)
    assert [path.name for path in runtime.iterdir()] == ["lock"]


async def test_a_cancelled_start_leaves_nothing(runtime: Path, tmp_path: Path) -> None:
    task = asyncio.create_task(local(runtime).ensure(named(tmp_path, "slow")))
    pid = await watch_pid(runtime)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(pid)
    assert [path.name for path in runtime.iterdir()] == ["lock"]


async def watch_pid(runtime: Path) -> int:
    async with asyncio.timeout(10):
        while True:
            for path in runtime.glob("server-*.json"):
                if (state := read_state(path)) is not None:
                    return state.pid
            await asyncio.sleep(0.02)


async def test_a_program_that_cannot_be_started_is_told(runtime: Path, model: ModelFile) -> None:
    with pytest.raises(ServerFailed, match="can't be started: No such file"):
        await LocalServer(runtime, command=["/nowhere/at/all"]).ensure(model)


async def test_another_process_with_a_recycled_number_is_left_alone(runtime: Path, model: ModelFile) -> None:
    bystander = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(60)")
    try:
        Runtime(runtime).prepare()
        stale = State(1, bystander.pid, "long ago", "http://127.0.0.1:9", "k", model.identity, Options(), True)
        path = runtime / "server-stale.json"
        write_state(path, stale)
        end(path, stale)
        assert not path.exists()
        write_state(path, stale)
        assert (await local(runtime).ensure(model)).pid != bystander.pid
        assert not path.exists()
        assert bystander.returncode is None and process_start(bystander.pid)
    finally:
        bystander.kill()
        await bystander.wait()


async def test_a_server_that_no_longer_answers_is_replaced(
    runtime: Path, model: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "ANSWER", 2.0)
    first = await local(runtime).ensure(model)
    os.kill(first.pid, signal.SIGSTOP)
    second = await local(runtime).ensure(model)
    assert second.pid != first.pid
    assert not process_start(first.pid)


@pytest.mark.parametrize("junk", [b"", b"{}", b'{"schema": 1', b"\xff"])
async def test_a_damaged_state_file_is_cleared_away(runtime: Path, model: ModelFile, junk: bytes) -> None:
    Runtime(runtime).prepare()
    (runtime / "server-x.json").write_bytes(junk)
    assert Runtime(runtime).states() == []
    assert list(runtime.iterdir()) == []


async def test_one_lease_at_a_time(runtime: Path, model: ModelFile) -> None:
    first, second = local(runtime), local(runtime)
    with pytest.raises(ServerFailed, match="ensure one first"):
        async with first.lease():
            pass
    await first.ensure(model)
    await second.ensure(model)
    async with first.lease():
        with pytest.raises(ServerFailed, match="busy"):
            async with second.lease(wait=0.1):
                pass
    async with second.lease(wait=0.1):
        pass


async def test_serve_shares_its_server_until_it_is_cancelled(runtime: Path, model: ModelFile) -> None:
    ready = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(local(runtime, keep=False), model, Options(), ready.set_result))
    async with asyncio.timeout(20):
        endpoint: Endpoint = await ready
    assert await local(runtime).ensure(model) == endpoint
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not process_start(endpoint.pid)


async def test_serve_tells_when_its_server_dies(runtime: Path, model: ModelFile) -> None:
    def kill(endpoint: Endpoint) -> None:
        os.kill(endpoint.pid, signal.SIGKILL)

    with pytest.raises(ServerFailed, match="the local model server ended"):
        await serve(local(runtime, keep=False), model, Options(), kill)


async def test_without_the_runtime_the_extra_is_named(
    runtime: Path, model: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(RuntimeMissing, match=r"pip install 'assay\[local\]'") as caught:
        await LocalServer(runtime).ensure(model)
    assert caught.value.exit_code == 2


def test_a_runtime_folder_of_someone_else_is_refused(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1_234_567)
    with pytest.raises(ServerFailed, match="belongs to another user"):
        Runtime(runtime).prepare()


def test_what_the_machine_tells() -> None:
    assert 1 <= threads() <= physical_cores() <= (os.cpu_count() or 1)
    assert process_start(os.getpid()) == process_start(os.getpid()) != ""
    assert process_start(2**22 + 1) == ""


def test_a_state_file_keeps_its_shape() -> None:
    """The golden form of version 1: a newer program must still find and end an older one's server."""
    golden = (
        b'{"schema":1,"pid":7,"started":"99","base_url":"http://127.0.0.1:1","api_key":"k","identity":"i","options":'
        b'{"context":8192,"parallel":4,"threads":1,"idle_seconds":600.0,"port":0},"shared":true,"later":1}'
    )
    state = msgspec.json.decode(golden, type=State)
    assert (state.pid, state.options.threads, state.shared) == (7, 1, True)
