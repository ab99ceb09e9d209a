"""The parts of the bench that compute: a wrong ratio or an unseen process would make every figure of it worthless."""

import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bench import faults, install, peers, quiet, report
from bench.__main__ import main
from bench.process import run, tree
from bench.session import Told, drive, make_project
from bench.tokens import Tokens
from hypothesis import given
from hypothesis import strategies as st

from assay.testing.server.jobs import PROMPT, five_step

LINUX = sys.platform == "linux"


def plain_environment(home: Path) -> dict[str, str]:
    return peers.base_environment(home)


def test_ratio_says_how_many_times_ours_theirs_is() -> None:
    assert report.ratio(0.3, 0.1) == "3.0x"
    assert report.ratio(0.3, 0.0) == "-"


def test_fifths_are_means_of_the_ends() -> None:
    assert report.fifths([1, 1, 5, 5, 5, 5, 5, 5, 3, 3]) == (1, 3)
    assert report.fifths([]) == (0.0, 0.0)


@given(st.floats(0, 1e3), st.floats(0, 10), st.integers(1, 500), st.integers(1, 500))
def test_slope_finds_the_cost_of_a_step(start: float, step: float, short: int, more: int) -> None:
    found = report.slope(start + step * short, start + step * (short + more), more)
    assert found == pytest.approx(step, abs=1e-6)


def test_markdown_has_a_row_a_line_and_keeps_bars_inside_cells() -> None:
    one = report.Report("x", "Title", ["a", "b"], [["1|2", "3"]], {}, ["note"])
    assert report.markdown(one).splitlines() == [
        "### Title", "", "| a | b |", "| --- | --- |", "| 1\\|2 | 3 |", "", "- note",
    ]  # fmt: skip


def test_report_is_saved_with_the_machine(tmp_path: Path) -> None:
    path = report.save(report.Report("x", "T", [], [], {"n": 1}), tmp_path / "results")
    text = path.read_text()
    assert '"load"' in text
    assert '"n": 1' in text


def question(name: str) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01" + labels + b"\0\0\x01\0\x01" + b"EDNS options"


@given(st.lists(st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True), min_size=1, max_size=5))
def test_resolver_reads_any_name_and_refuses_it(labels: list[str]) -> None:
    asked = question(".".join(labels))
    assert quiet.name_of(asked) == ".".join(labels)
    answer = quiet.refusal(asked)
    code, questions, answers = struct.unpack("!HHH", answer[2:8])
    assert (answer[:2], code & 0xF, questions, answers) == (asked[:2], 3, 1, 0)
    assert quiet.name_of(answer) == ".".join(labels)


@pytest.mark.parametrize("marker", ["1", "net:[7] mnt:[2]", "net:[1] mnt:[8]", ""])
def test_a_variable_alone_does_not_let_the_resolver_replace_the_machines(
    monkeypatch: pytest.MonkeyPatch, marker: str
) -> None:
    monkeypatch.setenv(quiet.INSIDE, marker)
    monkeypatch.setattr(quiet, "_namespaces", lambda: ["net:[7]", "mnt:[8]"])
    monkeypatch.setattr(quiet.socket, "if_nameindex", lambda: [(1, "lo")])
    monkeypatch.setattr(quiet, "_loopback_up", lambda: pytest.fail("touched the network"))
    assert not quiet.inside()
    assert not quiet.possible()  # and nothing is entered twice
    with pytest.raises(RuntimeError, match=r"quiet\.enter"):
        quiet.Resolver()


def test_inside_means_other_namespaces_and_no_network_but_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    interfaces = [(1, "lo")]
    monkeypatch.setenv(quiet.INSIDE, "net:[2] mnt:[2]")
    monkeypatch.setattr(quiet, "_namespaces", lambda: ["net:[3]", "mnt:[3]"])
    monkeypatch.setattr(quiet.socket, "if_nameindex", lambda: interfaces)
    assert quiet.inside()
    interfaces.append((2, "eth0"))
    assert not quiet.inside()


def test_programs_are_found_below_the_given_folder_before_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (tmp_path / "pi" / "bin", tmp_path / "elsewhere"):
        place.mkdir(parents=True)
        (place / "pi").write_text("#!/bin/sh\n")
        (place / "pi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("BENCH_PEERS", str(tmp_path))
    assert peers.find_program("pi") == str(tmp_path / "pi" / "bin" / "pi")
    monkeypatch.delenv("BENCH_PEERS")
    assert peers.find_program("pi") == str(tmp_path / "elsewhere" / "pi")
    assert peers.find_program("codex") is None


def test_a_launcher_of_the_package_manager_is_not_counted(tmp_path: Path) -> None:
    scope = tmp_path / "node_modules" / "@openai"
    binary = scope / "codex-linux-x64" / "vendor" / "x" / "bin" / "codex"
    for path in (binary, scope / "codex" / "bin" / "codex"):
        path.parent.mkdir(parents=True)
        path.write_text("")
    assert peers.native(scope / "codex" / "bin" / "codex") == str(binary)


def test_every_agent_gets_the_prompt_and_the_address_and_none_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    for kind in peers.KINDS:
        command, environment = peers.Peer(kind, "/bin/x").command(peers.Drive("http://host:1", "the prompt", tmp_path))
        written = "".join(path.read_text() for path in tmp_path.rglob("*.json"))
        assert "the prompt" in command
        assert "http://host:1" in " ".join([*command, *environment.values(), written])
        assert "PYTHONDONTWRITEBYTECODE" not in environment


def test_missing_agents_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("BENCH_ASSAY", sys.executable)
    found, missing = peers.find_peers(dialects=True)
    assert [peer.name for peer in found] == ["assay", "assay-anthropic", "assay-responses"]
    assert missing == ["codex", "claude-bare", "claude", "pi", "aider", "mini"]


def test_without_a_vocabulary_a_token_is_four_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    counter = Tokens()
    assert (counter.unit, counter.count([b"", b"12345678", b"1"])) == ("bytes/4", [0, 2, 1])


def test_weight_counts_a_file_once(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_bytes(b"x" * 2_000_000)
    (tmp_path / "link").symlink_to(tmp_path / "in" / "file")
    (tmp_path / "hard").hardlink_to(tmp_path / "in" / "file")
    assert install.weigh(tmp_path) == install.weigh(tmp_path / "hard") == pytest.approx(2.0)


def test_commands_of_a_fault_show_whether_only_half_was_run(tmp_path: Path) -> None:
    command = faults.long_command(0)
    lines = []
    for text in (command, command[: len(command) * 2 // 3]):
        subprocess.run(["sh", "-c", text], cwd=tmp_path, check=False, capture_output=True)
        lines.append(((tmp_path / faults.BEGUN).read_text(), (tmp_path / faults.WHOLE).read_text()))
    assert lines == [("0\n", "0\n"), ("0\n0\n", "0\n")]


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (faults.Seen(True, 0, 1.4, 2, False, None, []), "done, 2 tries, 1 s"),
        (faults.Seen(False, 0, 1.4, 1, True, None, []), "exit 0, NOT done, 1 try, 1 s, **ran half a command**"),
        (faults.Seen(False, None, 90.0, 7, False, None, []), "still at it after 90 s, 7 tries, 90 s"),
        (faults.Seen(True, 10, 1.0, 1, False, None, []), "done, but exit 10, 1 try, 1 s"),
    ],
)
def test_cell_tells_endings_apart(seen: faults.Seen, words: str) -> None:
    assert faults.cell(seen, faults.CASES[0]) == words


def test_no_assay_is_a_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("BENCH_ASSAY", str(tmp_path / "none"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert main(["start", "--open-network"]) == 2
    assert "BENCH_ASSAY" in capsys.readouterr().err


def ended(process: int) -> bool:
    """Whether a process is gone, or only waits to be reaped; pauses a moment otherwise."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    time.sleep(0.02)
    return state == "Z"


if LINUX:

    def test_run_measures_the_exit_and_the_cpu(tmp_path: Path) -> None:
        code = "import sys; sum(range(10**6)); print('out'); sys.exit(3)"
        done = run([sys.executable, "-c", code], plain_environment(tmp_path), tmp_path, 20, sample=True)
        assert (done.exit, done.output, done.left) == (3, "out\n", [])
        assert 0 < done.cpu < 20

    def test_run_ends_at_the_limit_with_all_children(tmp_path: Path) -> None:
        done = run(["sh", "-c", "sleep 60 & sleep 60"], plain_environment(tmp_path), tmp_path, 0.3)
        assert (done.exit, done.left) == (None, [])

    def test_what_is_left_running_is_named_and_ended(tmp_path: Path) -> None:
        code = "setsid sleep 61 & echo $! > left"
        done = run(["sh", "-c", code], plain_environment(tmp_path), tmp_path, 20)
        assert (done.exit, done.left) == (0, ["sleep"])
        number = int((tmp_path / "left").read_text())
        assert any(ended(number) for _ in range(200))

    def test_tree_has_the_children_of_children() -> None:
        with subprocess.Popen(["sh", "-c", "sh -c 'sleep 30; true'; true"], start_new_session=True) as process:
            try:
                for _ in range(100):
                    if len(tree(process.pid)) >= 3:
                        break
                    time.sleep(0.02)
                found = tree(process.pid)
            finally:
                os.killpg(process.pid, signal.SIGKILL)
        assert len(found) == 3

    def test_drive_sees_both_sides_of_a_run(tmp_path: Path) -> None:
        """A stand-in agent asks once over a bare socket; its request and exit are what the outcome tells."""
        agent = tmp_path / "agent"
        agent.write_text(f"#!{sys.executable}\n" + AGENT)
        agent.chmod(0o755)
        home = tmp_path / "home"
        home.mkdir()
        kind = peers.Kind("stand-in", "agent", "openai-chat", lambda drive: ([drive.url, drive.prompt], {}))
        outcome = drive(peers.Peer(kind, str(agent)), Told(five_step(), PROMPT, limit=20), home)
        assert outcome.finished.exit == 0, outcome.finished.output
        assert len(outcome.main) == 1
        first = outcome.first_request
        assert first is not None
        assert 0 < first < outcome.finished.wall
        assert (outcome.project / "calc.py").exists()


AGENT = """
import json, sys, urllib.request
body = {"model": "m", "messages": [{"role": "user", "content": sys.argv[2]}]}
request = urllib.request.Request(sys.argv[1] + "/v1/chat/completions", json.dumps(body).encode())
urllib.request.urlopen(request, timeout=10).read()
"""


def test_project_is_one_commit_of_three_files(tmp_path: Path) -> None:
    make_project(tmp_path / "p")
    listed = subprocess.run(["git", "ls-files"], cwd=tmp_path / "p", capture_output=True, text=True, check=True)
    assert listed.stdout.split() == ["README.md", "calc.py", "test_calc.py"]
