"""What the ledger keeps and counts."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.testing_server.client import answered, ask, request_body

from assay.testing.server import Call, Parts, Reply, ScriptedServer, is_extension, prompt_bytes, shared_prefix

STEPS = [Reply(f"step {n}", calls=(Call("bash", {"command": f"echo {n}"}),)) for n in range(5)]
parts = st.builds(
    Parts, st.binary(max_size=3), st.binary(max_size=3), st.lists(st.binary(max_size=2), max_size=4).map(tuple)
)


async def run(url: str, dialect: str, prompt: str, count: int, **extra) -> None:
    history: list[dict] = []
    for _ in range(count):
        got = await ask(url, dialect, {**request_body(dialect, prompt, history=history), **extra})
        history += answered(dialect, got)


async def test_a_conversation_that_only_grows():
    async with ScriptedServer(STEPS) as server:
        for dialect in ("anthropic", "openai-chat", "openai-responses"):
            await run(server.url, dialect, "grow", 4)
        assert [(c.requests, c.extensions) for c in server.conversations()] == [(4, 3)] * 3
        for told in server.conversations():
            assert 0 < told.shared < told.sent < told.body_bytes


async def test_equal_prompts_run_side_by_side_are_told_apart():
    async with ScriptedServer(STEPS) as server:
        await run(server.url, "anthropic", "same", 3)
        await run(server.url, "anthropic", "same", 2)
        await run(server.url, "anthropic", "other", 1)
        assert [(c.requests, c.extensions) for c in server.conversations()] == [(3, 2), (2, 1), (1, 0)]


async def test_a_changed_system_prompt_or_history_is_no_extension():
    async with ScriptedServer(STEPS) as server:
        first = request_body("anthropic", "p")
        got = await ask(server.url, "anthropic", first)
        history = answered("anthropic", got)
        changed = request_body("anthropic", "p", history=history)
        await ask(server.url, "anthropic", {**changed, "system": "now with a date"})
        rewritten = request_body("anthropic", "p", history=[*history[::-1], history[0]])
        await ask(server.url, "anthropic", rewritten)
        (told,) = server.conversations()
        assert (told.requests, told.extensions) == (3, 0)
        assert told.shared < told.sent / 2


async def test_cache_markers_and_string_content_are_no_change_of_the_prompt():
    async with ScriptedServer(Reply("ok")) as server:
        plain = {"role": "user", "content": "p"}
        marked = {"role": "user", "content": [{"type": "text", "text": "p", "cache_control": {"type": "ephemeral"}}]}
        for message in (plain, marked):
            await ask(server.url, "anthropic", {"messages": [message], "system": "s", "stream": True})
        before, after = (seen.parts for seen in server.requests)
        assert before == after


@given(parts, parts)
def test_shared_prefix_is_bounded_and_full_for_extensions(before, after):
    shared = shared_prefix(before, after)
    assert shared == shared_prefix(after, before)
    assert 0 <= shared <= min(prompt_bytes(before), prompt_bytes(after))
    if is_extension(before, after):
        assert shared == prompt_bytes(before)


@given(parts, st.lists(st.binary(max_size=2), max_size=3))
def test_adding_messages_is_an_extension(before, more):
    after = Parts(before.tools, before.system, (*before.messages, *more))
    assert is_extension(before, after)
    assert is_extension(after, before) == (not more)


async def test_the_log_holds_every_exchange_and_no_secret(tmp_path):
    log = tmp_path / "log.jsonl"
    async with ScriptedServer(Reply("ok"), log=log) as server:
        data = b'{"messages":[{"role":"user","content":"caf\xc3\xa9"}]}'
        reader, writer = await send_with_key(server.url, data)
        await reader.readuntil(b"end_turn")
        writer.close()
        await ask(server.url, "/v1/nothing", b"\xff")
    first, second = [msgspec.json.decode(line) for line in log.read_bytes().splitlines()]
    assert (first["status"], first["dialect"], first["index"], first["body"]) == (200, "anthropic", 0, data.decode())
    assert first["arrived"] <= first["first_byte"] <= first["ended"]
    assert (second["status"], second["dialect"], second["body"]) == (404, None, "�")
    assert b"sk-secret" not in log.read_bytes()


async def send_with_key(url, data):
    from tests.testing_server.client import send

    return await send(url, "anthropic", data, "x-api-key: sk-secret\r\nauthorization: Bearer sk-secret\r\n")
