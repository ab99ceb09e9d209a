"""`python -m bench.solve COMMAND`: sets, make, run, report, pools, curve. See docs/solving.md."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from bench.solve.grade import environment_of, grade
from bench.solve.peers import HARNESSES, find, harness, version
from bench.solve.proxy import Policy, Proxy
from bench.solve.room import Room
from bench.solve.run import Bench, Limits, append, stored
from bench.solve.sets import MADE, SETS, Places, default_cache, in_turn, load, make, sample
from bench.solve.task import Task, lay_out

FOLDER = Path(tempfile.gettempdir(), "bench-solve")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.solve", description=__doc__)
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--from", dest="folders", action="append", default=[], type=Path, help="a folder of git clones")
    data.add_argument("--cache", type=Path, default=default_cache(), help="for what is fetched or made")
    data.add_argument("--python", type=Path, help="an interpreter with pytest, for the tasks' tests")
    pick = argparse.ArgumentParser(add_help=False)
    pick.add_argument("--set", dest="sets", action="append", default=[], metavar="NAME[:SIZE]", help="may be repeated")
    pick.add_argument("--split", choices=("dev", "held", "all"), default="held")
    pick.add_argument("--draw", type=int, default=1, metavar="SEED", help="of the sample (1)")
    pick.add_argument("--task", action="append", default=[], help="only this task; may be repeated")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("sets", parents=[data, pick], help="what there is; --prove: references pass, starts fail")
    one.add_argument("--prove", action="store_true")
    one.add_argument("--write", type=Path, help="lay the tasks out below this folder, to look at them")
    one = commands.add_parser(
        "make", parents=[data], help="make the sets of faults and fixes in libraries into the cache"
    )
    one.add_argument("--number", type=int, default=8, help="of each library and set (8)")
    one.add_argument("--library", action="append", default=[], help="only this one; may be repeated")
    one = commands.add_parser("run", parents=[data, pick], help="let agents solve tasks")
    names = [each.name for each in HARNESSES]
    one.add_argument("--harness", action="append", required=True, choices=names, metavar="NAME", help=", ".join(names))
    one.add_argument(
        "--server", required=True, metavar="URL", help="a server with OpenAI's interface, http://HOST:PORT"
    )
    one.add_argument("--key-env", default="", metavar="NAME", help="the variable that holds the server's key")
    one.add_argument("--model", default="model", help="the name that agents are told")
    one.add_argument("--seeds", default="1", metavar="A,B", help="one run for each (1)")
    one.add_argument("--out", type=Path, required=True, help="a file of records; what it has already isn't run again")
    one.add_argument("--bodies", action="store_true", help="keep every request and reply beside it")
    one.add_argument("--limit", type=float, default=Limits().model, help="model seconds for a task")
    one.add_argument("--wall", type=float, default=Limits().wall, help="seconds on the clock for a task")
    one.add_argument("--temperature", default=Policy().temperature, help="of every reply (0.7), or `asked`")
    one.add_argument(
        "--folder",
        type=Path,
        default=FOLDER,
        help="where projects and homes are made",
    )
    one.add_argument(
        "--warm", action="store_true", help="one run that isn't counted first, so that its prompt is cached"
    )
    one.add_argument("--open-network", action="store_true", help="no network of its own for the agent")
    one = commands.add_parser("pools", parents=[data, pick], help="make and grade candidates, to choose among later")
    one.add_argument("--server", required=True, metavar="URL")
    one.add_argument("--key-env", default="", metavar="NAME", help="the variable that holds the server's key")
    one.add_argument("--model", default="model")
    one.add_argument("--number", type=int, default=8, help="of a task (8)")
    one.add_argument("--out", type=Path, required=True, help="a file of pools; what it has already isn't made again")
    one.add_argument("--folder", type=Path, default=FOLDER)
    one = commands.add_parser("curve", help="solve rate by tokens for a task, from stored pools")
    one.add_argument("pools", nargs="+", type=Path)
    one = commands.add_parser("report", help="the tables, from stored records")
    one.add_argument("records", nargs="+", type=Path)
    one.add_argument("--baseline", default="assay", help="what the others are compared with")
    one.add_argument(
        "--into", type=Path, help="put them into this page, between its `<!-- solve -->` and `<!-- end -->`"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, 1 when something could not be done, 2 for a wrong word, 3 when TERM ended the runs."""
    asked = _parser().parse_args(arguments)
    try:
        return {"sets": _sets, "make": _make, "run": _run, "report": _report, "pools": _pools, "curve": _curve}[
            asked.command
        ](asked)
    except (OSError, KeyError, ValueError) as error:
        said = error.args[0] if isinstance(error, KeyError) and error.args else error  # str() of one has quotes
        sys.stderr.write(f"error: {said}\n")
        return 2


def _tasks(asked: argparse.Namespace) -> list[Task]:
    places = Places(asked.folders, asked.cache)
    found: list[Task] = []
    for wanted in asked.sets or [one.name for one in SETS if one.name not in MADE]:
        name, _, size = wanted.partition(":")
        if name not in {one.name for one in SETS}:
            raise KeyError(f"no set {name}; there are {', '.join(one.name for one in SETS)}")
        tasks = [task for task in load(name, places) if asked.split in ("all", task.split)]
        found += sample(tasks, int(size), asked.draw) if size else tasks
    return [task for task in found if not asked.task or task.id in asked.task]


def _sets(asked: argparse.Namespace) -> int:
    python, wrong = environment_of(asked.python), 0
    tasks = _tasks(asked)
    for one in SETS:
        mine = [task for task in tasks if task.set == one.name]
        if mine:
            held = sum(task.split == "held" for task in mine)
            print(f"{one.name:18} {len(mine):4} tasks, {held} held out   {one.about}")
    for task in tasks:
        if asked.write:
            lay_out(task, asked.write / task.id)
        if asked.prove:
            start, end = grade(task, "", python), grade(_solved(task), "", python)
            if start.solved or not end.solved:
                wrong += 1
                print(f"{task.id}: start {start.why or 'passes'}; reference {end.why or 'passes'}", flush=True)
    if asked.prove:
        print(f"{len(tasks) - wrong} of {len(tasks)}: the start fails and the reference passes")
    return 1 if wrong else 0


def _make(asked: argparse.Namespace) -> int:
    places = Places(asked.folders, asked.cache)
    for line in make(places, asked.number, environment_of(asked.python), asked.library):
        print(line, flush=True)
    return 0


def _solved(task: Task) -> Task:
    import msgspec

    return msgspec.structs.replace(task, files={**task.files, **task.reference})


def _key(asked: argparse.Namespace) -> str:
    """The server's key. Raises KeyError when its variable is not set."""
    if asked.key_env and asked.key_env not in os.environ:
        raise KeyError(f"--key-env {asked.key_env}: no such variable is set")
    return os.environ[asked.key_env] if asked.key_env else ""


def _hidden(asked: argparse.Namespace) -> list[Path]:
    """The folders that are empty for agents: those with answers or records. Raises ValueError when what an agent needs
    lies in one: it could not start, and each run would count as not solved."""
    hidden = [path.resolve() for path in (*asked.folders, asked.cache, asked.out.parent)]
    python = (asked.python or Path(sys.executable)).absolute()
    needed = [asked.folder, Path(tempfile.gettempdir()), Path(__file__).parents[2], python, Path(sys.prefix)]
    for path in hidden:
        for one in needed:
            if path in (one.absolute(), *one.absolute().parents, *one.resolve().parents):
                raise ValueError(f"agents don't see {path}, and {one} lies there: put --out, --from, --cache elsewhere")
    return hidden


def _run(asked: argparse.Namespace) -> int:
    python = environment_of(asked.python)
    temperature = None if asked.temperature == "asked" else float(asked.temperature)
    tasks = in_turn(_tasks(asked))
    key = _key(asked)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    room = Room(_hidden(asked), not asked.open_network)
    calls = asked.out.with_suffix(".calls")
    bodies = asked.out.with_suffix(".bodies") if asked.bodies else None
    proxy = Proxy(asked.server, Policy(temperature), calls, bodies, room.do, key)
    bench = Bench(proxy, room, asked.folder, python, asked.model, Limits(asked.limit, asked.wall))
    done = {(row.harness, row.task, row.seed) for row in stored(asked.out)} if asked.out.exists() else set()
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())  # after the run in progress: half a run is worth nothing
    for name in asked.harness:
        left = [(s, task) for s in map(int, asked.seeds.split(",")) for task in tasks if (name, task.id, s) not in done]
        program = find(harness(name))
        if program is None:
            print(f"{name}: not installed, left out")
            continue
        told = version(program)
        if asked.warm and left:
            bench.run(harness(name), program, told, tasks[-1], 0)
        for seed, task in left:
            if ending.is_set():
                break
            record = bench.run(harness(name), program, told, task, seed)
            append(asked.out, record)
            word = "solved" if record.solved else record.why or "not solved"
            print(
                f"{name} {task.id} {seed}: {word}; {record.calls} calls, {record.tokens} tokens, "
                f"{record.model_seconds:.0f} model s, {record.wall:.0f} s{', LIMIT' if record.limited else ''}",
                flush=True,
            )
    proxy.close()
    room.leave()
    return 3 if ending.is_set() else 0


def _pools(asked: argparse.Namespace) -> int:
    from bench.solve.pools import Maker, make

    maker = Maker(asked.server, asked.model, environment_of(asked.python), asked.folder, _key(asked))
    for pool in make(maker, _tasks(asked), asked.number, asked.out):
        right, green = sum(one.correct for one in pool.candidates), sum(one.vector.green for one in pool.candidates)
        print(f"{pool.task}: {len(pool.candidates)} candidates, {green} green, {right} right", flush=True)
    return 0


def _curve(asked: argparse.Namespace) -> int:
    from bench.report import markdown
    from bench.solve.pools import curve
    from bench.solve.replay import read

    print(markdown(curve(read(asked.pools))))
    return 0


def _report(asked: argparse.Namespace) -> int:
    from bench.solve.tables import placed, report

    text = report(list(stored(*asked.records)), asked.baseline)
    if asked.into:
        asked.into.write_text(placed(asked.into.read_text("utf-8"), text), "utf-8")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
