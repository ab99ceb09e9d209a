"""One run of one agent against the scripted server, in a fresh project: what it used, and what it asked for."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from assay.testing.server import Conversation, Exchange, Fault, conversations, serve_in_thread
from assay.testing.server.choose import ReplyFunction
from assay.testing.server.jobs import write_project
from bench.peers import Drive, Peer
from bench.process import Finished, run
from bench.quiet import Resolver


class Homes:
    """A home directory for each agent, fresh at first and kept, so that later runs find what the first one left."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def of(self, peer: Peer) -> Path:
        """The home; made when it isn't there."""
        home = self.root / peer.name / "home"
        home.mkdir(parents=True, exist_ok=True)
        return home

    def forget(self, peer: Peer) -> None:
        """Makes the next home fresh."""
        shutil.rmtree(self.root / peer.name, ignore_errors=True)


@contextmanager
def homes() -> Iterator[Homes]:
    """Homes below a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as root:
        yield Homes(Path(root))


def make_project(root: Path) -> None:
    """A git project of three files, one commit: a bug, its failing test, a readme. Git ignores `*.trace` in it."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    write_project(root)
    (root / "README.md").write_text("# calc\n\nAdds numbers.\n")
    git = ["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    for words in (["init", "-q", "."], ["add", "-A"], ["commit", "-q", "-m", "start"]):
        subprocess.run([*git, *words], cwd=root, check=True, stdin=subprocess.DEVNULL)
    (root / ".git" / "info").mkdir(exist_ok=True)
    (root / ".git" / "info" / "exclude").write_text("*.trace\n")


class Told(NamedTuple):
    """What a run is to do. `sample`: watch memory. `faults` as the scripted server knows them."""

    reply: ReplyFunction
    prompt: str
    faults: Sequence[Fault] = ()
    limit: float = 120.0
    sample: bool = False


class Outcome(NamedTuple):
    """A run as both sides saw it. `exchanges` are requests to the model in order; `names` were looked up."""

    finished: Finished
    exchanges: list[Exchange]
    names: list[str]
    project: Path

    @property
    def first_request(self) -> float | None:
        """Seconds from process start to the arrival of the first request to the model; None if there was none."""
        return self.exchanges[0].arrived - self.finished.started if self.exchanges else None

    @property
    def main(self) -> list[Exchange]:
        """Requests of the conversation that did the work: not titles, not summaries."""
        found = [item for item in self.exchanges if item.seen and item.seen.tools]
        return found or self.exchanges

    @property
    def conversations(self) -> list[Conversation]:
        """The conversations, the longest first."""
        found = conversations([item.seen for item in self.exchanges if item.seen])
        return sorted(found, key=lambda one: -one.requests)

    @property
    def gaps(self) -> list[float]:
        """Seconds from the end of each reply to the next request of the conversation that did the work."""
        pairs = zip(self.main, self.main[1:], strict=False)
        return [after.arrived - before.ended for before, after in pairs if before.ended is not None]


def drive(peer: Peer, told: Told, home: Path, resolver: Resolver | None = None) -> Outcome:
    """One run in a fresh project beside `home`, which is kept for the caller to look at."""
    project = home.parent / "project"
    make_project(project)
    with serve_in_thread(told.reply, told.faults) as server:
        command, environment = peer.command(Drive(server.url, told.prompt, home))
        if resolver:
            resolver.take()
        finished = run(command, environment, project, told.limit, told.sample)
        exchanges = [item for item in server.exchanges if item.seen is not None]
    return Outcome(finished, exchanges, resolver.take() if resolver else [], project)
