"""Run a check once and bring back what it proved.

The command is run as it stands, inside a shell of ours that adds a report beside it: one call of pytest, unittest or
Node's runner reports by signed lines (`signed.py`); what starts pytest behind `make` and the like leaves a JUnit
file, asked for through `PYTEST_ADDOPTS`. The report lies in a fresh directory outside the project and is printed behind
a random mark when the command has ended; mark and key come by a file that is gone before the command starts.
What we add never narrows what is tested: `--maxfail=0` and `--continue-on-collection-errors` only widen it. No cache or
bytecode is left in the tree.
"""

from __future__ import annotations

import re

from msgspec import structs

from assay.core.check import Check, CheckRun, Result
from assay.core.errors import WorkspaceError
from assay.core.workspace import Command, CommandResult, Workspace
from assay.verify import reports
from assay.verify.reports import Report, strip_colours
from assay.verify.signed import KEY_FILE, Signed, drivers, read_signed, signs

OUTPUT_LIMIT = 16_000_000
"""Bytes of output kept, report included; beyond it the middle is lost and the digest is of what was kept."""
TAIL_LINES = 40
TAIL_CHARS = 3000
REPORTED = ("pytest", "unittest")
"""Runners that always leave a report, so that its absence means something."""

WRAPPER = """\
d=$(mktemp -d "${TMPDIR:-/tmp}/check.XXXXXXXX") || exit 125
{ IFS= read -r m; IFS= read -r k; } < "$3" || exit 125
rm -f "$3"
export ASSAY_REPORT="$d/report"
mode=plain
if [ -n "$ASSAY_PYTEST" ] || [ -n "$ASSAY_UNITTEST" ] || [ -n "$ASSAY_NODE_KEY" ]; then
  export ASSAY_CHECK="$d"
  printf '%s' "$k" > "$d/key"
  mode=signed
fi
own="-o cache_dir=$d/cache --maxfail=0 --continue-on-collection-errors" path=
if [ -n "$ASSAY_PYTEST" ]; then
  mkdir "$d/lib" && printf '%s' "$ASSAY_PYTEST" > "$d/lib/assay_report.py"
  path="$d/lib"
  own="-p assay_report $own"
else
  own="--junitxml=$d/report.xml -o junit_family=xunit1 $own"
fi
export ASSAY_OPTIONS="$own" PYTEST_ADDOPTS="${PYTEST_ADDOPTS:+$PYTEST_ADDOPTS }$own"
[ -z "$2" ] || path="$PWD/src${path:+:$path}"
export ASSAY_PATH="$path"
[ -z "$path" ] || export PYTHONPATH="$path${PYTHONPATH:+:$PYTHONPATH}"
if [ -n "$ASSAY_NODE_KEY" ]; then
  printf '%s' "$ASSAY_NODE_KEY" > "$d/key.cjs"
  printf '%s' "$ASSAY_NODE_REPORT" > "$d/report.mjs"
  flags="--require=$d/key.cjs --test-reporter=spec --test-reporter-destination=stdout"
  flags="$flags --test-reporter=$d/report.mjs --test-reporter-destination=$d/signed"
  if NODE_OPTIONS="$flags" node -e 0 >/dev/null 2>&1; then
    export ASSAY_FLAGS="$flags" NODE_OPTIONS="$flags"
  else
    mode=plain
  fi
fi
unset ASSAY_PYTEST ASSAY_NODE_KEY ASSAY_NODE_REPORT k
if command -v bash >/dev/null 2>&1; then bash -c "$1"; else sh -c "$1"; fi
code=$?
printf '\\n%s\\n%s\\n%s\\n%s\\n' "$m" "$mode" "$PWD" "$m"
if [ $mode = signed ]; then cat "$d/signed"; else cat "$d/report.xml" || cat "$d/report"; fi 2>/dev/null
rm -rf "$d"
exit $code
"""

_VALUE = r"""(?:"[^"]*"|'[^']*'|\\.|[^\s"'\\])*"""
_ASSIGNED = re.compile(rf"(?:cd [\w./-]+ && )?(?:env\s+)?(?:[A-Za-z_]\w*={_VALUE}\s+)*")
"""What a command line sets for its program alone."""

RUNNERS: tuple[tuple[str, str], ...] = (
    ("pytest", r"(?<![\w.-])(?:py\.test|pytest)(?![\w.-])"),
    ("unittest", r"-m\s+unittest(?!\S)"),
    ("cargo", r"\bcargo\s+(?:\+\S+\s+)?test\b"),
    ("go", r"\bgo\s+test\b"),
    ("jest", r"(?<![\w-])jest(?![\w-])"),
    ("vitest", r"(?<![\w-])vitest(?![\w-])"),
    ("node", r"\bnode\s+(?:\S+\s+)*--test(?![\w-])"),
    ("ctest", r"\bctest\b"),
)


class Execution:
    """One run of a check with all that later questions need; `run` is the part that is kept."""

    def __init__(self, check: Check, run: CheckRun, output: str, report: Report, reported: bool) -> None:
        self.check = check
        self.run = run
        self.output = output
        self.report = report
        self.reported = reported
        """The runner's own report was found."""

    @property
    def failing(self) -> list[str]:
        return [name for name, result in self.run.tests.items() if result in ("fail", "error")]

    @property
    def result(self) -> Result:
        """`unknown` when the command could not do its work (missing program, no report, time-out), `absent` when it
        found nothing to test."""
        run = self.run
        if run.passed:
            return "pass"
        if run.timed_out or run.exit_code in (125, 126, 127):
            return "unknown"
        if not self.failing and not any(result == "pass" for result in run.tests.values()):
            if self.reported and run.exit_code in (0, 5):
                return "absent"
            if run.exit_code != 0 and expects_report(self.check.command) and not self.reported:
                return "unknown"
        return "fail"


def runner_of(command: str) -> str:
    """The test runner that a shell line starts, or an empty string."""
    return next((name for name, pattern in RUNNERS if re.search(pattern, command)), "")


def expects_report(command: str) -> bool:
    return runner_of(command) in REPORTED


def check_of(command: str, source: str) -> Check:
    """The check that a person or a model named by a shell line alone."""
    runner = runner_of(command)
    return Check(name=command, command=command, kind="test" if runner else "custom", runner=runner, source=source)


async def run_clean(workspace: Workspace, check: Check, tree: str) -> Execution:
    """Run `check` in a scratch copy of `tree`. Trouble of the copy itself comes back as a run with exit code 125."""
    try:
        async with workspace.copy(tree) as copy:
            return await execute(copy, check, tree)
    except WorkspaceError as error:
        run = CheckRun(check.name, tree, False, 125, 0.0, digest(""), f"could not run: {error}")
        return Execution(check, run, "", Report(), False)


async def execute(workspace: Workspace, check: Check, tree: str) -> Execution:
    """Run `check` in `workspace`, whose files are those of `tree`."""
    import secrets

    mark, key = (f"--{secrets.token_hex(16)}--" for _ in range(2))
    workspace.write_file(KEY_FILE, f"{mark}\n{key}\n".encode(), None)
    result = await workspace.run(
        Command(
            argv=(
                "/bin/sh",
                "-c",
                WRAPPER,
                "check",
                instrumented(check),
                "src" if source_layout(workspace) else "",
                KEY_FILE,
            ),
            env=environment(check),
            timeout=check.timeout,
            limit=OUTPUT_LIMIT,
        )
    )
    output, _, rest = result.output.partition(f"\n{mark}\n")
    head, _, raw = rest.partition(f"\n{mark}\n")
    mode, _, root = head.partition("\n")
    if mode == "signed":
        signed = read_signed(raw, key)
        done = finished(check, tree, result, output, signed.report, signed.whole)
        return done if signed.whole else broken(done, signed)
    report, output = parse(check.runner, output, raw, root)
    return finished(check, tree, result, output, report, bool(raw.strip()))


def broken(done: Execution, signed: Signed) -> Execution:
    """A run whose signed report is not whole can't have passed."""
    why = (
        "the report holds lines that the runner did not write"
        if signed.forged
        else "the run ended before its report did"
    )
    tail = f"{done.run.tail}\n{why}".strip()
    return Execution(done.check, structs.replace(done.run, passed=False, tail=tail), done.output, done.report, False)


def finished(check: Check, tree: str, result: CommandResult, output: str, report: Report, found: bool) -> Execution:
    failing = [name for name, word in report.tests.items() if word in ("fail", "error")]
    proved = any(word == "pass" for word in report.tests.values())
    passed = result.exit_code == 0 and not failing and (proved or not (found or expects_report(check.command)))
    run = CheckRun(
        check=check.name,
        tree=tree,
        passed=passed,
        exit_code=result.exit_code,
        seconds=result.seconds,
        log=digest(output),
        tail=tail_of(output, report),
        tests=report.tests,
        timed_out=result.timed_out,
    )
    return Execution(check, run, output, report, found)


def environment(check: Check) -> dict[str, str]:
    """What a check sees besides the cleaned environment."""
    found = {"PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1", "GIT_OPTIONAL_LOCKS": "0"}
    if signs(check):
        found |= drivers(check)
    if check.runner in ("jest", "vitest", "node"):
        found["CI"] = "1"
    return found


def source_layout(workspace: Workspace) -> bool:
    """A Python project whose packages lie under `src`. In a copy that comes first on Python's path, or a package
    installed in editable mode could be read from the original directory."""
    for name in ("pyproject.toml", "setup.cfg", "setup.py"):
        try:
            if b"src" in workspace.read_file(name, 1_000_000).data:
                return True
        except WorkspaceError:
            continue
    return False


def instrumented(check: Check) -> str:
    """The shell line with a report asked for, where that can't be done by environment."""
    line = _kept(check.command) if signs(check) else check.command
    if check.runner == "unittest" and signs(check):
        return re.sub(r"-m\s+unittest(?!\S)", '-c "$ASSAY_UNITTEST"', line, count=1)
    if check.runner == "go":
        return re.sub(r"\bgo\s+test\b(?!\s+-json)", "go test -json", line, count=1)
    if check.runner in ("jest", "vitest") and not re.search(r"[|;&<>]", line):
        flags = "--json" if check.runner == "jest" else "--reporter=default --reporter=json"
        own = re.match(r"(?:npm|npx) (?:run |test)", line) and " -- " not in line
        return f'{line}{" --" if own else ""} {flags} --outputFile="$ASSAY_REPORT"'
    return line


def _kept(line: str) -> str:
    """`line` with what the reporters need added to the variables that it sets itself."""
    end = _ASSIGNED.match(line).end()  # type: ignore[union-attr]  # it matches nothing, too
    head = re.sub(r"(?<!\S)PYTHONPATH=", '\\g<0>"${ASSAY_PATH:+$ASSAY_PATH:}"', line[:end])
    for name, ours in (("PYTEST_ADDOPTS", "ASSAY_OPTIONS"), ("NODE_OPTIONS", "ASSAY_FLAGS")):
        head = re.sub(rf"(?<!\S){name}={_VALUE}", rf'\g<0>" ${ours}"', head)
    return head + line[end:]


def parse(runner: str, output: str, raw: str, root: str) -> tuple[Report, str]:
    """The report, and the output as a person would have seen it."""
    if raw.lstrip().startswith("<"):
        return reports.junit(raw.strip()), output
    if runner in ("jest", "vitest"):
        return reports.jest(raw.strip(), root), output
    if runner == "go":
        return reports.go_events(output)
    plain = strip_colours(output)
    if runner == "cargo":
        return reports.cargo(plain), output
    if runner == "node":
        return reports.node(plain), output
    if runner == "ctest":
        return reports.ctest(plain), output
    return Report(), output


def digest(output: str) -> str:
    import hashlib

    return "sha256:" + hashlib.sha256(output.encode("utf-8", "surrogatepass")).hexdigest()


def tail_of(output: str, report: Report) -> str:
    """What a reader wants to see: why the first tests fail, then the last lines, bounded."""
    text = strip_colours(output)
    lines = [line.rstrip() for line in text.splitlines() if line.strip()][-TAIL_LINES:]
    head = [f"{name}: {first_words(reason)}" for name, reason in list(report.reasons.items())[:5]]
    last = "\n".join(lines)
    shown = "\n".join(head)[: TAIL_CHARS // 3]
    return f"{shown}\n{last[-(TAIL_CHARS - len(shown)) :]}".strip()


def first_words(reason: str, limit: int = 200) -> str:
    """A failure in one line."""
    text = " | ".join(line.strip() for line in reason.splitlines()[:3] if line.strip())
    return text if len(text) <= limit else text[: limit - 1] + "…"
