"""The driver's entry: reads a job, runs it, answers with lines of JSON. Standard library only, Python 3.8 and later."""

import json
import os
import resource
import shutil
import sys
import tempfile

from _trial import changing, observing, pool, runners, tracing, trying


def main(job):
    mark = job["mark"]
    out = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.set_inheritable(out, False)
    pool.private.append(out)
    owner = os.getpid()

    def say(row):
        if os.getpid() == owner:
            data = (mark + json.dumps(row) + "\n").encode()
            while data:
                data = data[os.write(out, data) :]

    sys.dont_write_bytecode = True
    root = os.path.realpath(os.getcwd())
    os.chdir(os.path.join(root, job["folder"]))
    _paths(job, root)
    _shadowed(job, root)
    say({"began": list(sys.version_info[:3])})
    # One folder for all temporary files, those of children that are ended included.
    folder = tempfile.tempdir = tempfile.mkdtemp(prefix="trial-")
    try:
        _work(job, root, say)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _work(job, root, say):
    runner = runners.runner_of(job)
    try:
        runner.machinery()
    except BaseException as error:
        say({"trouble": pool.describe(error)})
        return
    files = changing.Files(root)
    runner.sources = sources = changing.Sources(files)
    if job["mode"] == "trace":
        tracing.Tracing(job, runner, files, say).run()
    elif job["mode"] == "observe":
        _observe(job, files, sources, say)
    else:
        trying.Trial(job, runner, files, sources, say).run()
    used = [resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    say({"end": sum(each.ru_utime + each.ru_stime for each in used)})


def _paths(job, root):
    """What the interpreter and the check would have put first on the path."""
    first = os.path.dirname(os.path.realpath(job["target"])) if job["kind"] == "script" else os.getcwd()
    own = sys.path[:1] == [""]
    if own:
        sys.path[:1] = [] if job["script_program"] else [first]
    if job["source_layout"]:
        source = os.path.join(root, "src")
        sys.path.insert(int(own and not job["script_program"]), source)
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = source + (os.pathsep + before if before else "")


def _shadowed(job, root):
    """Forget modules that only the driver needed and that the project has namesakes of: it means its own."""
    folders = {root, os.getcwd()}
    folders.update(os.path.dirname(os.path.join(root, test.split("::")[0])) for test in job["failing"])
    folders.update(path for path in map(os.path.realpath, sys.path) if path.startswith(root + os.sep))
    for name in set(sys.modules).difference(job["known"]):
        top = name.split(".")[0]
        if top != "_trial" and any(
            os.path.exists(os.path.join(folder, top + ".py"))
            or os.path.exists(os.path.join(folder, top, "__init__.py"))
            for folder in folders
        ):
            del sys.modules[name]


def _observe(job, files, sources, say):
    """Each candidate, and nothing at all as number 0, asked the same calls."""
    where = pool.Pool(job["workers"])

    def work(n):
        def inside(tell):
            sources.use(job["candidates"][n])
            observing.observe(files, job["want"]["calls"], tell, words=True)

        return trying.quiet(inside)

    def finished(n, outcome):
        for row in outcome.rows:
            if isinstance(row.get("call"), str):
                told = {key: str(row.get(key))[:700] for key in ("digest", "text")}
                say({"number": n, "call": row["call"], **told})
        return where.cpu < job["want"]["seconds"]

    where.run(((n, work(n), 10.0) for n in range(len(job["candidates"]))), finished)
