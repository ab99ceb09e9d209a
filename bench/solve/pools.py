"""Pools: N candidates a task, made once and graded, so that choosing and stopping can be tried again at no cost.

A pool is a file of `replay.Task`, a line each. Its candidates are whole-file answers to one prompt (that of the control
`single`), the first at temperature 0, the others at 0.8; green ones are asked the same inputs (`observed`). `curve`
replays them as an effort curve.
"""

from __future__ import annotations

import ast
import hashlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from assay.core.messages import Usage
from assay.search.candidate import Ground, Vector
from assay.search.rules import COMMON, EARLY, EVIDENCE, SMALL, sift
from bench.report import Report
from bench.solve.controls import fenced, single_prompt
from bench.solve.grade import grade, outcomes
from bench.solve.observed import behaviours
from bench.solve.peers import shown_files
from bench.solve.replay import Graded
from bench.solve.replay import Task as Pooled
from bench.solve.stats import BUDGETS, bootstrap, mean
from bench.solve.task import Task, collect, lay_out

SECONDS = 3_600.0


class _Reply(NamedTuple):
    """`code`: the first block of the answer; None where there is none. `seconds`: its part of the request's."""

    code: str | None
    usage: Usage
    seconds: float


class Maker(msgspec.Struct, frozen=True):
    """Where candidates come from and where they are tried. `key`: the server's, empty for none."""

    server: str
    model: str
    python: dict[str, str]
    folder: Path
    key: str = ""
    output: int = 2_048

    def make(self, task: Task, number: int, seed: int = 1) -> Pooled:
        """`number` graded candidates for one task."""
        start = outcomes(task, task.check, "", self.python)
        words = single_prompt(task.prompt, {path: task.files[path] for path in shown_files(task)})
        replies = self._replies(words, number, seed)
        made = [self._candidate(task, reply, start, nth) for nth, reply in enumerate(replies, 1)]
        green = {one.number for one in made if one.vector.green and one.patch}
        codes = {nth: code for nth, reply in enumerate(replies, 1) if nth in green and (code := reply.code) is not None}
        answers = behaviours(task, codes, self.python) if len(set(codes.values())) > 1 else {}
        made = [replace(one, behaviour=answers.get(one.number, {})) for one in made]
        subject = task.files[task.subject[0]] if task.subject else ""
        red = sum(not passes for passes in (start or {}).values())
        ground = Ground("B" if red else None, red)
        spec, signature = described(subject, task)
        return Pooled(task.id, tuple(made), task.split, spec, signature, ground=ground)

    def _candidate(self, task: Task, reply: _Reply, start: Mapping[str, bool] | None, nth: int) -> Graded:
        root = self.folder / "candidate"
        base = lay_out(task, root)
        if reply.code is not None:
            (root / task.subject[0]).write_text(reply.code)
        patch = collect(root, base)
        changed = [line for line in patch.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
        return Graded(
            nth,
            "single",
            "greedy" if nth == 1 else "sampled",
            self.model,
            patch=patch,
            files=patch.count("diff --git "),
            lines=len([line for line in changed if line]),
            vector=vector(start, outcomes(task, task.check, patch, self.python) if patch else start),
            usage=reply.usage,
            steps=1,
            seconds=reply.seconds,
            correct=bool(patch) and grade(task, patch, self.python).solved,
        )

    def _replies(self, words: str, number: int, seed: int) -> list[_Reply]:
        """The first at temperature 0; the others in as few requests as the server allows, so that it reads once."""
        found = self._asked(words, 0.0, seed * 1000 + 1, 1)
        at_once = number - 1
        while len(found) < number:
            wanted = min(at_once, number - len(found))
            try:
                found += self._asked(words, 0.8, seed * 1000 + len(found) + 1, wanted)[:wanted]
            except urllib.error.HTTPError:
                if at_once == 1:
                    raise
                at_once = 1
        return found

    def _asked(self, words: str, temperature: float, seed: int, samples: int) -> list[_Reply]:
        began = time.monotonic()
        told = self._ask(words, temperature, seed, samples)
        texts = [choice["message"]["content"] or "" for choice in told["choices"]]
        usage = told.get("usage") or {}
        prompt, written = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        seconds = round((time.monotonic() - began) / len(texts), 2)
        return [
            _Reply(
                fenced(text, "python|py"),
                Usage(prompt - cached, cached, 0, written if len(texts) == 1 else self._tokens(text))
                if nth == 0
                else Usage(0, prompt, 0, self._tokens(text)),
                seconds,
            )
            for nth, text in enumerate(texts)
        ]

    def _tokens(self, text: str) -> int:
        """What the server's own tokenizer counts: of several samples it tells no single figures."""
        return len(self._post("/tokenize", {"content": text})["tokens"])

    def _ask(self, words: str, temperature: float, seed: int, samples: int) -> dict[str, Any]:
        body = {"model": self.model, "messages": [{"role": "user", "content": words}], "max_tokens": self.output}
        body |= {"temperature": temperature, "seed": seed, "cache_prompt": True} | (
            {"n": samples} if samples > 1 else {}
        )
        return self._post("/v1/chat/completions", body)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(f"{self.server}{path}", json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        if self.key:
            request.add_header("Authorization", f"Bearer {self.key}")
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return json.load(answer)


def vector(before: Mapping[str, bool] | None, after: Mapping[str, bool] | None) -> Vector:
    """What the visible tests say of a candidate. None: nothing could be run."""
    if after is None:
        return Vector(
            applies=False, targets=dict.fromkeys((name for name, ok in (before or {}).items() if not ok), False)
        )
    known = before or dict.fromkeys(after, False)
    failing = sorted(name for name, ok in after.items() if not ok)
    return Vector(
        kept={name: after.get(name, False) for name, ok in known.items() if ok},
        targets={name: after.get(name, False) for name, ok in known.items() if not ok},
        signature=hashlib.sha256("\n".join(failing).encode()).hexdigest()[:16] if failing else "",
    )


def described(source: str, task: Task) -> tuple[str, str]:
    """What the task's code should do, in words, and the head of its first function."""
    try:
        functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    except SyntaxError:
        functions = []
    if not functions:
        return task.prompt, ""
    first = functions[0]
    answer = f" -> {ast.unparse(first.returns)}" if first.returns else ""
    return ast.get_docstring(first) or task.prompt, f"{first.name}({ast.unparse(first.args)}){answer}"


def within(pool: Pooled, budget: int) -> tuple[Graded, ...]:
    """The candidates that could be made, in their order, for so many tokens."""
    spent = 0
    made: list[Graded] = []
    for one in sorted(pool.candidates, key=lambda one: one.number):
        spent += one.usage.total
        if spent > budget:
            break
        made.append(one)
    return tuple(made)


def chosen(candidates: Sequence[Graded]) -> Graded | None:
    """What the rules without a model take among the green ones; None is an abstention."""
    green = [one for one in candidates if one.vector.green]
    return sift(green, [*EVIDENCE, COMMON, SMALL, EARLY], candidates).left[0] if green else None


def curve(pools: Sequence[Pooled], budgets: Iterable[int] = BUDGETS) -> Report:
    """Solve rate by tokens for a task, when all candidates are made that fit, and the rules choose among green ones."""
    rows: list[list[str]] = []
    for budget in budgets:
        taken = {pool.task: [chosen(within(pool, budget))] for pool in pools}
        right = {task: [float(one is not None and one.correct) for one in found] for task, found in taken.items()}
        wrong = sum(one is not None and not one.correct for (one,) in taken.values())
        best = [float(any(one.correct for one in within(pool, budget))) for pool in pools]
        low, high = bootstrap(right, mean)
        solved = mean([value for (value,) in right.values()])
        kept = mean([float(len(within(pool, budget))) for pool in pools])
        rows.append(
            [f"{budget:,}", f"{kept:.1f}", f"{solved:.0%}", f"{low:.0%} to {high:.0%}", str(wrong), f"{mean(best):.0%}"]
        )
    columns = ["tokens a task", "candidates", "solved", "95 %", "green but wrong", "any candidate right"]
    return Report("effort", "Effort", columns, rows, {}, [f"{len(pools)} tasks, replayed from stored candidates."])


def make(maker: Maker, tasks: Sequence[Task], number: int, out: Path) -> Iterator[Pooled]:
    """Pools of the tasks that `out` hasn't yet, added to it one by one."""
    out.parent.mkdir(parents=True, exist_ok=True)
    known = {json.loads(line)["task"] for line in out.read_bytes().splitlines()} if out.exists() else set()
    for task in tasks:
        if task.id not in known and task.subject:
            pool = maker.make(task, number)
            with out.open("ab") as file:
                file.write(msgspec.json.encode(pool) + b"\n")
            yield pool
