"""Which function is at fault: frames of tracebacks, names in the failing tests and in the task, and who calls whom.

No model is asked. Each clue gives points; what many functions use is worth less, because a helper of everything
is seldom the one that is wrong. The weights are ordinary guesses that were not fitted to any set of bugs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from assay.repair.source import Function, functions, lines_of, parsed, span, used_names
from assay.repair.traceback import failures, frames, project_frames

MOST_FILES = 3_000
MOST_CHARACTERS = 20_000_000
COMMON = 6
"""A name that more functions than this bear says nothing."""
FRAME, IN_TEST, IN_TASK, IN_PROSE = 10.0, 3.0, 2.0, 0.5
CLASS_IN_TASK, CLASS_IN_TEST = 2.0, 1.0
CALLED = 0.6
"""Share of a function's points that what it calls gets, over two steps."""
POPULAR = 0.15

_TEST_FOLDERS = frozenset({"test", "tests", "testing", "docs", "doc", "examples", "benchmarks"})
_TEST_FILE = re.compile(r"(?:test_.*|.*_test|tests?|tests?_.*|conftest|setup)\.py$")
_WORD = re.compile(r"[A-Za-z_]\w*")
_CODE_LIKE = re.compile(r"`([^`\n]{1,200})`|([A-Za-z_][\w.]*)\s?\(|\b(\w*_\w+|[A-Z]?[a-z0-9]+[A-Z]\w*|[a-z]+\d\w*)\b")


class Location(Struct, frozen=True):
    """A function that may be at fault."""

    path: str
    start: int
    """First line, decorators included; 1-based."""
    end: int
    symbol: str
    """Dotted, within its file: `Class.method`."""
    signature: str
    """From `def` to the colon, on one line."""
    score: float


def is_test_path(path: str) -> bool:
    """Whether a file is a test or otherwise beside the product's code, going by its name."""
    *folders, name = path.split("/")
    return not _TEST_FOLDERS.isdisjoint(folders) or _TEST_FILE.match(name) is not None


def locate(sources: Mapping[str, str], output: str, tests: Sequence[str], task: str, limit: int = 8) -> list[Location]:
    """Functions of `sources` (path -> text, tests included) in the order of suspicion, at most `limit`.

    `output` is what the failing check printed, `tests` are identities of failing tests (`path::Class::name[id]` or
    dotted), `task` is what was asked for. Never raises; [] when there is no clue or nothing can be parsed.
    """
    project = _Project(sources)
    score: dict[_Key, float] = {}
    for nth, key in enumerate(project.framed(output)):
        score[key] = score.get(key, 0.0) + FRAME / (1 + nth)
    bodies = project.tests(tests, output)
    tested = {name for body in bodies for name in used_names(body)} | {
        part for test in tests for part in _WORD.findall(test)
    }
    _mentioned(project, score, tested, IN_TEST)
    code, prose = _task_names(task)
    _mentioned(project, score, code, IN_TASK)
    _mentioned(project, score, {word for word in prose - code if project.plain(word)}, IN_PROSE)
    _special_methods(project, score, tested, code | prose)
    _spread(project, score)
    _lift_classes(score, tested, code | prose)
    for key in score:
        score[key] /= 1 + POPULAR * max(0, project.users[_last(key[1])] - 2)
    ranked = sorted(score, key=lambda key: (-score[key], key))[:limit]
    return [project.location(key, round(score[key], 3)) for key in ranked]


_Key = tuple[str, str]
"""Path and dotted name."""


class _Project:
    def __init__(self, sources: Mapping[str, str]):
        self._sources = sources
        self.nodes: dict[_Key, Function] = {}
        self.named: dict[str, list[_Key]] = {}
        self.users: Counter[str] = Counter()
        self._used: dict[_Key, list[str]] = {}
        room = MOST_CHARACTERS
        for path in [path for path in sources if path.endswith(".py") and not is_test_path(path)][:MOST_FILES]:
            room -= len(sources[path])
            if room < 0:
                break
            for symbol, node in _functions_of(sources[path]):
                key = (path, symbol)
                self.nodes[key] = node
                self.named.setdefault(_last(symbol), []).append(key)
                self._used[key] = used_names(node)
                self.users.update(self._used[key])

    def framed(self, output: str) -> list[_Key]:
        """Functions that frames of the output lie in, innermost of each failure first."""
        found: list[_Key] = []
        paths = {path for path, _ in self.nodes}
        groups = [failure.frames for failure in failures(output)[:20]] or [tuple(frames(output))]
        for group in groups:
            for frame in project_frames(group, paths):
                found += [key for key, node in self.nodes.items() if key[0] == frame.path and _holds(node, frame.line)][
                    -1:
                ]
        return list(dict.fromkeys(found))

    def tests(self, tests: Sequence[str], output: str) -> list[Function]:
        """The functions of the failing tests."""
        names = [*tests, *(failure.name for failure in failures(output)[:20])]
        wanted = {_last(re.split(r"\[", name, maxsplit=1)[0].replace("::", ".")) for name in names if name}
        files = {name.split("::")[0] for name in tests if "::" in name} & self._sources.keys()
        places = sorted(files) or [path for path in self._sources if path.endswith(".py") and is_test_path(path)][:200]
        return [
            node
            for path in places
            for symbol, node in _functions_of(self._sources[path])
            if _last(symbol) in wanted
        ]  # fmt: skip

    def called(self, key: _Key) -> list[list[_Key]]:
        """For each name that a function uses: the functions meant, the nearest only (own class, own file, any)."""
        found: list[list[_Key]] = []
        owner = key[1].rpartition(".")[0]
        for name in self._used[key]:
            every = [other for other in self.named.get(name, []) if other != key]
            own_file = [other for other in every if other[0] == key[0]]
            own_class = [other for other in own_file if owner and other[1].rpartition(".")[0] == owner]
            meant = own_class or own_file or every
            if 0 < len(meant) <= COMMON // 2:
                found.append(meant)
        return found

    def plain(self, word: str) -> bool:
        """A word of prose may mean a function, but not a method: those bear too ordinary names."""
        return all("." not in symbol for _, symbol in self.named.get(word, []))

    def location(self, key: _Key, score: float) -> Location:
        node = self.nodes[key]
        start, end = span(node)
        lines = lines_of(self._sources[key[0]])
        head = " ".join(line.strip() for line in lines[node.lineno - 1 : max(node.lineno, node.body[0].lineno - 1)])
        return Location(key[0], start, end, key[1], head[:300], score)


def _functions_of(text: str) -> list[tuple[str, Function]]:
    tree = parsed(text)
    return list(functions(tree)) if tree is not None else []


def _last(symbol: str) -> str:
    return symbol.rsplit(".", 1)[-1]


def _holds(node: Function, line: int) -> bool:
    start, end = span(node)
    return start <= line <= end


def _task_names(task: str) -> tuple[set[str], set[str]]:
    """Names in a task that look like code, and all of its words."""
    code = {
        word
        for match in _CODE_LIKE.finditer(task)
        for group in match.groups()
        if group
        for word in _WORD.findall(group)
    }
    return code, set(_WORD.findall(task))


def _mentioned(project: _Project, score: dict[_Key, float], names: Iterable[str], points: float) -> None:
    for name in sorted(names):
        bearers = project.named.get(name, [])
        if name.startswith("__") or len(bearers) > COMMON:
            continue
        for key in bearers:
            score[key] = score.get(key, 0.0) + points / len(bearers)


def _special_methods(project: _Project, score: dict[_Key, float], tested: set[str], task: set[str]) -> None:
    """`a == b` in a test means `__eq__`, of a class that the test or the task names."""
    for name in sorted(name for name in tested if name.startswith("__")):
        for key in project.named.get(name, []):
            if _last(key[1].rpartition(".")[0]) in tested | task:
                score[key] = score.get(key, 0.0) + IN_TEST


def _lift_classes(score: dict[_Key, float], tested: set[str], task: set[str]) -> None:
    for key in score:
        owner = _last(key[1].rpartition(".")[0])
        if owner:
            score[key] += CLASS_IN_TASK * (owner in task) + CLASS_IN_TEST * (owner in tested)


def _spread(project: _Project, score: dict[_Key, float]) -> None:
    """Hand points on to what is called, two steps deep; each function takes the best that it is offered in a step."""
    wave = dict(score)
    for _ in range(2):
        offered: dict[_Key, float] = {}
        for key, points in wave.items():
            for meant in project.called(key):
                for other in meant:
                    offered[other] = max(offered.get(other, 0.0), points * CALLED / len(meant))
        for key, points in offered.items():
            score[key] = score.get(key, 0.0) + points
        wave = offered
