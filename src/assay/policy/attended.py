"""What is asked when somebody is there to ask: everything that is more than reading, unless a rule or the mode covers
it. Who runs alone is held by the sandbox instead and is not asked for each step."""

from __future__ import annotations

from collections.abc import Sequence

from assay.core.policy import Weighed
from assay.policy.bounds import PermissionMode

_READERS = frozenset({
    "[", "basename", "cal", "cat", "cd", "cmp", "column", "comm", "cut", "date", "df", "diff", "dirname", "du",
    "echo", "env", "expr", "false", "file", "find", "fold", "getconf", "grep", "egrep", "fgrep", "head", "hexdump",
    "id", "join", "jq", "less", "ls", "lsof", "md5sum", "more", "nl", "nproc", "od", "paste", "printf", "printenv",
    "ps", "pwd", "readlink", "realpath", "rev", "rg", "seq", "sha1sum", "sha256sum", "sleep", "sort", "stat",
    "strings", "sum", "tac", "tail", "test", "tr", "tree", "true", "tty", "type", "uname", "uniq", "uptime", "wc",
    "whereis", "which", "whoami", "xxd", "yes", ":",
})  # fmt: skip
_GIT_READERS = frozenset({
    "blame", "cat-file", "describe", "diff", "grep", "log", "ls-files", "ls-remote", "ls-tree", "merge-base", "reflog",
    "rev-list", "rev-parse", "shortlog", "show", "status",
})  # fmt: skip
_WRITING_OPTIONS = {
    "find": ("-exec", "-execdir", "-ok", "-okdir", "-delete", "-fprint", "-fprint0", "-fprintf", "-fls"),
    "sort": ("--output", "--compress-program"),
    "date": ("-s", "--set"),
    "git": (
        "--output", "--exec-path", "-c", "--config-env", "--ext-diff", "--textconv", "-O", "--open-files-in-pager",
        "--filters",
    ),
    "rg": ("--pre", "--hostname-bin"),
    "xxd": ("-r", "-revert"),
    "file": ("-C", "--compile"),
}  # fmt: skip
_ONE_FILE = frozenset({"uniq", "xxd"})
"""Programs that write to the second file they are given."""
_FILERS = frozenset({"mkdir", "touch", "rm", "rmdir", "mv", "cp", "sed", "ln"})
_CHANGES = frozenset({"write", "delete", "destroy"})


def unasked(weighed: Sequence[Weighed], mode: PermissionMode) -> Weighed | None:
    """Of the effects of one call that are all allowed, the first that a person has to be asked about; None if none."""
    line = next((each for each in weighed if each.effect.kind == "execute"), None)
    if line and line.rule.startswith("allow "):
        return None
    parts = [each for each in weighed if each is not line]
    if line and not parts:
        return line
    for each in parts:
        if each.rule.startswith("allow ") or each.effect.kind in ("read", "none"):
            continue
        if each.effect.kind == "execute" and _harmless(each.effect.target, mode):
            continue
        if each.effect.kind in _CHANGES and mode == "acceptEdits" and each.rule in ("inside", "checkpoint"):
            continue
        return each
    return None


def _harmless(command: str, mode: PermissionMode) -> bool:
    """Whether a single command only reads and prints, or in mode acceptEdits, only handles files."""
    words = command.split()
    if not words:
        return False
    name = words[0]
    if mode == "acceptEdits" and name in _FILERS:
        return True
    if any(_is_option(word, bad) for word in words[1:] for bad in _WRITING_OPTIONS.get(name, ())):
        return False
    if name in _ONE_FILE and sum(not word.startswith("-") for word in words[1:]) > 1:
        return False
    if name == "git":
        action = next((word for word in words[1:] if not word.startswith("-")), "")
        return action in _GIT_READERS and not set(words) & {"expire", "delete"}
    if name == "env":
        return len(words) == 1
    if name in ("sort", "tree"):
        return not any(word.startswith("-o") for word in words[1:])
    return name in _READERS


def _is_option(word: str, option: str) -> bool:
    """`word` is `option`, alone or with a value; a long one may be cut short."""
    name = word.partition("=")[0]
    if option.startswith("--"):
        return len(name) > 3 and name.startswith("--") and option.startswith(name)
    return name == option or (len(option) == 2 and option.isascii() and word.startswith(option))
