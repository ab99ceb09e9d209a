"""What a program brings to a task, put on it: its tools, its callbacks, its store."""

from __future__ import annotations

from msgspec import json
from msgspec.structs import replace

from assay.app.task import Task, Wish
from assay.core.errors import UsageError
from assay.core.events import Noticed
from assay.core.messages import Json
from assay.core.policy import Question
from assay.sdk.options import Options
from assay.sdk.permissions import CallbackApprover, PermissionUpdate
from assay.sdk.program import ProgramHost
from assay.sdk.store import Mirror, SessionKey
from assay.sdk.tools import ToolServer


class Equipment:
    """Of one task."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.servers: dict[str, ToolServer] = {}
        """Servers of MCP within this process, by the names that the options give them."""
        self.disabled: set[str] = set()
        self._mirror: Mirror | None = None
        self._troubles: list[tuple[SessionKey, str]] = []
        self._task: Task | None = None
        callback = options.can_use_tool
        self._approver = CallbackApprover(callback, self._troubled, self._update, self._suggest) if callback else None

    async def before(self, wish: Wish) -> Wish:
        """What has to be there before the task is assembled. Raises `AssayError`."""
        servers = self._options.mcp_servers
        if isinstance(servers, dict):
            for name, config in servers.items():
                instance = config.get("instance")
                if isinstance(instance, ToolServer):
                    self.servers[name] = instance
                elif config.get("type") == "sdk":
                    raise UsageError(f"mcp_servers: {name}: expected what create_sdk_mcp_server returns")
        if not isinstance(servers, dict):
            wish = replace(wish, mcp_config=(str(servers),))
        elif external := {name: config for name, config in servers.items() if name not in self.servers}:
            wish = replace(wish, mcp_config=(json.encode({"mcpServers": external}).decode(),))
        wish = replace(wish, host=ProgramHost(self._options, self._approver))
        if self._options.session_store is not None and wish.session is not None:
            from assay.app.paths import find_paths
            from assay.sdk.store import fetch
            from assay.sessions.index import Sessions

            sessions = Sessions(find_paths(wish.environ).state)
            session = await fetch(self._options.session_store, sessions, wish.session, wish.directory)
            wish = replace(wish, session=session)
        return wish

    async def put_on(self, task: Task) -> None:
        run, self._task = task.run, task
        own = self._options.own_tools()
        for server in self.servers:
            self.offer(task, server)
        for tool in own:
            if tool.spec.name in run.tools:
                raise UsageError(f"tools: there is a tool {tool.spec.name} already; give yours another name")
            run.tools.add(tool)
        if store := self._options.session_store:
            self._mirror = Mirror(store, task.session, str(task.run.parts.workspace.root), self._failed)
            await self._mirror.begin(run.parts.store)
            run.bus.subscribe(self._mirror.watch)

    def offer(self, task: Task, server: str) -> None:
        """Put the tools of a server of this process into requests."""
        self.disabled.discard(server)
        for tool in self.servers[server].offered(server):
            task.run.tools.add(tool)

    def withdraw(self, task: Task, server: str) -> None:
        self.disabled.add(server)
        for tool in self.servers[server].offered(server):
            task.run.tools.remove(tool.name)

    def status(self) -> list[Json]:
        """Of the servers of this process, as MCP hosts word it."""
        return [
            {
                "name": name,
                "status": "disabled" if name in self.disabled else "connected",
                "serverInfo": {"name": server.name, "version": server.version},
                "config": {"type": "sdk", "name": name},
                "scope": "dynamic",
                "tools": [] if name in self.disabled else server.listing(),
            }
            for name, server in self.servers.items()
        ]

    def _troubled(self, text: str) -> None:
        if self._task:
            self._task.run.record(Noticed(text))

    def _update(self, updates: list[PermissionUpdate]) -> None:
        """What leave brought with it, to hold from now on."""
        if updates and self._task:
            self._task.allow([each.to_dict() for each in updates])

    def _suggest(self, question: Question) -> list[PermissionUpdate]:
        found = self._task.permissions.suggestions(question) if self._task and self._task.permissions else []
        return [PermissionUpdate.from_dict(each) for each in found]

    async def flush(self) -> list[tuple[SessionKey, str]]:
        """Hand over what the store has not got yet; what went wrong since the last time."""
        if self._mirror:
            await self._mirror.flush()
        troubles, self._troubles = self._troubles, []
        return troubles

    def _failed(self, key: SessionKey, error: str) -> None:
        self._troubles.append((key, error))
