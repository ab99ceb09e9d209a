"""Where the command is started: odd directories, closed streams, other people's index, other servers."""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from assay.testing.server import Call, Fault, Reply
from assay.testing.server.jobs import PROJECT_FILE, five_step

from .command import EACH, KEY, Place, across, unbroken, wait_for
from .conftest import Serve

EDIT = Call("@edit", {"path": "a.txt", "old": "old", "new": "new"})


def _git(place: Place, *words: str) -> str:
    done = subprocess.run(("git", *words), cwd=place.project, env=place.variables, capture_output=True, check=True)
    return done.stdout.decode()


def test_index_refs_and_stash_of_the_user_stay_as_they_are(place: Place, serve: Serve) -> None:
    place.five_step()
    place.write({"staged.txt": "staged\n", "loose.txt": "loose\n"})
    _git(place, "add", "staged.txt")
    before = {path: path.read_bytes() for path in (place.project / ".git").rglob("*") if path.is_file()}
    status = _git(place, "status", "--porcelain")
    place.task(serve(five_step(place.project)), "--check", "python3 test_calc.py").expect(0, "verified")
    after = {path: path.read_bytes() for path in (place.project / ".git").rglob("*") if path.is_file()}
    assert after == before
    changed = set(_git(place, "status", "--porcelain").splitlines()) - set(status.splitlines())
    assert changed <= {f" M {PROJECT_FILE}", "?? __pycache__/"}


@pytest.mark.parametrize("name", ["with space é", "new\nline", "-dash", "$HOME `x` 'q'"])
def test_odd_directories(place: Place, serve: Serve, name: str) -> None:
    place.project = place.project / name
    place.project.mkdir()
    place.write({"a.txt": "old\n"})
    server = serve([Reply("I edit.", calls=(EDIT, Call("@shell", {"command": "ls"}))), Reply("Done.")])
    place.task(server, "--check", "grep new a.txt", prompt="Make it new").expect(0, "verified")
    assert "a.txt" in server.requests[1].last.results[1].text


def test_a_directory_within_a_repository_and_one_behind_a_link(place: Place, serve: Serve) -> None:
    place.write({"top.txt": "top\n", "sub/a.txt": "old\n"})
    place.commit()
    server = serve([Reply("I edit.", calls=(EDIT,)), Reply("Done.")])
    check = ("--check", "grep new a.txt")
    place.task(server, *check, prompt="Make it new", cwd=place.project / "sub").expect(0, "verified")
    (place.root / "link").symlink_to(place.project / "sub")
    (place.project / "sub/a.txt").write_text("old\n")
    place.task(server, *check, prompt="Make it new", cwd=place.root / "link").expect(0, "verified")


def test_a_directory_that_is_gone(place: Place) -> None:
    gone = place.root / "gone"
    gone.mkdir()
    words = f"rmdir {gone}; exec {' '.join(place.argv('http://127.0.0.1:9', ('-p', 'x')))}"
    done = subprocess.run(("sh", "-c", words), cwd=gone, env=place.variables, capture_output=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: ")
    assert b"defect" not in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full"])
def test_closed_streams(place: Place, serve: Serve, closed: str) -> None:
    place.write({"a.txt": "old\n"})
    server = serve([Reply("I edit.", calls=(EDIT,)), Reply("Done.")])
    line = " ".join(place.argv(server, ("-p", "Edit", "--check", "true")))
    done = subprocess.run(("sh", "-c", f"{line} {closed}"), cwd=place.project, env=place.variables, timeout=30,
                          capture_output=True)  # fmt: skip
    assert (place.project / "a.txt").read_text() == "new\n"
    assert b"Traceback" not in done.stderr
    assert done.returncode == (9 if closed == ">/dev/full" else 0), done


@pytest.mark.parametrize("style", ["text", "json", "stream-json"])
def test_a_reader_that_leaves_does_not_end_the_work(place: Place, serve: Serve, style: str) -> None:
    place.write({"a.txt": "old\n"})
    server = serve([Reply("I edit. " * 3000, calls=(EDIT,)), Reply("Done. " * 20000)])
    process = place.start(server, "-p", "Edit", "--check", "grep new a.txt", "--output-format", style)
    assert process.stdout
    process.stdout.close()
    assert process.stderr
    err = process.stderr.read().decode()
    assert process.wait(30) == 0
    assert "Traceback" not in err
    assert "BrokenPipe" not in err
    assert (place.project / "a.txt").read_text() == "new\n"


def test_a_prompt_that_is_no_utf8(place: Place, serve: Serve) -> None:
    server = serve(Reply("Four."))
    ended = place.run(server, "-p", os.fsdecode(b"caf\xe9 and \xff"))
    assert ended.expect(0).out == "Four.\n"
    assert "caf" in server.requests[0].history[0].text
    place.run(server, "--continue", "-p", "Again").expect(0)


@pytest.mark.row(39)
@pytest.mark.parametrize("dialect", EACH)
def test_a_plain_locale_and_odd_bytes(place: Place, serve: Serve, dialect: str) -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LANG": "C"}
    call = Call(
        "@shell", {"command": r"printf '\000\377\376 \360\237\230\200 \355\240\200 \342\200\250 end\r\n\033[1m'"}
    )
    server = serve([Reply("Ich prüfe… 😀", calls=(call,)), Reply("Fertig… 😀\u2028")])
    ended = place.run(server, "-p", "Prüfe…", "--verbose", dialect=dialect, env=plain).expect(0)
    assert ended.out == "Fertig… 😀\n"
    assert server.requests[0].history[-1].text.startswith("Prüfe…")
    assert "end" in server.requests[1].last.results[0].text
    assert place.run(None, "--help", env=plain).code == 0
    assert "😀" in place.run(None, "sessions", "export", place.logs[0].stem, "--format", "md", env=plain).out


@pytest.mark.parametrize(("name", "dialect"), across("drip", "unknown_events"))
def test_a_stream_in_small_pieces_or_with_strange_events(place: Place, serve: Serve, name: str, dialect: str) -> None:
    place.five_step()
    server = serve(five_step(place.project), [Fault(name, times=None, size=256, seconds=0.0)])
    place.task(server, "--check", "python3 test_calc.py", dialect=dialect).expect(0, "verified")
    assert unbroken(server.requests)


@pytest.mark.parametrize("dialect", EACH)
def test_a_reply_cut_by_its_limit_goes_on_and_a_refusal_fails(place: Place, serve: Serve, dialect: str) -> None:
    server = serve([Reply("The first half,", stop="length"), Reply("the second half.")])
    assert "the second half." in place.task(server, prompt="Tell", dialect=dialect).expect(0).result["result"]
    assert len(server.requests) == 2
    place.task(serve(Reply("", stop="refusal")), prompt="Tell", dialect=dialect).expect(1, "failed")


def test_a_small_window_is_kept_to_for_many_turns(place: Place, serve: Serve) -> None:
    place.write({"a.txt": "".join(f"line {number} of the file that is read\n" for number in range(2000))})
    reads = [
        Reply(f"Part {n}.", calls=(Call("@shell", {"command": f"tail -n +{n * 40} a.txt | head -n 60"}),))
        for n in range(30)
    ]
    server = serve([*reads, Reply("I have read it.")])
    settings = {"models": {"openai/bench-model": {"context": 8_000, "maxOutput": 1_000}}}
    words = ("-p", "Read it all", "--output-format", "json", "--settings", json.dumps(settings))
    words = (*words, "--model", "openai/bench-model", "--base-url", f"{server.url}/v1", "--dialect", "openai-chat")
    ended = place.run(None, *words, env={"OPENAI_API_KEY": KEY}).expect(0, "answered")
    assert ended.result["result"] == "I have read it."
    assert max(len(seen.raw) for seen in server.requests) < 4 * 8_000
    for seen in server.requests:
        calls = [call.id for turn in seen.history for call in turn.calls]
        assert calls == [result.id for turn in seen.history for result in turn.results]
        assert "Read it all" in seen.first_user_text()


def test_two_runs_in_one_directory(place: Place, serve: Serve) -> None:
    place.write({"one/a.txt": "old\n", "two/a.txt": "old\n"})
    place.commit()
    runs = []
    for name in ("one", "two"):
        edit = Call("@edit", {"path": f"{name}/a.txt", "old": "old", "new": "new"})
        server = serve([Reply("I edit.", calls=(edit,)), Reply("Done.")])
        runs.append(place.start(server, "-p", "Make it new", "--output-format", "json",
                                "--check", f"grep new {name}/a.txt"))  # fmt: skip
    outs = [process.communicate(timeout=60) for process in runs]
    assert [process.returncode for process in runs] == [0, 0], outs


@pytest.mark.parametrize("variable", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY"])
def test_the_environment_of_the_vendors_tools_is_enough(place: Place, serve: Serve, variable: str) -> None:
    server = serve(Reply("Four."))
    vendor = variable.partition("_")[0]
    url = server.url if vendor == "ANTHROPIC" else f"{server.url}/v1"
    env = {
        variable: KEY,
        f"{vendor}_BASE_URL": url,
        "HTTP_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
    }
    assert place.run(None, "-p", "What is 2 + 2?", env=env).expect(0).out == "Four.\n"
    sent = server.requests[0].headers
    assert ("x-api-key" if variable == "ANTHROPIC_API_KEY" else "authorization") in sent


class _Elsewhere(BaseHTTPRequestHandler):
    """A web server that is no model's."""

    def do_POST(self) -> None:
        self.send_error(501, "Unsupported method ('POST')")

    def log_message(self, *_words: object) -> None:
        pass


class _Babble(socketserver.BaseRequestHandler):
    """No web server at all."""

    def handle(self) -> None:
        self.request.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")


@contextmanager
def _listening(handler: type[socketserver.BaseRequestHandler]) -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("handler", [_Elsewhere, _Babble])
def test_servers_that_are_no_models(place: Place, handler: type[socketserver.BaseRequestHandler]) -> None:
    with _listening(handler) as url:
        ended = place.task(url, prompt="x")
    ended.expect(2 if handler is _Elsewhere else 4)
    assert ended.seconds < 10
    assert "<" not in ended.result["errors"][0]
    assert "base" in ended.result["errors"][0]


def test_what_a_kill_leaves_is_cleared_by_the_next_run(place: Place, serve: Serve) -> None:
    write = Call("@write", {"path": "a", "content": "1"})
    server = serve([Reply("I write.", calls=(write,)), Reply("Done.")])
    words = ("-p", "Write", "--check", "test -e a && sleep 0.8")
    process = place.start(server, *words)
    wait_for((place.project / "a").exists)  # and what comes next is the check, in a copy
    time.sleep(0.4)
    process.kill()
    process.communicate()
    place.run(server, "resume", *words[2:]).expect(0)
    copies = [path for path in place.state.rglob("*") if path.name == "a" and path.is_file()]
    assert copies == []


@pytest.mark.row(57)
def test_files_that_cannot_be_read_do_not_stop_anything(place: Place, serve: Serve, tmp_path: Path) -> None:
    place.write({"a.txt": "old\n"})
    os.mkfifo(place.project / "pipe")
    (place.project / "dangling").symlink_to("nowhere")
    (place.project / "loop").symlink_to("loop")
    reads = tuple(Call("@read", {"path": name}) for name in ("pipe", "dangling", "loop", ".", "missing"))
    server = serve([Reply("I read.", calls=reads), Reply("I edit.", calls=(EDIT,)), Reply("Done.")])
    ended = place.task(server, "--check", "grep new a.txt", prompt="Make it new").expect(0, "verified")
    assert [result.is_error for result in server.requests[1].last.results] == [True, True, True, False, True]
    assert ended.seconds < 10
