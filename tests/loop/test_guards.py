"""Who has a say in a call besides the gate, and what comes of a person's answer."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from assay.core.messages import ToolCall
from assay.core.policy import Approval, Approver, Decision, Question
from assay.core.tool import ToolOutcome
from assay.loop.calls import APPROVED, BY_HOOK, REFUSED, Guards, Word, run_calls

from .kit import Bench, NamedGate, SimpleTool, c, text_of

ASK = Decision("ask", "it could", "outside")
DENY = Decision("deny", "never", "deny rule")


class Says(Guards):
    def __init__(self, word: Word | None = None, approval: Approval | None = None) -> None:
        self.word, self.approval = word or Word(), approval
        self.asked: list[Question] = []
        self.denied: list[str] = []
        self.seen: list[ToolCall] = []

    async def before(self, call: ToolCall) -> Word:
        return self.word

    async def ask(self, question: Question, approver: Approver) -> Approval:
        self.asked.append(question)
        if self.approval and self.approval.interrupt:
            self.halt(self.approval.message)
        return self.approval or await super().ask(question, approver)

    async def refused(self, call: ToolCall, decision: Decision) -> None:
        self.denied.append(decision.reason)

    async def after(self, call: ToolCall, outcome: ToolOutcome, seconds: float) -> ToolOutcome:
        self.seen.append(call)
        return outcome


async def one(guards: Guards, decision: Decision | None = None, kind="write", **words: Decision):
    bench = Bench(SimpleTool("edit", kind), gate=NamedGate(edit=decision or Decision("allow"), **words))
    ports = replace(bench.ports, guards=guards)
    (finished,) = await run_calls(ports, [c("edit", "1", n=1, path="a")])
    return bench, finished


@pytest.mark.parametrize(
    ("word", "gate", "verdict", "rule"),
    [
        (None, "allow", "allow", ""),
        (None, "ask", "ask", "outside"),
        (None, "deny", "deny", "deny rule"),
        ("allow", "allow", "allow", ""),
        ("allow", "ask", "allow", BY_HOOK),
        ("allow", "deny", "deny", "deny rule"),
        ("ask", "allow", "ask", BY_HOOK),
        ("ask", "ask", "ask", "outside"),
        ("ask", "deny", "deny", "deny rule"),
        ("deny", "allow", "deny", BY_HOOK),
        ("deny", "ask", "deny", BY_HOOK),
        ("deny", "deny", "deny", BY_HOOK),
    ],
)
async def test_every_word_meets_every_verdict(word, gate: str, verdict: str, rule: str) -> None:
    said = {"allow": Decision("allow"), "ask": ASK, "deny": DENY}[gate]
    bench, finished = await one(Says(Word(word, "so")), said)
    (intent,) = bench.intents
    assert (intent.decision.verdict, intent.decision.rule) == (verdict, rule)
    assert finished.result.is_error == (verdict != "allow")


@pytest.mark.parametrize("rule", ["ask Bash(git push)", "person"])
async def test_a_hook_does_not_answer_what_only_a_person_answers(rule: str) -> None:
    bench, _ = await one(Says(Word("allow")), Decision("ask", "r", rule))
    assert bench.intents[0].decision.verdict == "ask"


async def test_changed_arguments_are_weighed_anew() -> None:
    tool = SimpleTool("edit", "write")

    class ByPath(NamedGate):
        async def decide(self, tool, effects, label, arguments=None) -> Decision:
            return DENY if effects[0].target == "secret" else Decision("allow")

    for path, verdict in (("fine", "allow"), ("secret", "deny")):
        bench = Bench(tool, gate=ByPath())
        guards = Says(Word("allow", "", {"path": path}))
        await run_calls(replace(bench.ports, guards=guards), [c("edit", "1", path="a")])
        assert bench.intents[0].decision.verdict == verdict
        assert bench.intents[0].effects[0].target == path
        assert [call.arguments for call in guards.seen] == ([{"path": path}] if verdict == "allow" else [])


@pytest.mark.parametrize(("path", "verdict"), [("fine", "allow"), ("ask", "allow"), ("secret", "deny")])
async def test_what_a_person_wants_instead_is_weighed_too(path: str, verdict: str) -> None:
    class ByPath(NamedGate):
        async def decide(self, tool, effects, label, arguments=None) -> Decision:
            return DENY if effects[0].target == "secret" else ASK

    bench = Bench(SimpleTool("edit", "write"), gate=ByPath())
    guards = Says(approval=Approval(True, arguments={"path": path}))
    (finished,) = await run_calls(replace(bench.ports, guards=guards), [c("edit", "1", path="a")])
    (intent,) = bench.intents
    assert (intent.decision.verdict, intent.effects[0].target) == (verdict, path)
    assert intent.decision.rule == (APPROVED if verdict == "allow" else DENY.rule)
    assert finished.result.is_error == (verdict == "deny")


async def test_a_refusal_is_told_in_the_very_words() -> None:
    guards = Says(approval=Approval(False, "use the other file\nplease"))
    bench, finished = await one(guards, ASK)
    assert text_of(finished) == "use the other file\nplease"
    assert (bench.intents[0].decision.verdict, bench.intents[0].decision.rule) == ("deny", REFUSED)
    assert guards.denied == ["use the other file"]


async def test_nobody_is_no_refusal() -> None:
    bench, finished = await one(Guards(), ASK)
    assert bench.intents[0].decision.verdict == "ask"
    assert "nobody can give it" in text_of(finished)


async def test_an_interruption_leaves_the_rest_of_the_batch_undone() -> None:
    bench = Bench(SimpleTool("edit", "write"), SimpleTool("read", "read"), gate=NamedGate(edit=ASK))
    guards = Says(approval=Approval(False, "stop it", interrupt=True))
    calls = [c("edit", "1", path="a"), c("read", "2"), c("read", "3"), c("edit", "4")]
    finished = await run_calls(replace(bench.ports, guards=guards), calls)
    assert [text_of(each) for each in finished] == ["stop it", *["not run: stop it"] * 3]
    assert [each.result.call for each in bench.results] == ["1", "2", "3", "4"]


async def test_reads_that_become_writes_do_not_run_side_by_side() -> None:
    bench = Bench(SimpleTool("read", "read"))

    class Either(SimpleTool):
        def effects(self, arguments):
            return SimpleTool("x", "write" if arguments.get("path") else "read").effects(arguments)

    tool = Either("read", "read", bench.body("w", waits=5))
    ports = replace(bench.ports, tools={"read": tool}, guards=Says(Word(None, "", {"path": "a"})))
    await run_calls(ports, [c("read", str(number)) for number in range(3)])
    steps = [step for step in bench.order if step[0] in "+-"]
    assert steps == ["+w", "-w"] * 3
    assert bench.frames == 3
