"""The recording proxy: what it counts is the tables' currency, and what it lets through is the agents' only way out."""

import http.server
import json
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from bench.process import run as run_process
from bench.solve.grade import environment_of
from bench.solve.peers import Harness
from bench.solve.pools import Maker, chosen, curve, make, within
from bench.solve.proxy import Call, Policy, Proxy, read_figures
from bench.solve.replay import read
from bench.solve.room import Room
from bench.solve.run import Bench, Limits
from bench.solve.task import CHECK, Task

from assay.testing.server import Reply, serve_in_thread

ASKED = {
    "/v1/chat/completions": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    "/v1/responses": {"model": "m", "input": "hi", "tools": [{"type": "web_search"}]},
    "/v1/messages": {"model": "m", "max_tokens": 9999, "messages": [{"role": "user", "content": "hi"}]},
}


def post(url: str, body: object) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ASKED)
def test_every_shape_is_handed_on_and_counted(path: str, stream: bool, tmp_path: Path) -> None:
    with serve_in_thread(Reply("hello there, here I am")) as server:
        proxy = Proxy(server.url, Policy(), tmp_path / "calls")
        proxy.begin("one")
        try:
            reply = post(proxy.url + path, {**ASKED[path], "stream": stream})
            proxy.settle()
        finally:
            proxy.close()
        (exchange,) = server.exchanges
    assert b"hello" in reply
    (call,) = proxy.calls
    assert (call.path, call.status, call.counted) == (path, 200, "server")
    assert call.prompt > 0
    assert call.output > 0
    assert exchange.status == 200
    assert json.loads((tmp_path / "calls").read_text())["run"] == "one"


class Model(http.server.BaseHTTPRequestHandler):
    """A server whose every reply a test decides. `asked`: bodies by path."""

    asked: list[tuple[str, dict[str, Any]]]
    keys: list[str]
    reply: bytes
    kind = "application/json"
    cut = False

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        self.keys.append(self.headers.get("Authorization", ""))
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.path, body))
        if self.path == "/tokenize":
            reply = json.dumps({"tokens": body["content"].split()}).encode()
        elif self.path == "/apply-template":
            reply = json.dumps({"prompt": " ".join(row["content"] for row in body["messages"])}).encode()
        else:
            reply = self.reply
        self.send_response(200)
        self.send_header("Content-Type", self.kind)
        self.send_header("Content-Length", str(len(reply) + (100 if self.cut and self.path.startswith("/v1") else 0)))
        self.end_headers()
        self.wfile.write(reply)


@pytest.fixture
def model() -> Generator[type[Model]]:
    kind = type("OneModel", (Model,), {"asked": [], "keys": [], "reply": b"{}"})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    kind.url = f"http://127.0.0.1:{server.server_address[1]}"  # type: ignore[attr-defined]  # for the tests below
    yield kind
    server.shutdown()
    server.server_close()
    thread.join()


def refused(url: str, body: object) -> int:
    """The status of a request that is not answered."""
    with pytest.raises(urllib.error.HTTPError) as raised:
        post(url, body)
    raised.value.close()
    return raised.value.code


def asked_of(model: type[Model], path: str, body: dict[str, Any], policy: Policy | None = None) -> tuple[Proxy, Any]:
    proxy = Proxy(model.url, policy or Policy())  # type: ignore[attr-defined]
    try:
        post(proxy.url + path, body)
        proxy.settle()
    except OSError:
        proxy.settle()
    finally:
        proxy.close()
    return proxy, next(row for where, row in model.asked if where == path)


def test_sampling_is_the_rigs_and_replies_are_bounded(model: type[Model]) -> None:
    body = {"messages": [], "temperature": 1.5, "max_completion_tokens": 50_000, "seed": 9}
    _, sent = asked_of(model, "/v1/chat/completions", body, Policy(seed=3))
    assert (sent["temperature"], sent["top_p"], sent["top_k"]) == (0.7, 0.8, 20)
    assert (sent["max_tokens"], sent["seed"]) == (2048, 3001)
    assert "max_completion_tokens" not in sent


def test_sampling_may_be_the_agents(model: type[Model]) -> None:
    _, sent = asked_of(
        model, "/v1/chat/completions", {"messages": [], "temperature": 1.5, "max_tokens": 7}, Policy(None)
    )
    assert (sent["temperature"], sent["max_tokens"]) == (1.5, 7)


def test_tools_that_the_server_does_not_know_are_left_out(model: type[Model]) -> None:
    tools = [{"type": "web_search"}, {"type": "function", "name": "shell"}]
    _, sent = asked_of(model, "/v1/responses", {"input": "x", "tools": tools})
    assert sent["tools"] == tools[1:]


def test_a_reply_that_breaks_off_is_counted_by_its_text(model: type[Model]) -> None:
    model.kind, model.cut = "text/event-stream", True
    pieces = [{"choices": [{"delta": {"content": word}}]} for word in ("one ", "two ", "three ")]
    model.reply = b"".join(b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in pieces)
    body = {"messages": [{"role": "user", "content": "a b c d"}], "stream": True}
    proxy, _ = asked_of(model, "/v1/chat/completions", body)
    (call,) = proxy.calls
    assert (call.counted, call.prompt, call.output) == ("tokenizer", 4, 3)


def test_each_of_several_samples_is_counted(model: type[Model]) -> None:
    choices = [{"message": {"content": "a b"}}, {"message": {"content": "c d e"}}]
    usage = {"prompt_tokens": 4, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
    model.reply = json.dumps({"choices": choices, "usage": usage}).encode()
    proxy, _ = asked_of(model, "/v1/chat/completions", {"messages": [], "n": 2})
    (call,) = proxy.calls
    assert (call.prompt, call.cached) == (4, 1)
    assert call.output == 5


@pytest.mark.parametrize(
    ("reply", "figures"),
    [
        (b'{"usage":{"prompt_tokens":9,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":5}}}', (9, 5, 2)),
        (b'{"usage":{"input_tokens":9,"output_tokens":2,"input_tokens_details":{"cached_tokens":4}}}', (9, 4, 2)),
        (b'{"type":"message","stop_reason":"end_turn","usage":{"input_tokens":3,"cache_read_input_tokens":6,'
         b'"output_tokens":2}}', (9, 6, 2)),
        (b'event: a\ndata: {"type":"message_start","message":{"type":"message","stop_reason":null,"usage":'
         b'{"input_tokens":3,"cache_read_input_tokens":6,"output_tokens":0}}}\n\ndata: {"type":"message_delta","usage":'
         b'{"output_tokens":7}}\n\n', (9, 6, 7)),
        (b'data: {"choices":[],"timings":{"cache_n":6,"prompt_n":3,"predicted_n":2}}\n\ndata: [DONE]\n\n', (9, 6, 2)),
        (b'data: {"type":"response.completed","response":{"usage":{"input_tokens":9,"output_tokens":1,'
         b'"input_tokens_details":{"cached_tokens":8}}}}\n\n', (9, 8, 1)),
    ],
)  # fmt: skip
def test_figures_of_every_shape_are_read(reply: bytes, figures: tuple[int, int, int]) -> None:
    call = Call("run", 1, "/v1/x")
    assert read_figures(reply, call)
    assert (call.prompt, call.cached, call.output) == figures


@pytest.mark.parametrize("reply", [b"", b"{}", b"data: {}\n\n", b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'])
def test_no_figures_are_none(reply: bytes) -> None:
    assert not read_figures(reply, Call("run", 1, "/v1/x"))


def test_a_start_without_its_end_is_no_figure() -> None:
    start = b'data: {"message":{"type":"message","stop_reason":null,"usage":{"input_tokens":3,"output_tokens":0}}}\n\n'
    call = Call("run", 1, "/v1/messages")
    assert not read_figures(start, call)
    assert call.prompt == 3


@pytest.mark.parametrize("path", ["/v1/embeddings", "/telemetry", "/v1/files"])
def test_nothing_else_is_answered(model: type[Model], path: str) -> None:
    proxy = Proxy(model.url, Policy())  # type: ignore[attr-defined]
    assert refused(proxy.url + path, {}) == 404
    proxy.close()
    assert proxy.refused == [f"POST {path}"]
    assert model.asked == []


def test_the_servers_key_is_the_rigs(model: type[Model]) -> None:
    proxy = Proxy(model.url, Policy(), key="secret")  # type: ignore[attr-defined]
    post(proxy.url + "/v1/chat/completions", {"messages": []})
    proxy.close()
    assert {*model.keys} == {"Bearer secret"}


def test_a_run_that_has_used_its_time_gets_nothing_more(model: type[Model]) -> None:
    model.reply = b'{"usage":{"prompt_tokens":600,"completion_tokens":30}}'
    proxy = Proxy(model.url, Policy())  # type: ignore[attr-defined]
    proxy.begin("run", 10.0)
    post(proxy.url + "/v1/chat/completions", {"messages": []})
    proxy.settle()
    assert proxy.spent() == pytest.approx(600 / 60 + 30 / 30)
    assert refused(proxy.url + "/v1/chat/completions", {"messages": []}) == 429
    proxy.close()
    assert len(proxy.calls) == 1


def test_a_server_that_is_gone_is_told() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    proxy = Proxy(f"http://127.0.0.1:{port}", Policy())
    assert refused(proxy.url + "/v1/chat/completions", {"messages": []}) == 502
    proxy.close()
    assert proxy.calls[0].status == 502


AGENT = """
import json, sys, urllib.request
url, prompt = sys.argv[1:]
body = {"model": "m", "messages": [{"role": "user", "content": prompt}]}
request = urllib.request.Request(url + "/v1/chat/completions", json.dumps(body).encode())
text = json.load(urllib.request.urlopen(request, timeout=20))["choices"][0]["message"]["content"]
open("solution.py", "w").write(text)
print(json.dumps({"assay": {"outcome": "verified"}}))
"""


def test_a_run_is_recorded_from_both_sides(tmp_path: Path) -> None:
    """A stand-in agent writes what the model says; its diff is graded, and its tokens are those of the proxy."""
    agent = tmp_path / "agent.py"
    agent.write_text(AGENT)
    test = "from solution import one\n\n\ndef test_one():\n    assert one() == 1\n"
    files = {"solution.py": "def one():\n    return 2\n", "test_solution.py": test}
    task = Task("set/one", "set", "`one` is wrong", files, CHECK, {"test_solution.py": test}, CHECK, ("solution.py",))
    one = Harness("stand-in", "assay", "chat", lambda given: ([str(agent), given.url, given.task.prompt], {}))
    room = Room(wanted=False)
    with serve_in_thread(Reply("def one():\n    return 1\n")) as server:
        proxy = Proxy(server.url, Policy())
        bench = Bench(proxy, room, tmp_path / "runs", environment_of(None), "m", Limits(wall=60))
        record = bench.run(one, sys.executable, "1.0", task, 7)
        proxy.close()
    room.leave()
    assert record.solved, record
    assert (record.exit, record.calls, record.outcome, record.seed, record.lines) == (0, 1, "verified", 7, 2)
    assert record.prompt > 0
    assert not record.room


def test_a_run_stops_when_it_is_told_to(tmp_path: Path) -> None:
    told = threading.Event()
    told.set()
    done = run_process(["sleep", "60"], {"PATH": "/usr/bin:/bin"}, tmp_path, 50, stop=told.is_set)
    assert done.exit is None
    assert done.wall < 40


def test_in_a_room_there_is_the_proxy_and_nothing_else(tmp_path: Path, model: type[Model]) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "answers").write_text("secret")
    room = Room([hidden])
    if room.closed:
        proxy = Proxy(model.url, Policy(), inside=room.do)  # type: ignore[attr-defined]
        code = "import socket, sys, os\nsocket.create_connection(('127.0.0.1', int(sys.argv[1])), 5).close()\n"
        code += "print(os.listdir(sys.argv[3]))\nsocket.create_connection(('127.0.0.1', int(sys.argv[2])), 5)"
        outside = model.url.rpartition(":")[2]  # type: ignore[attr-defined]
        words = [sys.executable, "-c", code, str(proxy.port), outside, str(hidden)]
        done = room.do(lambda: run_process(words, {}, tmp_path, 30))
        proxy.close()
        assert "[]" in done.output, done.output
        assert "ConnectionRefusedError" in done.output
    room.leave()
    assert (hidden / "answers").read_text() == "secret"


def test_a_pool_is_graded_and_replayed(tmp_path: Path) -> None:
    """A candidate that is wrong but green, and a right one. What was made can be chosen among again."""
    test = "from solution import one\n\n\ndef test_a():\n    assert one(1) == 2\n"
    hidden = test + "\n\ndef test_b():\n    assert one(2) == 3\n"
    files = {"solution.py": 'def one(n):\n    """One more."""\n    return n\n', "test_solution.py": test}
    task = Task("set/one", "set", "`one` is wrong", files, CHECK, {"test_solution.py": hidden}, CHECK, ("solution.py",))
    codes = ("return 2", "return n + 1")
    replies = iter([Reply(f"```python\ndef one(n):\n    {code}\n```") for code in codes])
    with serve_in_thread(lambda _: next(replies)) as server:
        maker = Maker(server.url, "m", environment_of(None), tmp_path)
        (pool,) = make(maker, [task], 2, tmp_path / "pool.jsonl")
        assert list(make(maker, [task], 2, tmp_path / "pool.jsonl")) == []
    assert [one.correct for one in pool.candidates] == [False, True]
    assert [one.vector.green for one in pool.candidates] == [True, True]
    assert (pool.spec, pool.signature) == ("One more.", "one(n)")
    (again,) = read([tmp_path / "pool.jsonl"])
    assert again == pool
    spent = [one.usage.total for one in pool.candidates]
    assert all(spent)
    assert within(pool, sum(spent)) == pool.candidates
    assert within(pool, sum(spent) - 1) == pool.candidates[:1]
    taken = chosen(within(pool, spent[0]))
    assert taken is not None
    assert not taken.correct
    rows = curve([pool], [spent[0], sum(spent)]).rows
    assert [(row[1], row[2], row[5]) for row in rows] == [("1.0", "0%", "0%"), ("2.0", rows[1][2], "100%")]
