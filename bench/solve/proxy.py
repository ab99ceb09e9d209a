"""A recording proxy in front of one model server: what every agent asks is counted and sampled in the same way.

It takes the three shapes that agents speak (Chat Completions, Responses, Anthropic Messages) and the plain completions
of llama.cpp, and hands each to the server's own endpoint of that name; llama.cpp's server has them all. Temperature,
top-p and seed are the rig's, not the agent's; a reply is bounded. Nothing else is answered. Tokens are counted by the
server that read and wrote them, so with the model's own vocabulary; only a reply that broke off, or one of several
samples, is counted by its /tokenize endpoint.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec

SHAPES = {
    "/v1/chat/completions": "max_tokens",
    "/v1/responses": "max_output_tokens",
    "/v1/messages": "max_tokens",
    "/v1/completions": "max_tokens",
    "/completion": "n_predict",
    "/infill": "n_predict",
}
"""Paths that are handed on, and their field for the longest reply."""
FREE = ("/v1/messages/count_tokens", "/tokenize", "/detokenize", "/apply-template")
"""Paths that cost nothing: no token of the model is made or read for a reply."""
SILENCE = 1_800.0
"""Seconds that the server may be silent: on a busy machine it reads a long prompt for minutes."""


class Policy(msgspec.Struct, frozen=True):
    """How every reply is sampled, whoever asks. `seed` grows by one with each call of a run."""

    temperature: float | None = 0.7
    """None: as asked."""
    top_p: float = 0.8
    top_k: int = 20
    seed: int = 1
    output: int = 2048
    """Tokens of a reply at most."""
    read_speed: float = 60.0
    write_speed: float = 30.0
    """Tokens a second of the reference machine: `model_seconds` is what the calls would have taken there."""


class Call(msgspec.Struct):
    """One request and what it used. `prompt` holds the cached tokens, too."""

    run: str
    number: int
    path: str
    status: int = 0
    prompt: int = 0
    cached: int = 0
    output: int = 0
    seconds: float = 0.0
    counted: str = "server"
    """By the `server`, or the `tokenizer` (a reply that broke off, or of several samples); `nobody` if that failed."""
    error: str = ""

    def model_seconds(self, policy: Policy) -> float:
        """The time on the reference machine."""
        return (self.prompt - self.cached) / policy.read_speed + self.output / policy.write_speed


class Proxy:
    """Serves until `close`. `upstream`: http://HOST:PORT. `key`: the server's, which no agent learns. `log`: calls are
    added to it, a JSON object a line.

    `inside` runs what opens the listening socket, so that it can lie in another network (`Room.do`). `begin` starts
    the account of a run; `calls` are those since then.
    """

    def __init__(
        self,
        upstream: str,
        policy: Policy,
        log: Path | None = None,
        bodies: Path | None = None,
        inside: Callable[[Callable[[], None]], None] = lambda listen: listen(),
        key: str = "",
    ) -> None:
        self.policy = policy
        self.calls: list[Call] = []
        self.refused: list[str] = []
        """Paths that were asked for and are not served."""
        self.run = ""
        self.limit: float | None = None
        """Model seconds after which nothing more is answered."""
        self._upstream = urllib.parse.urlsplit(upstream)
        self.headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        self._log, self._bodies = log, bodies
        self._lock = threading.Lock()
        self._open: set[http.client.HTTPConnection] = set()
        self._busy = 0
        self._server = _Server(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self._server.proxy = self
        inside(self._server.listen)
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="proxy", daemon=True).start()

    def begin(self, run: str, limit: float | None = None) -> None:
        """Forget what was; what comes is the account of `run`."""
        with self._lock:
            self.run, self.limit, self.calls, self.refused = run, limit, [], []

    def hang_up(self) -> None:
        """End the requests under way: their asker is gone."""
        with self._lock:
            under_way = list(self._open)
        for connection in under_way:
            with contextlib.suppress(OSError, AttributeError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def settle(self, seconds: float = 180.0) -> None:
        """Wait until every request is answered, counted and written down."""
        deadline = time.monotonic() + seconds
        while self._busy and time.monotonic() < deadline:
            time.sleep(0.02)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def spent(self) -> float:
        """Model seconds so far."""
        return sum(call.model_seconds(self.policy) for call in list(self.calls))

    def shaped(self, path: str, body: dict[str, Any], number: int) -> dict[str, Any]:
        """A request as the server gets it."""
        policy, field = self.policy, SHAPES[path]
        asked = body.get(field, body.get("max_completion_tokens"))
        body.pop("max_completion_tokens", None)
        body[field] = min(asked, policy.output) if isinstance(asked, int) and asked > 0 else policy.output
        if policy.temperature is not None:
            body |= {"temperature": policy.temperature, "top_p": policy.top_p, "top_k": policy.top_k}
        body |= {"seed": policy.seed * 1000 + number, "cache_prompt": True}
        if path == "/v1/chat/completions" and body.get("stream"):
            body["stream_options"] = {"include_usage": True}
        if path == "/v1/responses":
            # The server knows functions only, and refuses a request that offers it anything else.
            body["tools"] = [tool for tool in body.get("tools") or [] if tool.get("type") == "function"]
        return body

    def connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self._upstream.hostname or "", self._upstream.port, timeout=SILENCE)
        with self._lock:
            self._open.add(connection)
        return connection

    def done(self, connection: http.client.HTTPConnection) -> None:
        connection.close()
        with self._lock:
            self._open.discard(connection)

    def open_call(self, path: str) -> Call:
        with self._lock:
            call = Call(self.run, len(self.calls) + 1, path)
            self.calls.append(call)
            self._busy += 1
        return call

    def keep(self, call: Call, body: bytes, reply: bytes) -> None:
        """Write a finished call down."""
        with self._lock:
            self._busy -= 1
            if self._log:
                with self._log.open("ab") as file:
                    file.write(msgspec.json.encode(call) + b"\n")
            if self._bodies:
                row = {"run": call.run, "number": call.number, "asked": body.decode("utf-8", "replace")}
                with self._bodies.open("a") as file:
                    file.write(json.dumps({**row, "reply": reply.decode("utf-8", "replace")}) + "\n")

    def count(self, call: Call, body: dict[str, Any], reply: bytes) -> None:
        """Count a call whose figures never came or are not whole: its prompt, and the text of its replies, by the
        server's tokenizer."""
        call.counted = "nobody"
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
            call.prompt = call.prompt or self._tokens(self._prompt(body))
            call.output = max(call.output, sum(map(self._tokens, samples(reply))))
            call.counted = "tokenizer"

    def _prompt(self, body: dict[str, Any]) -> str:
        if "messages" in body and "system" not in body:
            wanted = {key: body[key] for key in ("messages", "tools") if key in body}
            return str(self._ask("/apply-template", wanted)["prompt"])
        kept = ("system", "messages", "tools", "instructions", "input", "prompt", "input_prefix", "input_suffix")
        return json.dumps({key: body[key] for key in kept if key in body})

    def _tokens(self, text: str) -> int:
        return len(self._ask("/tokenize", {"content": text})["tokens"]) if text else 0

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._upstream.hostname or "", self._upstream.port, timeout=60)
        try:
            connection.request("POST", path, json.dumps(body), self.headers)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: Proxy

    def listen(self) -> None:
        self.socket.close()
        self.socket = socket.socket(self.address_family, self.socket_type)  # of the network of this very thread
        self.server_bind()
        self.server_activate()

    def handle_error(self, request: object, client_address: object) -> None:
        """An agent that was killed leaves broken connections; they are in the account already."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = urllib.parse.urlsplit(self.path).path.rstrip("/")
        if path in ("/v1/models", "/models", "/props", "/health", "/v1/health"):
            self._pass_on("GET", path, b"")
        else:
            self._refuse()

    def do_POST(self) -> None:
        proxy = self.server.proxy
        given = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urllib.parse.urlsplit(self.path).path.rstrip("/")
        path = path if path.startswith(("/v1", "/completion", "/infill", *FREE)) else f"/v1{path}"
        if path in FREE:
            self._pass_on("POST", path, given)
            return
        if path not in SHAPES:
            self._refuse()
            return
        try:
            body = json.loads(given)
        except ValueError:
            self._tell(400, "the body is not JSON")
            return
        if proxy.limit is not None and proxy.spent() >= proxy.limit:
            self._tell(429, "the time for this task is used up")
            return
        call = proxy.open_call(path)
        sent = json.dumps(proxy.shaped(path, body, call.number)).encode()
        started = time.monotonic()
        reply = b""
        try:
            reply = self._pass_on("POST", path, sent, call)
        finally:
            call.seconds = round(time.monotonic() - started, 3)
            if call.status == 200:
                known = read_figures(reply, call)
                if not known or body.get("n", 1) != 1:  # the server's figures are those of the first of several samples
                    proxy.count(call, body, reply)
            proxy.keep(call, sent, reply)

    def _pass_on(self, method: str, path: str, body: bytes, call: Call | None = None) -> bytes:
        """Hand the request on and the reply back as it comes; returns what came."""
        proxy = self.server.proxy
        connection = proxy.connect()
        taken = bytearray()
        try:
            connection.connect()
        except OSError as error:
            proxy.done(connection)
            if call:
                call.status, call.error = 502, str(error)
            self._tell(502, f"the model server can't be reached: {error}")
            return b""
        try:
            connection.request(method, path, body or None, proxy.headers)
            answer = connection.getresponse()
            if call:
                call.status = answer.status
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.getheader("Content-Type") or "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while piece := answer.read1(65536):
                taken += piece
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        except (OSError, http.client.HTTPException) as error:
            self.close_connection = True
            if call:
                call.error = f"{type(error).__name__}: {error}"[:200]
                call.status = call.status or 200  # cut before the first byte: the prompt was read all the same
        finally:
            proxy.done(connection)
        if call and call.status != 200:
            call.error = bytes(taken[:500]).decode("utf-8", "replace")
        return bytes(taken)

    def _refuse(self) -> None:
        self.server.proxy.refused.append(f"{self.command} {self.path}")
        self._tell(404, "this is not served here")

    def _tell(self, status: int, message: str) -> None:
        data = json.dumps({"error": {"type": "invalid_request_error", "message": message}}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(data)


def read_figures(reply: bytes, call: Call) -> bool:
    """Take the figures out of a whole reply, or out of the events of a stream; False when it has none."""
    found = False
    for table in _tables(reply):
        for at in (table, table.get("response") or {}, table.get("message") or {}):
            if isinstance(at, dict) and _figures(at, call):
                found = True
    return found


def _figures(table: dict[str, Any], call: Call) -> bool:
    timings, usage = table.get("timings"), table.get("usage")
    if isinstance(usage, dict) and "prompt_tokens" in usage:
        call.prompt, call.output = usage["prompt_tokens"], usage["completion_tokens"]
        call.cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", call.cached) or 0
    elif isinstance(usage, dict) and "input_tokens_details" in usage:
        call.prompt, call.output = usage["input_tokens"], usage.get("output_tokens", 0)
        call.cached = (usage["input_tokens_details"] or {}).get("cached_tokens", 0)
    elif isinstance(usage, dict) and "output_tokens" in usage:
        # Anthropic's: the start of a stream has the prompt, its end has the output; cached tokens are told apart.
        if "input_tokens" in usage:
            call.cached = usage.get("cache_read_input_tokens", 0)
            call.prompt = usage["input_tokens"] + call.cached
        call.output = max(call.output, usage["output_tokens"])
        return table.get("type") != "message" or table.get("stop_reason") is not None
    elif isinstance(timings, dict) and "predicted_n" in timings:
        call.cached = timings.get("cache_n", 0)
        call.prompt, call.output = timings["prompt_n"] + call.cached, timings["predicted_n"]
    else:
        return False
    if isinstance(timings, dict) and "cache_n" in timings:
        call.cached = timings["cache_n"]
    return True


def _tables(reply: bytes) -> list[dict[str, Any]]:
    """The JSON objects of a reply, streamed or not."""
    if reply[:1] in (b"{", b"["):
        parts = [reply]
    else:
        parts = [line[5:] for line in reply.splitlines() if line.startswith(b"data:")]
    found: list[dict[str, Any]] = []
    for part in parts:
        with contextlib.suppress(ValueError):
            value = json.loads(part)
            found += [value] if isinstance(value, dict) else []
    return found


def samples(reply: bytes) -> list[str]:
    """The text of each sample in a reply, streamed or not, whatever its shape."""
    found: dict[int, str] = {}
    for table in _tables(reply):
        choices = table.get("choices")
        for place, part in enumerate(choices if isinstance(choices, list) else [table]):
            index = part.get("index", place) if isinstance(choices, list) else 0
            found[index] = found.get(index, "") + "".join(_texts(part))
    return list(found.values())


def _texts(part: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for at in (part.get("delta"), part.get("message"), part):
        if isinstance(at, str):
            found.append(at)
        elif isinstance(at, dict):
            texts = [at.get(key) for key in ("content", "text", "partial_json", "thinking")]
            found += [text for text in texts if isinstance(text, str)]
            found += [str((tool.get("function") or {}).get("arguments") or "") for tool in at.get("tool_calls") or []]
    return found
