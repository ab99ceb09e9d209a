"""Further attempts at a turn: whether there may be any, and what they are given."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from assay.core.errors import AssayError, UsageError
from assay.core.events import InputReceived, ModelReplied
from assay.core.messages import Usage
from assay.loop.turn import Stop
from assay.policy.gate import RuleGate
from assay.run.run import Run, Strategy, tool_loop
from assay.search.effort import Dial, dial_of

if TYPE_CHECKING:
    from assay.core.model import Model
    from assay.run.attempt import Opened
    from assay.search.waves import Lost, Ports
    from assay.sessions.log import SessionLog

MOST = 32
"""Attempts of one turn, whoever asks."""
FOLDER = "attempts"
_FINE = frozenset({"verified", "answered"})


def read_attempts(said: int | None, name: str = "attempts") -> int | None:
    """How many attempts there may be, as `name` has it. Raises `UsageError`."""
    if said is not None and (isinstance(said, bool) or not 1 <= said <= MOST):
        raise UsageError(f"{name} takes a number from 1 to {MOST}; got {said}")
    return said


class Attempts:
    """Puts waves of attempts behind the strategy of a task, where its options let there be any.

    `others` are further models for attempts, `cascade` those that follow when the gate is not content; `open_model`
    opens one by name, `prepare` equips a run as the session's own.
    """

    def __init__(
        self,
        run: Run,
        others: tuple[str, ...],
        cascade: tuple[str, ...],
        open_model: Callable[[str], Model],
        prepare: Callable[[Run], None],
    ) -> None:
        self._run = run
        self._others = others
        self._cascade = cascade
        self._open = open_model
        self._prepare = prepare
        self._models: dict[str, Model] = {}
        """Those opened so far: one serves all attempts of the session, as the session's own does."""

    def behind(self, strategy: Strategy | None) -> Strategy | None:
        """`strategy`, with what follows it; itself where nothing can."""
        options, run = self._run.options, self._run
        effort = options.reasoning.effort
        dial = dial_of(effort, options.attempts)
        said = effort in ("high", "max") or (options.attempts or 1) > 1
        checked = bool(run.proof.user_checks) or run.state.open
        # Small models are sampled by their own strategy; waves are for those that drive.
        grows = dial.candidates > 1 and (said or checked) and run.parts.model.profile.strategy != "slots"
        planning = isinstance(run.parts.gate, RuleGate) and run.parts.gate.mode == "plan"
        if planning or not (grows or self._cascade):
            return strategy
        return _lazily(strategy, dial if grows else dial_of(effort, 1), said, self._ports)

    def _ports(self) -> Ports:
        from assay.app.strategy import strategy_for
        from assay.search.waves import Ports

        return Ports(self._fork, self._lost, self._prepare, strategy_for, self._model, self._others, self._cascade)

    def _model(self, name: str) -> Model:
        if name not in self._models:
            self._models[name] = self._open(name)
        return self._models[name]

    def _folder(self) -> Path:
        return Path(self._run.parts.spill) / FOLDER

    def _logs(self) -> list[Path]:
        return [path for path in self._folder().glob("*.jsonl") if path.stem.isdecimal()]

    def _fork(self, upto: int) -> Opened:
        """The next free log of `ID/attempts/N.jsonl`, with the session's records up to `upto`."""
        from assay.run.attempt import Opened
        from assay.sessions.log import SessionLog
        from assay.sessions.reader import LogReader

        source, folder = self._log(), self._folder()
        number = 1 + max((int(path.stem) for path in self._logs()), default=0)
        store = SessionLog.create(folder / f"{number}.jsonl")
        lines = LogReader(source.path).lines()
        try:
            store.copy(takewhile(lambda line: line.number <= upto, lines))
        except BaseException:
            store.close()
            raise
        finally:
            lines.close()
        return Opened(store, str(store.path))

    def _log(self) -> SessionLog:
        from assay.sessions.log import SessionLog

        store = self._run.parts.store
        if not isinstance(store, SessionLog):
            raise UsageError("attempts need a session that is kept in a file")
        return store

    def _lost(self) -> list[Lost]:
        """Logs of this turn that no record tells the end of."""
        from assay.run.state import State
        from assay.search.waves import Lost
        from assay.sessions.reader import LogReader

        run = self._run
        told = {event.log for event in run.state.attempts}
        found: list[Lost] = []
        for path in sorted(self._logs(), key=lambda path: -int(path.stem)):
            if str(path) in told:
                continue
            state, turn, model = State(), "", ""
            try:
                for record in LogReader(path).records():
                    state.apply(record)
                    if isinstance(record.event, InputReceived):
                        turn, model = record.event.turn, ""
                    elif isinstance(record.event, ModelReplied):
                        model = record.event.message.model or model
            except AssayError:
                continue
            if not turn:
                continue
            if turn != run.state.turn:
                # The newest first: what comes now is of earlier turns, too, and each log holds all before it.
                break
            spent = state.spent
            found.append(Lost(str(path), model, spent.steps, spent.usage if spent.steps else Usage(), state.dollars))
        return found[::-1]


def _lazily(first: Strategy | None, dial: Dial, said: bool, ports: Callable[[], Ports]) -> Strategy:
    """Waves whose room is loaded when the turn's own attempt has ended: most turns need no more."""

    async def strategy(run: Run) -> Stop:
        if run.state.attempts:
            from assay.search.waves import resumed

            stop = await resumed(run, first or tool_loop)
        else:
            stop = await (first or tool_loop)(run)
        if stop.outcome is None and run.verdict and run.verdict.outcome in _FINE:
            return stop
        from assay.search.waves import go_on

        return await go_on(run, stop, dial, said, ports())

    return strategy
