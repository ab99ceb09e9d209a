"""Test a program that talks to a model, without a model: here `assay` itself, through a fault and back.

    python drive_scripted_server.py

The scripted server speaks Anthropic Messages, OpenAI Chat Completions and OpenAI Responses on one port, so any client
will do. Its first answer is a 529; the client has to try again.
"""

import os
import subprocess
import tempfile
from pathlib import Path

from assay.testing.server import Call, Fault, Reply, serve_in_thread

SCRIPT = [
    Reply("I write it down.", calls=(Call("@write", {"path": "hello.txt", "content": "hello\n"}),)),
    Reply("hello.txt says hello."),
]


def main() -> None:
    with (
        serve_in_thread(SCRIPT, [Fault("overloaded")]) as server,
        tempfile.TemporaryDirectory() as project,
        tempfile.TemporaryDirectory() as home,
    ):
        command = ["assay", "-p", "Write hello.txt", "--model", "any", "--base-url", f"{server.url}/v1"]
        environment = {**os.environ, "ASSAY_HOME": home}
        done = subprocess.run(command, cwd=project, env=environment, stdin=subprocess.DEVNULL, check=False)
        assert Path(project, "hello.txt").read_text() == "hello\n"
        assert done.returncode == 10, "nothing executable speaks for a text file: unverified"
        assert len(server.requests) == 3, "one that failed, two that were answered"
        assert [tool.name for tool in server.requests[-1].tools][:2] == ["Bash", "Read"]


if __name__ == "__main__":
    main()
