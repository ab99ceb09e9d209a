"""The operating-system port on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from assay.core.errors import FileMissing, NotAFile, OutsideWorkspace
from assay.core.workspace import Change, Command, CommandResult, FileContent, Process, Stamp
from assay.workspace import copies, files
from assay.workspace.environment import clean_environment
from assay.workspace.process import Launch, Runner, Running, limited
from assay.workspace.restore import put_back, remove
from assay.workspace.sandbox.bubblewrap import Bubblewrap
from assay.workspace.sandbox.port import Confinement, Layer, Limits, Sandbox, machine_limits
from assay.workspace.sandbox.view import beneath
from assay.workspace.snapshots import GitTrees, git_binary
from assay.workspace.trees import Trees

if TYPE_CHECKING:
    from assay.workspace.held import Guard
    from assay.workspace.sandbox.egress.proxy import Egress
    from assay.workspace.sandbox.resident import Resident


class Beside(NamedTuple):
    """Directories outside the root that belong to the work, absolute and resolved; snapshots leave them out."""

    writable: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    """Names of further variables that commands get."""
    hidden: tuple[str, ...] = ()
    """Paths below the root that commands see as empty."""

    def layers(self) -> tuple[Layer, ...]:
        writable = tuple(Layer(path, path, "write") for path in self.writable)
        return (*writable, *(Layer(path, path, "read") for path in self.readable))


class LocalWorkspace:
    """Implements `core.workspace.Workspace` for the directory `root`.

    `sandbox` confines commands; with None they run as the user. `state_dir` is a directory of ours for this project
    (snapshots, copies), made when it is needed. `environ` is what the commands' environment is picked from. `limits`
    are those of a sandboxed command; None for what the machine can spare. `egress` is the proxy that confined commands
    reach hosts through; copies have none.
    """

    _guarded = True
    """False for scratch copies: what is done to them goes with them."""

    def __init__(
        self,
        root: str | Path,
        *,
        sandbox: Sandbox | None,
        state_dir: str | Path,
        environ: Mapping[str, str] | None = None,
        beside: Beside = Beside(),  # noqa: B008 - frozen
        egress: Egress | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._root = os.path.realpath(root)
        if not os.path.isdir(self._root):  # noqa: PTH112
            raise FileMissing(f"{root}: no such directory")
        self._environ = dict(os.environ if environ is None else environ)
        self._state = Path(os.path.realpath(state_dir))
        self._sandbox = sandbox
        self._runner = Runner()
        git = git_binary(self._root, self._environ.get("PATH", os.defpath))
        self._trees: Trees = GitTrees(self._root, self._state, git) if git else _plain_trees(self._root, self._state)
        self._beside = beside
        self._lent: set[str] = set()
        self._egress = egress
        self._view = Confinement(self._root, self._root, layers=beside.layers(), hidden=beside.hidden, limits=limits)
        self._cache = ""
        self._guard: Guard | None = None
        self._closed = False
        self.overlays_proved = False
        """A copy was once laid as an overlay over these files, and a command ran in it."""
        self.whole_copies = ""
        """Why the last copy was made file by file, and what that cost; empty when it was not."""
        self._resident: Resident | None = None
        self._warm = False

    @property
    def root(self) -> str:
        return self._root

    def admit(self, directories: tuple[str, ...]) -> None:
        """From the next command on, these directories belong to the work besides the root; absolute, resolved."""
        before = self._beside.layers()
        self._beside = self._beside._replace(writable=directories)
        others = (layer for layer in self._view.layers if layer not in before)
        self._view = self._view._replace(layers=(*self._beside.layers(), *others))

    @property
    def seen_root(self) -> str:
        """Where commands see the root: for a sandboxed copy, the path of the original; both paths lead to the copy."""
        return self._view.root

    @property
    def confined(self) -> bool:
        return self._sandbox is not None

    async def run(self, command: Command) -> CommandResult:
        """As `_run`; what the command does to protected names is taken back and kept below the state directory."""
        if not self._guarded or self._sandbox is None or command.read_only:
            return await self._run(command)
        if self._guard is None:
            from assay.workspace.held import Guard

            self._guard = Guard(self._root, self._state / "held")
        protected = await self._guard.begin()
        if protected is not None:
            self._view = self._view._replace(protected=protected)
        if self._closed:
            self._guard.end()
            return CommandResult(137, "", 0, 0.0)
        return await self._guard.watch(self._run(command))

    def start(self, command: Command) -> Process:
        """As the port says. What runs on keeps what is mounted as it is: protected names that come to be meanwhile are
        taken back for review, unless this program wrote them."""
        heard = set[str]()
        return Process(self._listening(command, heard), command.spill if command.live else "", heard)

    async def _listening(self, command: Command, heard: set[str]) -> CommandResult:
        with self._egress.heard(heard) if self._egress else nullcontext():
            return await self.run(command)

    async def _run(self, command: Command) -> CommandResult:
        """Raises `FileMissing`, `NotAFile` or `OutsideWorkspace` for a bad `cwd`. Without a sandbox, `read_only` binds
        nobody."""
        below = self._directory(command.cwd)
        sandbox = self._sandbox
        asked = (command.timeout, command.limit, command.spill)
        lasting = command.live and command.terminal is None
        if sandbox is None:
            home = self._environ.get("HOME", "/")
            env = self._environment(home) | command.env
            cwd = f"{self._root}/{below}" if below else self._root
            line = limited(command.argv, first=False, tethered=lasting)
            launch = Launch(line, cwd, env, *asked, terminal=command.terminal, fed=lasting, live=command.live)
            return await self._runner.run(launch)
        inside = f"{self._view.root}/{below}" if below else self._view.root
        env = self._environment(sandbox.home) | command.env
        if isinstance(sandbox, Bubblewrap) and sandbox.resident:
            if self._egress:
                env = self._environment(sandbox.home) | await self._egress.environment() | command.env
            launch = Launch(command.argv, inside, env, *asked, terminal=command.terminal, live=command.live)
            with self._egress.heard() if self._egress else nullcontext(set[str]()) as heard:
                result = await self._runner.run(launch, partial(self._begin, sandbox, read_only=command.read_only))
            result = msgspec.structs.replace(result, network=tuple(sorted(heard)))
            return _told(result, self._view.limits or machine_limits())
        self._equip()
        lasting = lasting and not sandbox.owns_processes
        line = limited(command.argv, first=sandbox.owns_processes, tethered=lasting)
        from assay.workspace.sandbox.container import Container  # few have one

        if isinstance(sandbox, Container):
            launch = Launch(line, inside, env, *asked, live=command.live)
            return await self._runner.run(launch, partial(sandbox.begin, self._view, read_only=command.read_only))
        argv = sandbox.argv(self._view, line, inside, read_only=command.read_only)
        owned = sandbox.owns_processes
        launch = Launch(argv, "/", env, *asked, owned, command.terminal, sandbox.calls, lasting, command.live)
        return await self._runner.run(launch)

    async def _begin(self, sandbox: Bubblewrap, launch: Launch, *, read_only: bool) -> Running:
        resident = self._resident_of(sandbox)
        if self._egress:
            await self._egress.serve(resident)
        return await resident.start(launch, read_only=read_only)

    def _resident_of(self, sandbox: Bubblewrap) -> Resident:
        """The process inside the sandbox that starts commands; a new one when there is none that can be used."""
        from assay.workspace.sandbox.resident import Resident

        self._equip()
        old = self._resident
        if old is not None and old.view == self._view and old.usable:
            return old
        if old is not None:
            old.kill()
        self._resident = Resident(sandbox, self._view)
        return self._resident

    def _equip(self) -> None:
        if not self._view.cache:
            self._cache = str(copies.own_directory(self._state / "caches"))
            shown = self._egress.layers() if self._egress else ()
            layers = (*(layer for layer in self._view.layers if layer not in shown), *shown)
            self._view = self._view._replace(cache=self._cache, layers=layers)

    def _environment(self, home: str) -> dict[str, str]:
        named = {name: self._environ[name] for name in self._beside.variables if name in self._environ}
        return clean_environment(self._environ, home) | named

    def _directory(self, cwd: str) -> str:
        """`cwd` without links, relative to the root; it must be a directory in it."""
        full = os.path.realpath(os.path.join(self._root, cwd))  # noqa: PTH118 - an absolute one stays absolute
        if not beneath(full, [self._root]):
            raise OutsideWorkspace(f"{cwd}: outside the workspace {self._root}")
        if not os.path.isdir(full):  # noqa: PTH112
            kind = NotAFile if os.path.lexists(full) else FileMissing
            raise kind(f"{cwd or self._root}: no such directory to run a command in")
        return full[len(self._root) :].strip("/")

    def read_file(self, path: str, limit: int | None = None) -> FileContent:
        return files.read_file(self._top(path, (*self._beside.writable, *self._beside.readable)), path, limit)

    def write_file(self, path: str, data: bytes, expect: Stamp | None) -> Stamp:
        with self._by_us(path):
            return files.write_file(self._top(path, self._beside.writable), path, data, expect)

    def delete_file(self, path: str, expect: Stamp) -> None:
        with self._by_us(path):
            files.delete_file(self._top(path, self._beside.writable), path, expect)

    def lend(self, path: str) -> None:
        """A person gave leave to change this very file outside; absolute. Commands see nothing of it."""
        self._lent.add(os.path.normpath(path))

    def _by_us(self, path: str = "") -> AbstractContextManager[None]:
        if self._guard is None:
            return nullcontext()
        return self._guard.ours(path.removeprefix(f"{self._root}/"))

    def _top(self, path: str, tops: tuple[str, ...]) -> str:
        """The directory that `path` is resolved beneath: the root, unless it lies in one beside it."""
        if path in self._lent:
            return os.path.dirname(path)  # noqa: PTH120 - resolved beneath it, like any other
        return next((top for top in tops if path.startswith(top + "/") and not beneath(path, [self._root])), self._root)

    async def list_files(self, limit: int = 20_000) -> list[str]:
        """Undecodable bytes of names are surrogates (`os.fsdecode`)."""
        return await self._trees.list_files(limit)

    async def snapshot(self) -> str:
        """Commands follow the first one as a rule: what runs them is started then."""
        tree = await self._trees.snapshot()
        if not self._warm and isinstance(self._sandbox, Bubblewrap) and self._sandbox.resident:
            self._warm = True
            with contextlib.suppress(OSError):  # told by the first command
                self._resident_of(self._sandbox)
        return tree

    async def changes(self, before: str, after: str) -> list[Change]:
        return await self._trees.changes(before, after)

    async def patch(self, before: str, after: str) -> str:
        """Bytes that are no UTF-8 are surrogates: encode with `surrogateescape` and it applies."""
        return await self._trees.patch(before, after)

    async def read_at(self, tree: str, path: str) -> bytes | None:
        return (await self._trees.read(tree, [path])).get(path)

    async def compose(self, tree: str, paths: list[str], source: str) -> str:
        return await self._trees.compose(tree, paths, source)

    async def restore(self, tree: str) -> list[Change]:
        now = await self._trees.snapshot()
        changes = await self._trees.changes(now, tree)
        wanted = await self._trees.differences(now, tree)
        data = await self._trees.read(tree, [each.path for each in wanted if each.kind != "deleted"])
        with self._by_us():
            for each in wanted:
                if each.kind == "deleted":
                    remove(self._root, each.path)
            for each in wanted:
                if each.path in data:
                    put_back(self._root, each.path, each.mode, data[each.path])
        return changes

    @asynccontextmanager
    async def copy(self, tree: str) -> AsyncGenerator[LocalWorkspace, None]:
        """In the sandbox the copy's commands see it at the original path, with ignored directories laid over it; their
        writes stay in the copy."""
        scratch = await asyncio.to_thread(copies.make, self._state)
        try:
            twin = await self._twin(tree, scratch)
            try:
                yield twin
            finally:
                await twin.aclose()
        finally:
            # The removal of many files takes its time; it goes on in its thread when this task is cancelled meanwhile.
            await asyncio.shield(asyncio.to_thread(copies.discard, scratch.top))

    async def _twin(self, tree: str, scratch: copies.Scratch) -> LocalWorkspace:
        from assay.workspace.overlaid import Overlaid

        laid = await Overlaid.lay(self, tree, scratch)
        if not isinstance(laid, str):
            self.whole_copies = ""
            return laid
        began = time.monotonic()
        twin = LocalWorkspace(
            scratch.files, sandbox=self._sandbox, state_dir=self._state, environ=self._environ, beside=self._reading()
        )
        twin._trees, twin._guarded = self._trees.at(twin._root), False
        await twin._trees.materialise(tree)
        ignored = await self._trees.ignored()
        layers = await asyncio.to_thread(copies.equip, scratch, self._view.root, ignored, self._sandbox)
        mounted = self._sandbox is not None and self._sandbox.owns_processes
        if mounted:
            twin._view = self._view._replace(
                source=twin._root, cache=str(scratch.cache), layers=self._carried(layers), proxy=False
            )
        self.whole_copies = f"{laid}: every file was copied, which took {time.monotonic() - began:.1f} s"
        return twin

    def _reading(self) -> Beside:
        """What a copy has beside it: the same, to read."""
        readable = (*self._beside.writable, *self._beside.readable)
        return Beside((), readable, self._beside.variables, self._beside.hidden)

    def _carried(self, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        """What lies over the copy. What lay over this workspace can only be read from it: two overlays must not share
        a directory for their changes."""
        return (*(layer._replace(kind="read") for layer in self._view.layers), *layers)

    def kill(self) -> None:
        """End every command at once, without waiting for anything."""
        self._runner.kill_all()
        if self._resident is not None:
            self._resident.kill()

    async def aclose(self) -> None:
        """Ends every command and removes what is temporary. May be called twice."""
        self._closed = True
        self.kill()
        self._trees.close()
        if self._cache:
            copies.discard(Path(self._cache))
            self._cache = ""
            self._view = self._view._replace(cache="")


def _told(result: CommandResult, limits: Limits) -> CommandResult:
    """The result with a line about the limit that the command ran into."""
    if not result.exit_code or result.stopped == "output":
        return result
    line = limits.told(result.stopped) if result.stopped else limits.hint(result.output)
    return msgspec.structs.replace(result, output=f"{result.output}\n{line}\n") if line else result


def _plain_trees(root: str, state: Path) -> Trees:
    from assay.workspace.plain import PlainTrees  # few machines are without git

    return PlainTrees(root, state)
