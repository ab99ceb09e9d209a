"""A client that shows what really came over the connection, and how it ended."""

import asyncio
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec

PATHS = {
    "anthropic": "/v1/messages",
    "openai-chat": "/v1/chat/completions",
    "openai-responses": "/v1/responses",
}
TOOL = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}


@dataclass
class Got:
    """A response as far as it came. `end`: "whole", "cut" (closed before the end), "reset" or "garbage"."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    end: str = "cut"
    arrivals: list[tuple[float, bytes]] = field(default_factory=list)

    @property
    def json(self):
        return msgspec.json.decode(self.body)

    @property
    def events(self) -> list[dict]:
        """The data of each complete server-sent event that is JSON."""
        blocks = self.body.split(b"\n\n")[:-1]
        lines = [line[6:] for block in blocks for line in block.split(b"\n") if line.startswith(b"data: {")]
        return [msgspec.json.decode(line) for line in lines]


def request_body(dialect: str, prompt: str = "hello", *, stream: bool = True, tools: bool = True, history=()) -> dict:
    """A request with one tool called `bash` in the form of a dialect; `history` goes after the prompt."""
    first = {"role": "user", "content": prompt}
    body: dict = {"model": "model-1", "stream": stream}
    if dialect == "openai-responses":
        body["input"] = [first, *history]
        tool: dict = {"type": "function", "name": "bash", "parameters": TOOL}
    else:
        body["messages"] = [first, *history]
        tool = {"name": "bash", "input_schema": TOOL}
        if dialect == "openai-chat":
            tool = {"type": "function", "function": {"name": "bash", "parameters": TOOL}}
            body["stream_options"] = {"include_usage": True}
    return {**body, "tools": [tool]} if tools else body


async def send(
    url: str, dialect: str, body: dict | bytes, headers: str = ""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Sends a request on a new connection."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1 << 26)
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    path = PATHS.get(dialect, dialect)
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)
    await writer.drain()
    return reader, writer


async def read(reader: asyncio.StreamReader) -> Got:
    """Reads one response to its end, however it ends."""
    got = Got()
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        got.status = int(lines[0].split(" ")[1])
        got.headers = {name: value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
        if "content-length" in got.headers:
            got.body = await reader.readexactly(int(got.headers["content-length"]))
            got.end = "whole"
            return got
        while size := int(await reader.readuntil(b"\r\n"), 16):
            piece = await reader.readexactly(size)
            got.arrivals.append((asyncio.get_running_loop().time(), piece))
            got.body += piece
            await reader.readexactly(2)
        await reader.readexactly(2)
        got.end = "whole"
    except asyncio.IncompleteReadError as error:
        got.body += error.partial if "content-length" in got.headers else b""
    except ConnectionResetError:
        got.end = "reset"
    except ValueError:
        got.end = "garbage"
    return got


async def ask(url: str, dialect: str, body: dict | bytes | None = None, **options) -> Got:
    """Sends one request on a connection of its own and reads the response. `options` go to `request_body`."""
    async with asyncio.timeout(20):
        reader, writer = await send(url, dialect, request_body(dialect, **options) if body is None else body)
        try:
            return await read(reader)
        finally:
            writer.close()


def said(dialect: str, got: Got) -> tuple[str, list[tuple[str, str, str]]]:
    """The text, and the calls as (id, name, argument text), put together from a stream's deltas."""
    text, calls = "", {}
    for event in got.events:
        kind = event.get("type", "")
        if dialect == "openai-chat":
            for choice in event.get("choices", []):
                text += choice["delta"].get("content") or ""
                for call in choice["delta"].get("tool_calls", []):
                    entry = calls.setdefault(call["index"], ["", "", ""])
                    entry[0] += call.get("id", "")
                    entry[1] += call["function"].get("name", "")
                    entry[2] += call["function"].get("arguments", "")
        elif kind == "content_block_start" and event["content_block"]["type"] == "tool_use":
            block = event["content_block"]
            calls[event["index"]] = [block.get("id", ""), block["name"], ""]
        elif kind == "response.output_item.added" and event["item"]["type"] == "function_call":
            calls[event["output_index"]] = [event["item"].get("call_id", ""), event["item"]["name"], ""]
        elif kind == "content_block_delta":
            text += event["delta"].get("text", "")
            if "partial_json" in event["delta"]:
                calls[event["index"]][2] += event["delta"]["partial_json"]
        elif kind == "response.output_text.delta":
            text += event["delta"]
        elif kind == "response.function_call_arguments.delta":
            calls[event["output_index"]][2] += event["delta"]
    return text, [tuple(call) for call in calls.values()]


def answered(dialect: str, got: Got, output: str = "done") -> list[dict]:
    """What a client adds to its history after a reply: what was said, and the results of its calls."""
    text, calls = said(dialect, got)
    if dialect == "anthropic":
        content: list[dict] = [{"type": "text", "text": text}] if text else []
        content += [
            {"type": "tool_use", "id": identity, "name": name, "input": msgspec.json.decode(arguments)}
            for identity, name, arguments in calls
        ]
        results = [{"type": "tool_result", "tool_use_id": call[0], "content": output} for call in calls]
        return [{"role": "assistant", "content": content}, {"role": "user", "content": results or "go on"}]
    if dialect == "openai-chat":
        entries = [
            {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}
            for identity, name, arguments in calls
        ]
        message: dict = {"role": "assistant", "content": text}
        if not entries:
            return [message, {"role": "user", "content": "go on"}]
        results = [{"role": "tool", "tool_call_id": call[0], "content": output} for call in calls]
        return [{**message, "tool_calls": entries}, *results]
    items: list[dict] = []
    if text:
        items.append({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]})
    for identity, name, arguments in calls:
        items.append({"type": "function_call", "call_id": identity, "name": name, "arguments": arguments})
    for identity, _, _ in calls:
        items.append({"type": "function_call_output", "call_id": identity, "output": output})
    return items if calls else [*items, {"role": "user", "content": "go on"}]
