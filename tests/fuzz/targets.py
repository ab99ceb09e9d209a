"""Everything that reads foreign bytes, as functions of bytes that raise only when something is wrong.

`test_foreign_bytes` feeds them with damaged samples, `guided` lets a coverage-guided fuzzer do it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.models.replies import WHOLE

from assay.core.errors import AssayError, InvalidArguments
from assay.core.events import ContextAdded
from assay.core.model import Profile
from assay.models.client import dialect_for
from assay.models.dialects.values import StreamFailed
from assay.models.failures import one_line, page_words, retry_after
from assay.models.sse import SseReader, TooLong
from assay.models.wire import Chunks, Connection, Counted, DirectResponse, WireError, parse_head
from assay.repair import traceback
from assay.repair.locate import locate
from assay.repair.source import parsed
from assay.run.answer import StructuredAnswer
from assay.sessions.line import decode_body, encode_body, encode_event, encode_line, link, parse_line
from assay.sessions.migrate import HEADER
from assay.sessions.reader import SEED, LogReader
from assay.tools.bound import head_tail, plain
from assay.tools.condense import condense
from assay.tools.textfile import decode
from assay.verify import reports
from assay.verify.additive import adds_only, settings_part
from assay.verify.detect import Added, added_lines, hijacks, skips
from assay.verify.receipt import read_receipt
from assay.verify.runners import parse
from assay.workspace.ignores import Ignores


class Target(NamedTuple):
    """What is fed, and samples of what it reads."""

    feed: Callable[[bytes], object]
    samples: tuple[bytes, ...]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _stream(dialect: str) -> Callable[[bytes], None]:
    profile = Profile("near/m", "m", dialect)

    def feed(data: bytes) -> None:
        decoder = dialect_for(dialect).decoder(profile, {})
        with contextlib.suppress(StreamFailed, TooLong):
            for event, payload in SseReader().feed(data):
                for delta in decoder.feed(event, payload):
                    assert delta is not None
                if decoder.done:
                    break
            message = decoder.message()
            encode_event_of(message.text)
        dialect_for(dialect).error(0, data)
        dialect_for(dialect).error(400, data)

    return feed


def encode_event_of(text: str) -> None:
    """Whatever a model said must fit into the log."""
    assert encode_event(ContextAdded("x", text)).isascii()


def _answer(data: bytes) -> None:
    """A whole HTTP/1.1 answer, as bytes from a socket."""
    head, _, body = data.partition(b"\r\n\r\n")
    try:
        _, fields = parse_head(head)
    except WireError:
        return
    retry_after(fields, 1_700_000_000.0)
    one_line(page_words(body))

    async def read() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(body)
        reader.feed_eof()
        response = DirectResponse(200, fields, Connection(reader, None), lambda _: None)  # type: ignore[arg-type]
        with contextlib.suppress(WireError):
            while await response.read():
                pass

    asyncio.run(read())


def _chunks(data: bytes) -> None:
    for body in (Chunks(), Counted(len(data) // 2), Counted(-1)):
        with contextlib.suppress(WireError):
            for at in range(0, len(data), 7):
                body.feed(data[at : at + 7])


def _log(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "s.jsonl")
        path.write_bytes(data)
        reader = LogReader(path)
        with contextlib.suppress(AssayError):
            numbers = [record.number for record in reader.records()]
            assert numbers == sorted(set(numbers))
    parse_line(data)
    decode_body(data)


def _log_sample() -> bytes:
    chain, made = SEED, [HEADER]
    for number in range(1, 4):
        body = encode_body(number, float(number), encode_event(ContextAdded("o", f"t{number} \u2028 \ud800")))
        chain = link(chain, body)
        made.append(encode_line(chain, body))
    return b"".join(made)


def _diff(data: bytes) -> None:
    for numbers in added_lines(_text(data)).values():
        assert all(number >= 0 for number in numbers)


def _reports(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for runner in ("pytest", "unittest", "jest", "vitest", "go", "cargo", "node", "ctest", ""):
        found, output = parse(runner, text, text, "/project")
        assert isinstance(output, str)
        assert all(isinstance(name, str) for name in found.tests)
    reports.failure_blocks(text)
    reports.strip_colours(text)


SCHEMA = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}


def _schema(data: bytes) -> None:
    with contextlib.suppress(InvalidArguments):
        found = StructuredAnswer(SCHEMA).read(_text(data))
        assert isinstance(found, dict)


def _trace(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    traceback.frames(text)
    traceback.failures(text)
    locate({"calc.py": "def add(a, b):\n    return a - b\n"}, text, ["test_calc.py::test_add"], text[:200])


def _python(data: bytes) -> None:
    text = _text(data)
    parsed(text)
    lines = frozenset(range(1, text.count("\n") + 2))
    file = Added("tests/conftest.py", text, lines, new=True, package=False)
    for detector in (skips, hijacks):
        assert all(finding.line >= 0 for finding in detector(file))
    adds_only("test_a.py", data, data + b"\nx = 1\n")
    adds_only("test_a.js", data, data)


def _settings(data: bytes) -> None:
    for name in ("pyproject.toml", "setup.cfg", "package.json"):
        settings_part(name, data)


def _ignores(data: bytes) -> None:
    ignores = Ignores(tuple(data.decode("utf-8", "replace").splitlines()))
    for path in ("a", "a/b.txt", "src/deep/er/file.py", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa"):
        ignores.match(path, directory=False)
        ignores.match(path, directory=True)


def _output(data: bytes) -> None:
    clean = plain(data.decode("utf-8", "replace"))
    assert not set(clean) & {"\0", "\x1b", "\x07"}
    assert len(head_tail(condense(clean), 500)) < 2_000


def _file(data: bytes) -> None:
    file = decode(data)
    if file is not None:
        assert file.replaced([], "") == data


def _receipt(data: bytes) -> None:
    with contextlib.suppress(AssayError):
        read_receipt(data)


JUNIT = b"""<?xml version="1.0"?><testsuites><testsuite name="pytest" tests="2">
<testcase classname="tests.test_a.TestX" name="test_y[1]" file="tests/test_a.py" time="0.1">
<failure message="assert 1 == 2">def test_y(): ...</failure></testcase>
<testcase classname="tests.test_a" name="test_z" file="tests/test_a.py"/></testsuite></testsuites>"""
TAP = b"""TAP version 13
# Subtest: adds
    ok 1 - one
    not ok 2 - two # TODO later
1..2
not ok 1 - adds
  ---
  x: 1
  ...
"""
GO = b"""{"Time":"2024-01-01T00:00:00Z","Action":"run","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p","Test":"TestA","Output":"x"}
"""
CASE = {"fullName": "a b", "status": "passed", "failureMessages": ["\x1b[31mx"]}
FILE = {"name": "/project/a.test.js", "status": "failed", "message": "m", "assertionResults": [CASE]}
JEST = json.dumps({"testResults": [FILE]}).encode()
CARGO = b"""running 2 tests
test a::b ... ok
test c ... FAILED

failures:

---- c stdout ----
thread 'c' panicked at src/lib.rs:3:5:
x

"""
CTEST = b"1/2 Test  #1: one ......   Passed    0.01 sec\n2/2 Test  #2: two ......***Failed    0.01 sec\n"
TRACE = b"""Traceback (most recent call last):
  File "/project/test_calc.py", line 5, in test_add
    assert add(2, 3) == 5
           ~~~^^^^^^
  File "calc.py", line 2, in add
    return a - b
AssertionError: assert -1 == 5
_______ test_add _______
    def test_add():
>       assert add(2, 3) == 5
E       assert -1 == 5
test_calc.py:5: AssertionError
FAILED test_calc.py::test_add - assert -1 == 5
FAIL: test_add (test_calc.AddTest.test_add)
at Object.<anonymous> (/project/calc.js:3:9)
"""
DIFF = b"""diff --git a/a.py b/a.py
index 3b18e51..f2ad6c7 100644
--- a/a.py
+++ b/a.py
@@ -1,3 +1,4 @@ def one():
 one
-two
+2
+zwei
 three
\\ No newline at end of file
diff --git "a/b\\303\\251.py" "b/b\\303\\251.py"
--- /dev/null
+++ "b/b\\303\\251.py"
@@ -0,0 +1 @@
+new
"""
SOURCE = b"""import os, pytest
@pytest.mark.skip(reason="x")
def test_a():
    assert f"{add(1, 2)!r:>{3}}" == '3'; os._exit(0)
class E:
    def __eq__(self, other): return True
pytest_plugins = ["x"]
match x:
    case {"a": [1, *_]}: pass
"""
HTTP = b"""HTTP/1.1 429 Too Many Requests\r
Retry-After: 3\r
retry-after-ms: 2500\r
Content-Length: 32\r
Content-Type: application/json\r
\r
{"error":{"message":"slow down"}}"""
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nx: y\r\n\r\n"
PYPROJECT = b'[tool.pytest.ini_options]\ntestpaths = ["tests"]\n[project]\nname = "x"\n'
SETUP = b"[tool:pytest]\naddopts = -q\n[metadata]\nname = x\n"
PACKAGE = b'{"name": "x", "scripts": {"test": "jest"}, "jest": {"testMatch": ["**/*.js"]}}'
COLOURS = (
    b"\x1b[31mred\x1b[0m \x1b]0;title\x07 \xe2\x80\xa8 \x00 passed\n" + b"test one ... ok\n" * 30 + b"\r10%\r20%\n"
)

DEEP = b"[" * 20_000
REFUSAL = b'data: {"error": {"code": 400, "message": "no"}}\n\n'
ANSWERS = (b'```json\n{"sum": 4}\n```', b'{"sum": "four"} and more', json.dumps([[]] * 3).encode())
TARGETS = {
    **{f"stream-{name}": Target(_stream(name), (whole, REFUSAL)) for name, whole in WHOLE.items()},
    "http": Target(_answer, (HTTP, CHUNKED)),
    "chunks": Target(_chunks, (CHUNKED.partition(b"\r\n\r\n")[2], b"ffffffffffffffff\r\nx")),
    "log": Target(_log, (_log_sample(),)),
    "diff": Target(_diff, (DIFF,)),
    "reports": Target(_reports, (JUNIT, TAP, GO, JEST, CARGO, CTEST)),
    "schema": Target(_schema, ANSWERS),
    "traceback": Target(_trace, (TRACE,)),
    "python": Target(_python, (SOURCE,)),
    "project-settings": Target(_settings, (PYPROJECT, SETUP, PACKAGE, DEEP, b"a = " + DEEP)),
    "ignores": Target(_ignores, (b"*.pyc\n!keep.pyc\n/build/\ndocs/**/x[0-9]?.md\n# comment\n", b"**\n[a-\n[!]\n\\\n")),
    "output": Target(_output, (COLOURS,)),
    "file": Target(_file, (b"\xef\xbb\xbfa\r\nb\n", "é\n".encode("utf-16"), "é".encode("latin-1"))),
    "receipt": Target(_receipt, (b'{"receipt": 1, "session": "x"}',)),
}  # fmt: skip
