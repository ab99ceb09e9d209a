"""Which reply a request gets."""

import pytest
from tests.testing_server.client import PATHS, answered, ask, read, request_body, said, send

from assay.testing.server import (
    Call,
    Fault,
    Match,
    Reply,
    Rule,
    Script,
    ScriptedServer,
    ScriptError,
    Thinking,
    parse_fault,
    parse_script,
    serve_in_thread,
)

DIALECTS = list(PATHS)
BASH = (Call("bash", {"command": "ls"}),)
STEPS = [Reply("one", calls=BASH), Reply(calls=BASH * 2), Reply("three", calls=BASH), Reply("four")]


async def conversation(url: str, dialect: str, prompt: str, count: int) -> list[str]:
    """Runs a conversation for some requests; each reply as its text and number of calls."""
    heard, history = [], []
    for _ in range(count):
        got = await ask(url, dialect, prompt=prompt, history=history)
        text, calls = said(dialect, got)
        heard.append(f"{text}/{len(calls)}")
        history += answered(dialect, got)
    return heard


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_each_conversation_has_its_own_place(dialect):
    async with ScriptedServer(STEPS) as server:
        assert await conversation(server.url, dialect, "a", 2) == ["one/1", "/2"]
        assert await conversation(server.url, dialect, "a", 4) == ["one/1", "/2", "three/1", "four/0"]
        assert await conversation(server.url, dialect, "b", 1) == ["one/1"]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_request_sent_again_gets_the_same_reply(dialect):
    async with ScriptedServer(STEPS) as server:
        first = await ask(server.url, dialect)
        history = answered(dialect, first)
        again = [said(dialect, await ask(server.url, dialect, history=history))[1] for _ in range(3)]
        assert [len(calls) for calls in again] == [2, 2, 2]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("fault", ["unknown_tool", "extra_fields", "parallel", "empty", "only_reasoning"])
async def test_a_spoiled_reply_in_the_history_is_no_step(dialect, fault):
    async with ScriptedServer(STEPS, [Fault(fault, size=3, after=1)]) as server:
        heard = await conversation(server.url, dialect, "a", 4)
        assert heard[0] == "one/1"
        assert heard[2:] == ["/2", "three/1"] if fault not in ("empty", "only_reasoning") else heard[2] == "/2"


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_text_alone_counts_as_a_step(dialect):
    async with ScriptedServer([Reply("a"), Reply("b"), Reply("c", calls=BASH), Reply("d")]) as server:
        assert await conversation(server.url, dialect, "x", 4) == ["a/0", "b/0", "c/1", "d/0"]


async def test_order_by_request_counts_what_has_arrived():
    script = Script(replies=(Reply("a"), Reply("b"), Reply("c")), order="request", faults=(Fault("reset", after=1),))
    async with ScriptedServer(script) as server:
        heard = [said("anthropic", await ask(server.url, "anthropic"))[0] for _ in range(4)]
        assert heard == ["a", "", "b", "c"]


async def test_a_reply_that_the_client_left_does_not_count():
    script = Script(replies=(Reply("a" * 900, pace=0.05), Reply("b")), order="request")
    async with ScriptedServer(script) as server:
        reader, writer = await send(server.url, "anthropic", request_body("anthropic"))
        await reader.readuntil(b"text_delta")
        writer.close()
        await server.settled(1)
        reader, writer = await send(server.url, "anthropic", request_body("anthropic"))
        assert b'"text":"aaa' in await reader.readuntil(b"text_delta") + await reader.readuntil(b"\n\n")
        writer.close()


@pytest.mark.parametrize(
    ("after", "heard"),
    [("repeat", ["a", "b", "b", "b", "b"]), ("loop", ["a", "b", "a", "b", "a"]), ("error", ["a", "b"])],
)
async def test_after_the_last_reply(after, heard):
    script = Script(replies=(Reply("a"), Reply("b")), order="request", after=after)
    async with ScriptedServer(script) as server:
        got = [await ask(server.url, "openai-chat") for _ in range(5)]
        assert [said("openai-chat", one)[0] for one in got if one.status == 200] == heard
        if after == "error":
            assert "2 replies" in got[-1].json["error"]["message"]
            assert len(server.errors) == 3


async def test_rules_go_before_the_order_and_are_no_step():
    rules = (
        Rule(Match(tools=False), Reply("a title")),
        Rule(Match(last="please summarise", dialect="anthropic"), Reply("a summary")),
        Rule(Match(model="other"), Reply("other")),
        Rule(Match(tool="bash", turn=1, text="sesame", path="/messages"), Reply("open", calls=BASH)),
    )
    async with ScriptedServer(Script(replies=tuple(STEPS), rules=rules)) as server:
        title = await ask(server.url, "anthropic", tools=False)
        summary = await ask(server.url, "anthropic", prompt="please summarise")
        other = await ask(server.url, "anthropic", {**request_body("anthropic"), "model": "other"})
        assert [said("anthropic", got)[0] for got in (title, summary, other)] == ["a title", "a summary", "other"]
        first = await ask(server.url, "anthropic", prompt="sesame")
        history = answered("anthropic", first)
        second = await ask(server.url, "anthropic", prompt="sesame", history=history)
        assert said("anthropic", second)[0] == "open"
        third = await ask(server.url, "anthropic", prompt="sesame", history=history + answered("anthropic", second))
        assert len(said("anthropic", third)[1]) == 2


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_function_sees_the_request(dialect):
    seen_last = []

    def reply(seen):
        seen_last.append(seen.last)
        assert seen.model == "model-1"
        assert [tool.name for tool in seen.tools] == ["bash"]
        assert seen.tools[0].schema["required"] == ["command"]
        return Reply("done") if seen.last.results else Reply(calls=BASH)

    async with ScriptedServer(reply) as server:
        got = await ask(server.url, dialect, prompt="say")
        await ask(server.url, dialect, prompt="say", history=answered(dialect, got, output="it works"))
        assert server.errors == []
        assert seen_last[0].text == "say"
        assert seen_last[1].results[0].text == "it works"
        history = server.requests[1].history
        assert [turn.role for turn in history] == ["user", "assistant", "user"]
        assert history[1].calls[0].arguments == '{"command":"ls"}'


async def test_a_function_that_fails_is_told_to_client_and_test():
    async with ScriptedServer(lambda seen: Reply("x" if seen.index else {}["missing"])) as server:
        got = await ask(server.url, "anthropic")
        assert got.status == 400
        assert "KeyError" in got.json["error"]["message"]
        assert server.errors == ["KeyError: 'missing'"]
        assert (await ask(server.url, "anthropic")).status == 200


async def test_one_reply_is_said_for_ever_and_connections_are_kept():
    async with ScriptedServer(Reply("hi")) as server:
        reader, writer = await send(server.url, "anthropic", request_body("anthropic"))
        for _ in range(3):
            assert said("anthropic", await read(reader))[0] == "hi"
            data = b'{"stream":true,"messages":[{"role":"user","content":"x"}]}'
            writer.write(b"POST /v1/messages HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s" % (len(data), data))
        assert said("anthropic", await read(reader))[0] == "hi"
        writer.close()


async def test_requests_sent_ahead_are_answered_in_order():
    async with ScriptedServer(Script(replies=(Reply("a", delay=0.05), Reply("b")), order="request")) as server:
        data = b'{"stream":true,"messages":[]}'
        one = b"POST /v1/messages HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s" % (len(data), data)
        reader, writer = await send(server.url, "anthropic", request_body("anthropic"))
        writer.write(one)
        assert [said("anthropic", await read(reader))[0] for _ in range(2)] == ["a", "b"]
        writer.close()


async def test_a_chunked_request_with_expect_is_read():
    async with ScriptedServer(Reply("ok")) as server:
        reader, writer = await send(
            server.url, "anthropic", b"", "transfer-encoding: chunked\r\nexpect: 100-continue\r\n"
        )
        assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b'5\r\n{"str\r\n9\r\neam":true\r\n1\r\n}\r\n0\r\n\r\n')
        assert said("anthropic", await read(reader))[0] == "ok"
        writer.close()


@pytest.mark.parametrize(
    ("body", "message"), [(b"{no", "not JSON"), (b"[1]", "not a JSON object"), (b"\xff", "not JSON"), (b"", "not JSON")]
)
async def test_a_bad_body_is_refused_in_the_vendor_s_shape(body, message):
    async with ScriptedServer(Reply("ok")) as server:
        got = await ask(server.url, "openai-chat", body)
        assert got.status == 400
        assert message in got.json["error"]["message"]
        assert server.requests == []


async def test_bytes_that_are_no_request_are_refused():
    async with ScriptedServer(Reply("ok")) as server:
        for bad in (b"hello\r\n\r\n", b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n", b"x" * 140_000):
            reader, writer = await send(server.url, "anthropic", request_body("anthropic"))
            await read(reader)
            writer.write(bad)
            assert (await read(reader)).status == 400
            writer.close()


async def test_the_small_endpoints():
    async with ScriptedServer(Reply("ok"), count_tokens=lambda data: 7) as server:
        counted = await ask(server.url, "/v1/messages/count_tokens", b"{}")
        assert counted.json["input_tokens"] == 7
        assert (await ask(server.url, "/v1/responses/input_tokens", b"{}")).json["input_tokens"] == 7
        for path, field in (("/health", "status"), ("/v1/models", "data"), ("/v1/models/m", "id")):
            reader, writer = await send(server.url, "anthropic", request_body("anthropic"))
            await read(reader)
            writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
            got = await read(reader)
            assert got.status == 200
            assert field in got.json
            writer.close()
        assert (await ask(server.url, "/v1/nothing", b"{}")).status == 404
        said_usage = (await ask(server.url, "anthropic", stream=False)).json["usage"]
        assert (said_usage["input_tokens"], said_usage["output_tokens"]) == (7, 7)


async def test_encrypted_reasoning_only_for_those_who_ask():
    reply = Reply("x", thinking=(Thinking("t", encrypted="secret"),))
    async with ScriptedServer(reply) as server:
        body = request_body("openai-responses", stream=False)
        plain = await ask(server.url, "openai-responses", body)
        asked = await ask(server.url, "openai-responses", {**body, "include": ["reasoning.encrypted_content"]})
        assert "encrypted_content" not in plain.json["output"][0]
        assert asked.json["output"][0]["encrypted_content"] == "secret"


def test_a_server_in_a_thread_serves_programs_that_block():
    import urllib.request

    with serve_in_thread(Reply("from a thread")) as server:
        data = b'{"messages":[{"role":"user","content":"x"}]}'
        request = urllib.request.Request(server.url + "/v1/messages", data, {"authorization": "Bearer sk-1"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert b"from a thread" in answer.read()
        assert server.requests[0].headers["authorization"] == "Bearer [redacted]"


def test_a_server_in_a_thread_tells_why_it_can_t_start(tmp_path):
    with pytest.raises(IsADirectoryError), serve_in_thread(Reply("x"), log=tmp_path):
        pass


def test_scripts_and_faults_are_read_strictly():
    assert parse_script(b'[{"text":"a"}]').replies == (Reply("a"),)
    assert parse_script(b'{"after":"loop"}').after == "loop"
    with pytest.raises(ScriptError, match=r"script: .*replies\[0\].text"):
        parse_script(b'{"replies":[{"text":3}]}')
    with pytest.raises(ScriptError, match="unknown field `txt`"):
        parse_script(b'[{"txt":"a"}]')
    assert parse_fault("stall:seconds=2.5,times=forever,close=reset") == Fault(
        "stall", seconds=2.5, times=None, close="reset"
    )
    for wrong in ("stall:seconds", "stall:seconds=x", "stall:close=slowly", "stall:color=red"):
        with pytest.raises(ScriptError, match="fault 'stall:"):
            parse_fault(wrong)
