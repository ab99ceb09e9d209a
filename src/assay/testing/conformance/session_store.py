"""The contract of `assay.SessionStore`, for whoever keeps sessions in a place of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from assay.core.messages import Json
from assay.sdk.store import SessionKey, SessionStore

MAKE = Callable[[], SessionStore]
"""A new store, with nothing in it."""
SECONDS = 20.0
KEY: SessionKey = {"project_key": "project-1", "session_id": "session-1"}
OTHER: SessionKey = {"project_key": "project-1", "session_id": "session-2"}
BELOW: SessionKey = {"project_key": "project-1", "session_id": "session-1", "subpath": "subagents/agent-1"}
FURTHER: SessionKey = {"project_key": "project-1", "session_id": "session-1", "subpath": "subagents/agent-2"}


def entry(number: int, **more: Json) -> dict[str, Json]:
    return {"type": "notice", "uuid": f"u-{number}", "timestamp": "2026-01-01T00:00:00+00:00", "number": number, **more}


class SessionStoreConformance:
    """Needs a fixture `make_store`."""

    async def test_entries_come_back_equal_and_in_order(self, make_store: MAKE) -> None:
        deep: Json = {"text": "é漢😀\u2028\n", "list": [1, 2.5, None, True, {"a": ""}], "big": 10**15}
        written = [entry(1), entry(2, event=deep), entry(3)]
        async with asyncio.timeout(SECONDS):
            store = make_store()
            await store.append(KEY, written[:2])
            await store.append(KEY, written[2:])
            assert await store.load(KEY) == written
            assert await store.load(KEY) == written, "a second time gives the same"

    async def test_what_nothing_was_appended_to_is_none(self, make_store: MAKE) -> None:
        async with asyncio.timeout(SECONDS):
            store = make_store()
            assert await store.load(KEY) is None
            await store.append(KEY, [entry(1)])
            assert await store.load(OTHER) is None
            assert await store.load(BELOW) is None
            assert await store.load({"project_key": "project-2", "session_id": "session-1"}) is None

    async def test_later_changes_of_what_was_given_change_nothing(self, make_store: MAKE) -> None:
        async with asyncio.timeout(SECONDS):
            store, given = make_store(), entry(1, event={"list": [1]})
            await store.append(KEY, [given])
            given["uuid"] = "changed"
            loaded = await store.load(KEY)
            assert loaded is not None
            assert loaded == [entry(1, event={"list": [1]})]
            loaded[0]["uuid"] = "changed"
            assert await store.load(KEY) == [entry(1, event={"list": [1]})]

    async def test_sessions_of_a_project_are_listed(self, make_store: MAKE) -> None:
        async with asyncio.timeout(SECONDS):
            store = make_store()
            assert await store.list_sessions("project-1") == []
            await store.append(KEY, [entry(1)])
            await store.append(BELOW, [entry(1)])
            await asyncio.sleep(0.005)
            await store.append(OTHER, [entry(1)])
            listed = {each["session_id"]: each["mtime"] for each in await store.list_sessions("project-1")}
            assert listed.keys() == {"session-1", "session-2"}
            assert listed["session-2"] >= listed["session-1"] > 0
            assert await store.list_sessions("project-2") == []

    async def test_what_is_below_a_session_is_kept_apart(self, make_store: MAKE) -> None:
        async with asyncio.timeout(SECONDS):
            store = make_store()
            assert await store.list_subkeys({"project_key": "project-1", "session_id": "session-1"}) == []
            for number, key in enumerate((KEY, BELOW, FURTHER), 1):
                await store.append(key, [entry(number)])
            found = await store.list_subkeys({"project_key": "project-1", "session_id": "session-1"})
            assert sorted(found) == ["subagents/agent-1", "subagents/agent-2"]
            assert await store.load(BELOW) == [entry(2)]
            assert await store.load(KEY) == [entry(1)]

    async def test_deleting(self, make_store: MAKE) -> None:
        async with asyncio.timeout(SECONDS):
            store = make_store()
            for key in (KEY, BELOW, FURTHER, OTHER):
                await store.append(key, [entry(1)])
            await store.delete(BELOW)
            assert await store.load(BELOW) is None
            assert await store.load(FURTHER) == [entry(1)]
            await store.delete(KEY)
            assert [await store.load(key) for key in (KEY, FURTHER)] == [None, None]
            assert await store.load(OTHER) == [entry(1)]
            await store.delete(KEY)
            assert await store.list_subkeys({"project_key": "project-1", "session_id": "session-1"}) == []

    async def test_many_at_once(self, make_store: MAKE) -> None:
        async with asyncio.timeout(SECONDS):
            store = make_store()
            keys: list[SessionKey] = [{"project_key": "p", "session_id": f"s{number}"} for number in range(10)]
            await asyncio.gather(*(store.append(key, [entry(each) for each in range(20)]) for key in keys))
            for key in keys:
                assert await store.load(key) == [entry(each) for each in range(20)]
