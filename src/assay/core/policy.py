"""The port of the one gate: effects of a call, and the decision about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from msgspec import Struct

EffectKind = Literal["read", "write", "delete", "destroy", "execute", "network", "control", "unknown", "none"]
"""`destroy` loses what no later command brings back: untracked files, whole trees, history. `unknown` is what can't be
told before it runs, such as a program whose name is computed."""
Verdict = Literal["allow", "ask", "deny"]
Sink = Literal["", "egress", "persist", "destroy", "control"]
"""Where an effect can do harm that confinement does not undo. The fifth sink, what a person is shown, is no effect: it
is cleaned wherever it is shown."""


class Effect(Struct, frozen=True):
    """What a call would do to the world."""

    kind: EffectKind
    target: str = ""
    """A workspace-relative or absolute path (or a pattern of paths), a command line, or a host, by kind. A git remote
    is `git:origin` (`git:*` when the line names none), a package registry goes by its short name (`pypi`, `npm`); for
    `unknown`, what was not understood."""


PERSON = Effect("none", "a person's answer")
"""The effect of a call that is a question itself: whatever rules and modes say, a person has to answer it."""

Integrity = Literal["operator", "workspace", "external"]
"""Who could have written it, from most to least trusted: the user; the project as it was found; anyone at all."""
Secrecy = Literal["public", "project", "secret"]

_INTEGRITY: tuple[Integrity, ...] = ("operator", "workspace", "external")
_SECRECY: tuple[Secrecy, ...] = ("public", "project", "secret")


class Label(Struct, frozen=True):
    """Where something comes from and who may see it. The label of a session is the join of all that was put before its
    model, and only ever sinks: compaction, resuming and a hand-over to a sub-agent keep it.

    Source: two labels, five sinks, one rule; after FIDES (information-flow control for agents) and the Rule of Two.
    """

    integrity: Integrity = "operator"
    secrecy: Secrecy = "public"

    def join(self, other: Label) -> Label:
        """The label of what was made from both: the least trusted origin, the most secret content."""
        integrity = max(_INTEGRITY.index(self.integrity), _INTEGRITY.index(other.integrity))
        secrecy = max(_SECRECY.index(self.secrecy), _SECRECY.index(other.secrecy))
        return Label(_INTEGRITY[integrity], _SECRECY[secrecy])


OPERATOR = Label()
WORKSPACE = Label("workspace", "project")
EXTERNAL = Label("external", "public")


class Weighed(Struct, frozen=True):
    """One effect that the gate saw in a call, and what it said of it."""

    effect: Effect
    verdict: Verdict
    rule: str
    reason: str = ""
    sink: Sink = ""


class Decision(Struct, frozen=True):
    verdict: Verdict
    reason: str = ""
    """One line that the model and the person can act on."""
    rule: str = ""
    """Which rule spoke, for the log."""
    weighed: tuple[Weighed, ...] = ()
    """Every effect the decision rests on, those found within a command line included."""
    label: Label = OPERATOR
    """The best that the result of the call can be labelled: a file from outside is external whoever reads it."""


class Question(Struct, frozen=True):
    """What a person is asked: one exact call. Leave for it is leave for nothing else."""

    call: str
    tool: str
    arguments: dict[str, object]
    effects: tuple[Effect, ...]
    decision: Decision
    digest: str
    """As in `CallDecided`: what the answer is bound to."""


class Approval(Struct, frozen=True):
    """A person's word on a question."""

    allowed: bool
    message: str = ""
    """To the model, when it was refused: exactly this."""
    arguments: dict[str, object] | None = None
    """The call as the person wants it instead; it is judged anew, and what is denied stays denied."""
    interrupt: bool = False
    """The turn is to end."""


NOBODY = Approval(False)


class Approver(Protocol):
    """Contract: allowed only when a person gave leave for this very digest, once. `NOBODY` when there is no one to
    ask."""

    async def approve(self, question: Question) -> Approval: ...


class Gate(Protocol):
    """Contract: strictest verdict wins, what is not understood is `ask`, an error inside is `deny`. Never raises."""

    async def decide(
        self, tool: str, effects: tuple[Effect, ...], label: Label, arguments: Mapping[str, object] | None = None
    ) -> Decision:
        """`label` is that of the session: the model's words are no better than what it has read. `arguments` of the
        call, for rules about them; without, such a rule is about every call."""
        ...


class Mask(Protocol):
    """Knows secrets by their values. Contract: pure, and linear in the size of the text."""

    def text(self, text: str) -> str:
        """`text` without the secrets; the same object when it holds none."""
        ...
