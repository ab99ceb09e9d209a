"""What can go wrong, as a tree. Each kind knows how the command ends because of it.

AssayError
├── UsageError              2   bad flag, unknown model, unreadable file
│   └── InvalidArguments        a tool's arguments make no sense (told to the model, never ends a run)
├── AuthError               3   key missing or refused, quota spent
├── ProviderUnavailable     4   after bounded retries
├── SandboxUnavailable      7   commands can't be confined
├── NeedsApproval           8   policy needs a person and there is none
├── StorageError            9   the session can't be written
│   └── SessionBusy             another process holds the session
├── Interrupted           130
├── WebError                1   no page (told to the model; `core.web`)
└── WorkspaceError          1   a file or command operation that was refused
    ├── FileMissing, NotAFile, OutsideWorkspace, TooLarge
    ├── ChangedMeanwhile, ReadOnly
    └── StorageFull             also told as `storage` when it hits the session
"""

from __future__ import annotations

from typing import ClassVar

from assay.core.check import EXIT_CODES, OutcomeName


class AssayError(Exception):
    """Base of all. `str(error)` is one line that says what, where and what to do."""

    outcome: ClassVar[OutcomeName] = "failed"

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.outcome]


class UsageError(AssayError):
    outcome: ClassVar[OutcomeName] = "usage"


class InvalidArguments(UsageError):
    pass


class AuthError(AssayError):
    outcome: ClassVar[OutcomeName] = "auth"


class ProviderUnavailable(AssayError):
    outcome: ClassVar[OutcomeName] = "unavailable"


class SandboxUnavailable(AssayError):
    outcome: ClassVar[OutcomeName] = "no_sandbox"


class NeedsApproval(AssayError):
    outcome: ClassVar[OutcomeName] = "needs_approval"


class StorageError(AssayError):
    outcome: ClassVar[OutcomeName] = "storage"


class SessionBusy(StorageError):
    pass


class Interrupted(AssayError):
    outcome: ClassVar[OutcomeName] = "interrupted"


class WorkspaceError(AssayError):
    pass


class FileMissing(WorkspaceError):
    pass


class NotAFile(WorkspaceError):
    pass


class OutsideWorkspace(WorkspaceError):
    pass


class TooLarge(WorkspaceError):
    pass


class ChangedMeanwhile(WorkspaceError):
    pass


class ReadOnly(WorkspaceError):
    pass


class StorageFull(WorkspaceError):
    outcome: ClassVar[OutcomeName] = "storage"
