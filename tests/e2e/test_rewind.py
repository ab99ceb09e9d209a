"""Going back from outside: edits, commands, new and deleted files, and what the user did meanwhile."""

from __future__ import annotations

from assay.testing.server import Call, Reply

from .command import Place
from .conftest import Serve
from .test_agents import cast, send

LINE = "rm gone.txt; mkdir -p d; echo two > d/two.txt; echo 3 >> kept.txt"
SCRIPT = [
    Reply("I write.", calls=(Call("@write", {"path": "new.py", "content": "x = 1\n"}),)),
    Reply("First is done."),
    Reply("I run.", calls=(Call("@shell", {"command": LINE}),)),
    Reply("Second is done."),
]


def session(place: Place, serve: Serve) -> None:
    place.write({"gone.txt": "precious\n", "kept.txt": "1\n", "mine.txt": "a\n"})
    place.commit()
    server = serve(SCRIPT)
    place.run(server, "-p", "make new.py").expect(10)
    place.write({"mine.txt": "edited by hand\n"})
    place.run(server, "-p", "clean up", "--continue").expect(10)


def files(place: Place) -> dict[str, str]:
    found = (path for path in place.project.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {str(path.relative_to(place.project)): path.read_text() for path in found}


def test_a_command_is_undone_and_the_work_of_others_stays(place: Place, serve: Serve) -> None:
    session(place, serve)
    dry = place.run(None, "rewind", "--dry-run").expect(0)
    assert "gone.txt comes back" in dry.out
    assert "gone.txt" not in files(place)
    done = place.run(None, "rewind").expect(0)
    assert "taken back to before: clean up" in done.out
    left = {"gone.txt": "precious\n", "kept.txt": "1\n", "mine.txt": "edited by hand\n"}
    assert files(place) == {**left, "new.py": "x = 1\n"}
    rows = place.run(None, "rewind", "--list").expect(0).out
    assert "make new.py" in rows
    assert "clean up" not in rows
    place.run(None, "rewind", "1").expect(0)
    assert files(place) == left


def test_the_model_no_longer_sees_what_was_taken_back(place: Place, serve: Serve) -> None:
    session(place, serve)
    place.run(None, "rewind", "-1", "--conversation").expect(0)
    assert "d/two.txt" in files(place)
    server = serve(Reply("Hello."))
    place.run(server, "-p", "what now?", "--continue").expect(0)
    body = str(server.requests[-1].body)
    assert "make new.py" in body
    assert "clean up" not in body


def test_wrong_words_are_one_clear_line(place: Place, serve: Serve) -> None:
    assert "no session" in place.run(None, "rewind").expect(2).err
    session(place, serve)
    assert "no message '9'" in place.run(None, "rewind", "9").expect(2).err
    assert "one turn" in place.run(None, "rewind", "1", "2").expect(2).err
    assert "unknown option" in place.run(None, "rewind", "--hard").expect(2).err


def test_what_sub_agents_did_is_undone_also_in_the_background(place: Place, serve: Serve) -> None:
    place.write({"a.txt": "x\n"})
    place.commit()
    near = Call("@write", {"path": "near.txt", "content": "1\n"})
    far = Call("@write", {"path": "far.txt", "content": "2\n"})
    server = serve(
        cast(
            BOSS=[
                Reply("", calls=(send("NEAR go"), send("FAR go", run_in_background=True))),
                Reply("Sent."),
                Reply("Both are back."),
            ],
            NEAR=[Reply("", calls=(near,)), Reply("Done.")],
            FAR=[Reply("", calls=(far,), delay=1.0), Reply("Done.")],
        )
    )
    place.run(server, "-p", "BOSS make files").expect(10)
    assert set(files(place)) == {"a.txt", "near.txt", "far.txt"}
    place.run(None, "rewind", "1").expect(0)
    assert files(place) == {"a.txt": "x\n"}
