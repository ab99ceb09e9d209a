"""Keep sessions where you want them, here in SQLite, and go on with them anywhere: `pytest session_store.py` tries it.

    python session_store.py sessions.db "Remember the number seven."
    python session_store.py sessions.db "Which number?"

The second call goes on with the newest session of this directory, even on a machine that never saw it.
"""

import asyncio
import json
import sqlite3
import sys
import time

import pytest

import assay
from assay.testing.conformance.session_store import SessionStoreConformance


class SqliteStore:
    """A `SessionStore`: five methods, each about a key of project, session and subpath."""

    def __init__(self, path: str) -> None:
        self.db = sqlite3.connect(path)
        columns = "number INTEGER PRIMARY KEY, project, session, subpath, changed, entry"
        self.db.execute(f"CREATE TABLE IF NOT EXISTS entries ({columns})")

    async def append(self, key, entries) -> None:
        row = (key["project_key"], key["session_id"], key.get("subpath", ""), int(time.time() * 1000))
        with self.db:
            self.db.executemany(
                "INSERT INTO entries (project, session, subpath, changed, entry) VALUES (?, ?, ?, ?, ?)",
                [(*row, json.dumps(entry)) for entry in entries],
            )

    async def load(self, key):
        where = (key["project_key"], key["session_id"], key.get("subpath", ""))
        query = "SELECT entry FROM entries WHERE project = ? AND session = ? AND subpath = ? ORDER BY number"
        return [json.loads(entry) for (entry,) in self.db.execute(query, where)] or None

    async def list_sessions(self, project_key):
        query = "SELECT session, MAX(changed) FROM entries WHERE project = ? AND subpath = '' GROUP BY session"
        return [{"session_id": session, "mtime": time} for session, time in self.db.execute(query, (project_key,))]

    async def delete(self, key) -> None:
        query, where = "DELETE FROM entries WHERE project = ? AND session = ?", [key["project_key"], key["session_id"]]
        if "subpath" in key:
            query, where = f"{query} AND subpath = ?", [*where, key["subpath"]]
        with self.db:
            self.db.execute(query, where)

    async def list_subkeys(self, key):
        query = "SELECT DISTINCT subpath FROM entries WHERE project = ? AND session = ? AND subpath != ''"
        return [subpath for (subpath,) in self.db.execute(query, (key["project_key"], key["session_id"]))]


class TestSqliteStore(SessionStoreConformance):
    @pytest.fixture
    def make_store(self):
        stores = []

        def make():
            stores.append(SqliteStore(":memory:"))
            return stores[-1]

        yield make
        for store in stores:
            store.db.close()


async def main(path: str, prompt: str) -> None:
    store = SqliteStore(path)
    again = store.db.execute("SELECT 1 FROM entries").fetchone() is not None
    options = assay.Options(session_store=store, continue_conversation=again, max_turns=10)
    async for message in assay.query(prompt=prompt, options=options):
        if isinstance(message, assay.ResultMessage):
            print(message.result)
    store.db.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
