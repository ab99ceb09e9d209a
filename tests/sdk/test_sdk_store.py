"""Session stores, and the stored sessions."""

from __future__ import annotations

import shutil

import pytest

from assay import (
    Client,
    InMemorySessionStore,
    MirrorErrorMessage,
    delete_session,
    fork_session,
    get_session_messages,
    list_sessions,
    query,
)
from assay.core.errors import StorageError, UsageError
from assay.sdk.store import BATCH
from assay.testing.conformance.session_store import SessionStoreConformance
from assay.testing.server import Call, Reply

from .conftest import Place, all_of, result_of

WRITE = (Reply("I write.", calls=(Call("@write", {"path": "a", "content": "b"}),)), Reply("Done."))


class TestInMemory(SessionStoreConformance):
    @pytest.fixture
    def make_store(self) -> type[InMemorySessionStore]:
        return InMemorySessionStore


def forget(place: Place) -> None:
    """What another machine does not have."""
    shutil.rmtree(place.home)
    place.home.mkdir()


async def test_a_session_goes_on_where_only_the_store_has_it(place: Place) -> None:
    store = InMemorySessionStore()
    first = await result_of("write", place.options([*WRITE, Reply("b")], session_store=store))
    (key,) = [{"project_key": project, "session_id": session} for project, session, _ in store._entries]
    kept = await store.load(key)
    assert [each["number"] for each in kept] == list(range(1, len(kept) + 1))
    assert kept[-1]["type"] == "turn_ended", "all of it is there before the result is told"
    forget(place)
    again = await result_of("what is in a?", place.again(session_store=store, resume=first.session_id))
    assert again.session_id == first.session_id
    assert b"I write." in place.server.requests[-1].raw
    longer = await store.load(key)
    assert longer[: len(kept)] == kept
    assert [each["number"] for each in longer] == list(range(1, len(longer) + 1))
    forget(place)
    newest = await result_of("and now?", place.again(session_store=store, continue_conversation=True))
    assert newest.session_id == first.session_id


async def test_a_store_that_fails_is_told_and_nothing_else(place: Place) -> None:
    class Broken(InMemorySessionStore):
        fails = True

        async def append(self, key, entries) -> None:
            if self.fails:
                raise ConnectionError("the database is away")
            await super().append(key, entries)

    store = Broken()
    async with Client(place.options([*WRITE, Reply("hi")], session_store=store)) as client:
        await client.query("write")
        seen = await all_of(client.receive_response())
        (trouble,) = [message for message in seen if isinstance(message, MirrorErrorMessage)]
        assert trouble.error == "ConnectionError: the database is away"
        assert seen[-1].outcome == "unverified"
        store.fails = False
        await client.query("hi")
        await all_of(client.receive_response())
        (entries,) = [await store.load({"project_key": p, "session_id": s}) for p, s, _ in store._entries]
    assert [each["number"] for each in entries] == list(range(1, len(entries) + 1)), "made good later"
    assert len(entries) < BATCH


async def test_what_is_no_session_is_refused(place: Place) -> None:
    store = InMemorySessionStore()
    with pytest.raises(UsageError, match="session store"):
        await result_of("hi", place.options([Reply("hi")], session_store=store, resume="01aa"))
    with pytest.raises(UsageError, match="the session store has none"):
        await result_of("hi", place.again(session_store=store, continue_conversation=True))
    from assay.sessions.index import project_key

    project = project_key(str(place.project))
    await store.append({"project_key": project, "session_id": "../../evil"}, [{"type": "x"}])
    with pytest.raises(UsageError, match="bad session id"):
        await result_of("hi", place.again(session_store=store, resume="../../evil"))
    await store.append({"project_key": project, "session_id": "odd"}, [{"type": "x"}])
    with pytest.raises(StorageError, match="no record of a session"):
        await result_of("hi", place.again(session_store=store, resume="odd"))


async def test_stored_sessions_are_listed_read_forked_and_deleted(place: Place) -> None:
    first = await result_of("write a", place.options(WRITE))
    second = await result_of("say hi", place.options([Reply("hi"), Reply("on")]))
    found = list_sessions(str(place.project))
    assert [each.session_id for each in found] == [second.session_id, first.session_id]
    assert (found[1].summary, found[1].outcome) == ("write a", "unverified")
    assert list_sessions(limit=1, offset=1)[0].session_id == first.session_id
    said = get_session_messages(first.session_id)
    assert [each.type for each in said] == ["user", "assistant", "assistant", "user", "assistant"]
    assert said[0].message == {"role": "user", "content": "write a"}
    assert said[3].message["content"][0]["type"] == "tool_result"
    assert [each.uuid for each in get_session_messages(first.session_id)] == [each.uuid for each in said]
    some = get_session_messages(first.session_id, limit=2, offset=1)
    assert [each.uuid for each in some] == [each.uuid for each in said[1:3]]
    fork = fork_session(first.session_id, up_to_message_id=said[0].uuid)
    assert [each.message for each in get_session_messages(fork.session_id)] == [said[0].message]
    with pytest.raises(UsageError, match="no message"):
        fork_session(first.session_id, "nope")
    delete_session(first.session_id)
    with pytest.raises(UsageError):
        get_session_messages(first.session_id)
    assert (await result_of("go on", place.again(resume=second.session_id))).result == "on"


async def test_messages_of_the_stream_and_of_the_log_have_one_name(place: Place) -> None:
    seen = await all_of(query(prompt="write a", options=place.options(WRITE)))
    said = {each.uuid for each in get_session_messages(seen[-1].session_id)}
    streamed = {message.uuid for message in seen if type(message).__name__ in ("AssistantMessage", "UserMessage")}
    assert streamed < said
