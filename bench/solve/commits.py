"""Small real fixes: `python -m bench.solve.commits REPO [REPO ...]`, REPO being git clones with their history.

Lists commits that change at most three lines of one function in one file that is no test, and tests besides; and asks
at which rank the mutation engine, told the function but not the line, offers the very change that was committed (equal
but for layout). It runs no tests: a fix that another change would also make is not counted, so this is a lower bound.
"""

from __future__ import annotations

import argparse
import ast
import statistics
import subprocess
import time
from collections.abc import Iterator
from typing import NamedTuple

from assay.repair.locate import is_test_path
from assay.repair.mutate import Place, mutations
from assay.repair.normal import normal_key
from assay.repair.source import Function, functions, parsed, span

LINES = 3


class Fix(NamedTuple):
    repo: str
    commit: str
    path: str
    symbol: str
    before: str
    after: str


def git(repo: str, *words: str) -> str:
    done = subprocess.run(["git", "-C", repo, *words], capture_output=True, timeout=120)
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def fixes(repo: str, depth: int) -> Iterator[Fix]:
    """Newest first, among the last `depth` commits."""
    log = git(repo, "log", "--no-merges", f"-n{depth}", "--numstat", "--format=@%H")
    for entry in log.split("@")[1:]:
        commit, *rows = entry.split("\n")
        changed = [row.split("\t") for row in rows if row.count("\t") == 2]
        code = [row for row in changed if row[2].endswith(".py") and not is_test_path(row[2])]
        tests = [row for row in changed if row[2].endswith(".py") and is_test_path(row[2])]
        if len(code) != 1 or not tests or not all(cell.isdigit() and int(cell) <= LINES for cell in code[0][:2]):
            continue
        path = code[0][2]
        before, after = git(repo, "show", f"{commit}^:{path}"), git(repo, "show", f"{commit}:{path}")
        symbol = changed_function(before, after)
        if symbol:
            yield Fix(repo, commit, path, symbol, before, after)


def changed_function(before: str, after: str) -> str:
    """The one function whose tree differs, when nothing else does; else nothing."""
    one, other = parsed(before), parsed(after)
    if one is None or other is None:
        return ""
    olds, news = dict(functions(one)), dict(functions(other))
    if list(olds) != list(news):
        return ""
    differ = [symbol for symbol in olds if key(before, olds[symbol]) != key(after, news[symbol])]
    if len(differ) != 1 or signature(olds[differ[0]]) != signature(news[differ[0]]):
        return ""
    for tree in (olds[differ[0]], news[differ[0]]):
        tree.body = [ast.Pass()]
    same = normal_key(ast.unparse(one)) == normal_key(ast.unparse(other))
    return differ[0] if same else ""


def signature(node: Function) -> str:
    return ast.dump(node.args)


def key(text: str, node: Function) -> str:
    first, last = span(node)
    return normal_key("\n".join(text.split("\n")[first - 1 : last]))


def rank(fix: Fix, most: int) -> tuple[int, str]:
    """The rank of the committed change among the candidates, and its operator; 0 when it is not offered."""
    old, new = parsed(fix.before), parsed(fix.after)
    assert old is not None and new is not None
    node = dict(functions(old))[fix.symbol]
    wanted = key(fix.after, dict(functions(new))[fix.symbol])
    first, last = span(node)
    lines = fix.before.split("\n")
    start, end = sum(len(line) + 1 for line in lines[: first - 1]), len("\n".join(lines[last:]))
    place = Place(fix.path, first, last, fix.symbol)
    for number, patch in enumerate(mutations({fix.path: fix.before}, [place], most), 1):
        text = patch.apply({fix.path: fix.before})[fix.path]
        if normal_key(text[start : len(text) - end]) == wanted:
            return number, patch.operator
    return 0, ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repos", nargs="+")
    parser.add_argument("--depth", type=int, default=3000, help="commits of a history that are looked at")
    parser.add_argument("--each", type=int, default=8, help="fixes of a history that are taken")
    parser.add_argument("--most", type=int, default=2000, help="candidates of a fix")
    options = parser.parse_args()
    ranks: list[int] = []
    for repo in options.repos:
        for _, fix in zip(range(options.each), fixes(repo, options.depth), strict=False):
            begun = time.process_time()
            found, operator = rank(fix, options.most)
            ranks.append(found)
            seconds = time.process_time() - begun
            print(f"{fix.commit[:10]} {fix.path} {fix.symbol}: {found or '-'} {operator} {seconds:.1f} s", flush=True)
    offered = [found for found in ranks if found]
    median = statistics.median(offered) if offered else 0
    early = sum(found <= 50 for found in offered)
    print(f"offered {len(offered)} of {len(ranks)}; rank median {median:.0f}, <=50 {early}")


if __name__ == "__main__":
    main()
