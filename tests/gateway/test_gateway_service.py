"""Who may come in, what is refused, and what is counted."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from assay.surfaces.gateway.service import BODY
from assay.testing.server import Reply, serve_in_thread

from .conftest import TOKEN, Running, running

HEAD = {"authorization": f"Bearer {TOKEN}"}
CHAT = {"model": "any", "messages": [{"role": "user", "content": "hi"}]}


async def post(gateway: Running, path: str, body: object = CHAT, **headers: str) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=20) as client:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await client.post(f"{gateway.url}{path}", content=data, headers={**HEAD, **headers})


async def test_only_who_has_a_token_comes_in(tmp_path: Path) -> None:
    async with running(tmp_path, [Reply("hi")], "anthropic") as gateway:
        for headers in ({"authorization": "Bearer wrong"}, {"authorization": ""}, {"x-api-key": "wrong"}):
            for path in ("/v1/chat/completions", "/v1/messages", "/ledger"):
                found = await post(gateway, path, **headers)
                assert found.status_code == 401
        assert found.json()["error"]["message"].startswith("the token is missing")
        assert gateway.upstream.requests == []
        assert (await post(gateway, "/v1/messages", **{"authorization": "", "x-api-key": TOKEN})).status_code == 200


async def test_other_names_and_web_pages_are_turned_away(tmp_path: Path) -> None:
    async with running(tmp_path, [Reply("hi")] * 2, "anthropic") as gateway:
        port = gateway.url.rpartition(":")[2]
        for name in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1.nip.io:{port}"):
            assert (await post(gateway, "/v1/chat/completions", host=name)).status_code == 403
        assert (await post(gateway, "/v1/chat/completions", origin="https://evil.example")).status_code == 403
        assert gateway.upstream.requests == []
        assert (await post(gateway, "/v1/chat/completions", host=f"localhost:{port}")).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/messages", b"{", 400, "not JSON"),
        ("/v1/messages", b"[]", 400, "not a JSON object"),
        ("/v1/messages", {"model": "any"}, 400, "messages"),
        ("/v1/messages", {"messages": CHAT["messages"]}, 400, "model"),
        ("/v1/messages", {**CHAT, "max_tokens": -1}, 400, "max_tokens"),
        ("/v1/messages", {**CHAT, "tool_choice": {"type": "any"}}, 400, "tool_choice"),
        ("/v1/messages", {**CHAT, "messages": [{"role": "robot", "content": "x"}]}, 400, "role"),
        ("/v1/messages", {**CHAT, "messages": [{"role": "user", "content": [{"type": "document"}]}]}, 400, "document"),
        ("/v1/chat/completions", {**CHAT, "n": 2}, 400, "n: one"),
        ("/v1/chat/completions", {**CHAT, "temperature": "hot"}, 400, "temperature"),
        (
            "/v1/chat/completions",
            {
                **CHAT,
                "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}],
            },
            400,
            "fetches nothing",
        ),
        ("/v1/responses", {"model": "any", "input": "hi", "previous_response_id": "r"}, 400, "nothing is kept"),
        ("/v1/responses", {"model": "any", "input": [{"type": "item_reference", "id": "x"}]}, 400, "item_reference"),
        ("/v1/embeddings", CHAT, 404, "there is no"),
        ("/ledger", CHAT, 405, "POST"),
    ],
)
async def test_nonsense_is_refused_in_the_words_of_the_interface(tmp_path, path, body, status, words) -> None:
    async with running(tmp_path, [Reply("hi")], "anthropic") as gateway:
        found = await post(gateway, path, body)
        assert (found.status_code, words in found.text) == (status, True), found.text
        error = found.json()["error"]
        assert error["message"]
        assert gateway.upstream.requests == []


async def test_a_body_that_is_too_large(tmp_path: Path) -> None:
    async with running(tmp_path, [Reply("hi")], "anthropic") as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
        host = gateway.url.partition("//")[2]
        head = f"POST /v1/messages HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n"
        writer.write(f"{head}Content-Length: {BODY + 10}\r\n\r\n".encode())
        chunk = b"x" * 1_000_000
        async with asyncio.timeout(20):
            try:
                for _ in range(BODY // len(chunk) + 1):
                    writer.write(chunk)
                    await writer.drain()
            except ConnectionError:
                pass
            assert b" 413 " in await reader.readline()
        writer.close()


async def test_models_and_tokens(tmp_path: Path) -> None:
    async with running(tmp_path, [Reply("hi")], "anthropic") as gateway, httpx2.AsyncClient(timeout=20) as client:
        listed = (await client.get(f"{gateway.url}/v1/models", headers=HEAD)).json()
        assert [each["id"] for each in listed["data"]] == ["any"]
        assert (await client.get(f"{gateway.url}/v1/models/any", headers=HEAD)).json()["object"] == "model"
        assert (await client.get(f"{gateway.url}/v1/models/nope", headers=HEAD)).status_code == 404
        short = (await post(gateway, "/v1/messages/count_tokens")).json()["input_tokens"]
        long = {**CHAT, "messages": [{"role": "user", "content": "word " * 1000}]}
        more = (await post(gateway, "/v1/messages/count_tokens", long)).json()["input_tokens"]
        assert 0 < short < 50 < 1000 < more < 3000
        assert gateway.upstream.requests == []


async def test_other_names_are_answered_by_the_offered_model(tmp_path: Path) -> None:
    async with running(tmp_path, [Reply("hi")], "anthropic") as gateway:
        found = (await post(gateway, "/v1/messages", {**CHAT, "model": "claude-next"})).json()
        assert found["model"] == "any"


async def test_the_ledger_tells_clients_apart(tmp_path: Path) -> None:
    async with running(tmp_path, [Reply("hi")] * 3, "anthropic") as gateway, httpx2.AsyncClient(timeout=20) as client:
        await post(gateway, "/v1/messages")
        await post(gateway, "/v1/responses", {"model": "any", "input": "hi"})
        await post(gateway, "/v1/chat/completions", authorization="Bearer other-token")
        told = (await client.get(f"{gateway.url}/ledger", headers=HEAD)).json()
        assert [(row["key"], row["requests"]) for row in told["rows"]] == [("default", 2), ("other", 1)]
        assert told["total"]["requests"] == 3
        assert told["total"]["output"] > 0
        assert TOKEN not in json.dumps(told)


async def test_a_client_that_leaves_takes_the_request_along(tmp_path: Path) -> None:
    for stream in (False, True):
        async with running(tmp_path, lambda seen: Reply("word " * 500, delay=0.2, pace=0.2), "anthropic") as gateway:
            body = {**CHAT, "stream": stream, "max_tokens": 100}
            asking = asyncio.create_task(post(gateway, "/v1/messages", body))
            async with asyncio.timeout(20):
                while not gateway.upstream.requests:
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.3)
                asking.cancel()
                async with httpx2.AsyncClient(timeout=20) as client:
                    while True:
                        rows = (await client.get(f"{gateway.url}/ledger", headers=HEAD)).json()["rows"]
                        if rows and rows[0]["cancelled"]:
                            break
                        await asyncio.sleep(0.05)


def test_the_command_prints_a_token_and_takes_its_file_along(tmp_path: Path) -> None:
    with serve_in_thread([Reply("hello there")]) as upstream:
        source = str(Path(__file__).parents[2] / "src")
        environment = {**os.environ, "PYTHONPATH": source, "ASSAY_HOME": str(tmp_path)}
        command = [
            sys.executable,
            "-m",
            "assay",
            "models",
            "gateway",
            "--model",
            "any",
            "--base-url",
            f"{upstream.url}/v1",
        ]
        process = subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True)
        try:
            told: dict[str, str] = {}
            while "Ctrl-C" not in (line := process.stdout.readline()):
                assert line, process.stderr.read()
                name, _, value = line.strip().partition("  ")
                told[name] = value.strip()
            file = Path(told["file"])
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            url = told["Anthropic"].split()[0]
            kept = json.loads(file.read_text())
            assert (kept["url"], kept["keys"]["default"]) == (url, told["token"])
            found = httpx2.post(f"{url}/v1/messages", json=CHAT, headers={"x-api-key": told["token"]}, timeout=20)
            assert found.json()["content"][0]["text"] == "hello there"
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
            assert not file.exists()
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--base-url", "http://127.0.0.1:1"], "--base-url needs --model"),
        (["--model", "nope"], "unknown model"),
        (["what"], "takes no 'what'"),
        (["--port"], "needs a value"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: list[str], words: str) -> None:
    source = str(Path(__file__).parents[2] / "src")
    environment = {**os.environ, "PYTHONPATH": source, "ASSAY_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "assay", "models", "gateway", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
