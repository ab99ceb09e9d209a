"""What happens in a run as the lines that programs read: the one place of this package that knows how they are made."""

from __future__ import annotations

from assay.app.messages.result import Totals, init_line, result_object, stream_line, with_questions
from assay.app.task import Task, Wish
from assay.core.errors import InvalidArguments
from assay.core.events import AttemptFinished, CallFinished, ModelReplied, TurnEnded
from assay.core.messages import Json
from assay.core.store import Record
from assay.run.bus import Seen

Line = dict[str, Json]


class Projection:
    """The lines of one task's turns."""

    def __init__(self, task: Task, wish: Wish, *, partial: bool) -> None:
        self._task = task
        self._wish = wish
        self._partial = partial
        self._totals = Totals()

    def begin(self) -> list[Line]:
        """At the start of each turn."""
        task, self._totals = self._task, Totals()
        mode = self._wish.permission_mode or "default"
        names = list(task.run.tools)
        return [init_line(task.session, str(self._wish.directory), task.profile.name, names, mode, task.version)]

    def seen(self, seen: Seen) -> list[Line]:
        match seen:
            case Record(event=ModelReplied() as event):
                self._totals.add(event, self._task.profile.model)
            case Record(event=CallFinished(debug=debug)):
                self._totals.add_held(debug)
            case Record(event=AttemptFinished(number=number, result=result)):
                self._totals.attempts = number
                self._totals.first_passed = self._totals.first_passed or (number == 1 and result == "green")
            case _:
                pass
        line = stream_line(seen, self._task.session, partial=self._partial)
        return [line] if line else []

    def end(self, ended: TurnEnded) -> Line:
        """The result."""
        structured: Json = None
        if self._task.answer:
            try:
                structured = self._task.answer.read(ended.text)
            except InvalidArguments:
                structured = None
        task = self._task
        result = result_object(ended, self._totals, task.session, task.profile, task.run.state.denials, structured)
        return with_questions(result, task.questions())
