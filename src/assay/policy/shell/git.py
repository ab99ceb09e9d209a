"""What git's commands do: what reaches a remote, what loses work, what makes git run something later."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from assay.policy.shell.expansion import HOLE, Fields
from assay.policy.shell.programs import Arguments, arguments, host_of

if TYPE_CHECKING:
    from assay.policy.shell.walker import Walker

_GLOBAL = ["-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env", "--attr-source"]
_VALUES = (
    "-m -F -C -c --author --date -b -B -o -s -X -n --depth --message --file -S -G -L --format --since --until -x "
    "--exec -u --onto --strategy --branch --source --origin --push-option -t --track --template --upload-pack "
    "--receive-pack --config --reference"
)
_HARMLESS_SETTING = re.compile(
    r"user\.\w+|color\..*|advice\..*|init\.defaultbranch|pull\.\w+|push\.(?:default|autosetupremote)|fetch\.prune|"
    r"core\.(?:autocrlf|quotepath|eol|filemode|ignorecase|abbrev|longpaths|safecrlf)|commit\.gpgsign|tag\.gpgsign|"
    r"merge\.(?:conflictstyle|ff|renamelimit)|diff\.(?:renames|algorithm|colormoved|context|noprefix|mnemonicprefix)|"
    r"rebase\.(?:auto\w+|updaterefs)|rerere\.\w+|log\.\w+|column\.\w+|safe\.directory|gc\.auto|status\.\w+|"
    r"protocol\.version|i18n\..*|format\.pretty|help\.autocorrect|feature\.\w+|index\.\w+",
    re.IGNORECASE,
)
_QUIET_PAGERS = re.compile(r"cat|less(?: -\w+)*|more|true|:|")
_FILE = re.compile(r"\.{1,2}/?|\./.*|.*\.[A-Za-z]\w{0,5}|.*[*?].*|.*/|:/.*|:\(.*")
_REMOTE = {
    "push": 0, "fetch": 0, "pull": 0, "clone": 0, "ls-remote": 0, "send-pack": 0, "fetch-pack": 0, "http-push": 0,
    "http-fetch": 0, "send-email": 0, "imap-send": 0, "request-pull": 1, "svn": 1, "p4": 1, "lfs": 1, "archive": -1,
    "submodule": -1, "remote": -1,
}  # fmt: skip


def git(walker: Walker, argv: Fields, source: str) -> None:
    cwd = walker.scope.cwd
    given = arguments(argv[1:], _GLOBAL, whole=False)
    for directory in given.values("-C --work-tree"):
        walker.change_directory([directory])
    for setting in given.values("-c --config-env"):
        name, _, value = setting.partition("=")
        _setting(walker, name, value, source)
    if given.has("--exec-path") and given.values("--exec-path"):
        walker.unknown(source)
    if given.operands:
        name = given.operands[0]
        if HOLE in name:
            walker.unknown(source)
        else:
            words = given.operands[1:]
            taking = [each for each in _VALUES.split() if each not in _NO_VALUE.get(name, ())]
            _subcommand(walker, name, arguments(words, taking), words, source)
    walker.scope.cwd = cwd


_NO_VALUE: dict[str, tuple[str, ...]] = {
    "push": ("-n", "-u", "-F", "-X", "-S", "-t"),
    "clean": ("-n", "-x", "-X"),
    "fetch": ("-n", "-u", "-t", "-m", "-F"),
    "commit": ("-n", "-s", "-o", "-S", "-u", "-b"),
    "stash": ("-u", "-S"),
    "checkout": ("-m", "-t"),
    "switch": ("-m", "-t"),
    "branch": ("-m", "-C", "-c", "-u", "-t"),
    "tag": ("-s", "-n"),
    "restore": ("-S", "-m"),
    "rebase": ("-n", "-C", "-m"),
    "rm": ("-n",),
    "grep": ("-n", "-c", "-L", "-F", "-G", "-o"),
    "log": ("-c", "-m", "-s", "-u", "-t"),
    "diff": ("-c", "-s", "-u", "-b", "-B", "-C", "--exec"),
    "add": ("-n", "-u"),
    "apply": ("-C",),
    "reset": ("-m",),
    "remote": ("-n",),
    "config": ("-t",),
}


def _setting(walker: Walker, name: str, value: str, source: str) -> None:
    """A setting for one command: some make git run what they name."""
    if _HARMLESS_SETTING.fullmatch(name) or (
        re.fullmatch(r"core\.(?:pager|editor)|sequence\.editor|pager\.\w+", name, re.IGNORECASE)
        and _QUIET_PAGERS.fullmatch(value)
    ):
        return
    if re.match(r"alias\.", name, re.IGNORECASE) and not value.startswith("!"):
        walker.line(f"git {value}")
        return
    walker.unknown(source)
    if re.match(
        r"alias\.|core\.(?:pager|editor|sshcommand|fsmonitor|askpass)|sequence\.|diff\.|gpg\.|credential\.", name, re.I
    ):
        walker.line(value.removeprefix("!"))


def _subcommand(walker: Walker, name: str, given: Arguments, words: Fields, source: str) -> None:
    operands = given.operands
    if name in _REMOTE or name.startswith("remote-"):
        _remote(walker, name, given)
    for line in given.values("-x --exec") if name in ("rebase", "difftool", "mergetool") else ():
        walker.line(line)
    for command in given.values("--upload-pack --receive-pack --extcmd --open-files-in-pager"):
        walker.line(command)
    if loses(name, given):
        for target in _paths(name, given) or ("",):
            walker.path("destroy", target)
    match name:
        case "config":
            _configured(walker, given)
        case "rm" if not given.has("--cached"):
            for operand in operands:
                walker.path("delete", operand)
        case "mv" if len(operands) > 1:
            for operand in operands[:-1]:
                walker.path("delete", operand)
            walker.path("write", operands[-1])
        case "apply" | "am" | "checkout-index" | "init" | "read-tree":
            if name == "init" and given.has("--template"):
                walker.unknown(source)
            if not given.has("--check", "--stat", "--numstat"):
                walker.path("write", ".")
        case "bisect" | "submodule" if operands[:1] in (("run",), ("foreach",)):
            rest = words[words.index(given.operands[0]) + 1 :]
            walker.line(" ".join(rest if rest[:1] != ("--recursive",) else rest[1:]))
        case (
            "filter-branch" | "filter-repo" | "fast-import" | "replace" | "daemon" | "instaweb" | "credential" | "hook"
        ):
            walker.unknown(source)
        case "format-patch" | "archive" | "bundle":
            for value in given.values("-o --output --output-directory"):
                walker.path("write", value)
        case "grep" if given.has("-O", "--open-files-in-pager"):
            walker.unknown(source)
        case "worktree" if operands[:1] == ("add",) and len(operands) > 1:
            walker.path("write", operands[1])
        case _:
            pass


def _remote(walker: Walker, name: str, given: Arguments) -> None:
    operands = given.operands
    at = _REMOTE.get(name, 0)
    if name == "submodule" and operands[:1] not in (("update",), ("add",)):
        return
    if name == "remote":
        if operands[:1] in (("add",), ("set-url",), ("rename",), ("remove",), ("rm",)):
            # Where later pushes go.
            walker.path("write", ".git/config")
        if operands[:1] not in (("update",), ("prune",), ("show",), ("set-head",)) and not given.has("-f"):
            return
    if name == "archive" and not any(option == "--remote" for option, _ in given.options):
        return
    if name == "lfs" and operands[:1] not in (("push",), ("pull",), ("fetch",), ("clone",)):
        return
    values = given.values("--repo --remote") or list(operands[at : at + 1] if at >= 0 else operands[1:2])
    if name == "clone":
        for setting in given.values("-c --config"):
            _setting(walker, *setting.partition("=")[::2], source=f"git clone -c {setting}")
        if len(operands) > 1:
            walker.path("write", operands[1])
    for remote in values or ["*"]:
        if re.match(r"ext::|fd::", remote):
            walker.unknown(f"git {name} {remote}")
        if re.match(r"[./~]|file:", remote):
            if name not in ("clone", "fetch", "pull", "ls-remote"):
                walker.path("write", remote)
            continue
        is_host = "://" in remote or re.match(r"[^/]+:", remote)
        walker.add("network", host_of(remote) if is_host else f"git:{remote}")


def loses(name: str, given: Arguments) -> bool:
    """True for what throws work or history away."""
    operands, has = given.operands, given.has
    first = operands[:1]
    match name:
        case "clean":
            return not has("-n", "--dry-run")
        case "reset":
            return has("--hard", "--merge", "--keep")
        case "checkout":
            return has("-f", "--force", "-p", "--patch", "-B", "--pathspec-from-file") or bool(_paths(name, given))
        case "restore":
            return not has("-S", "--staged") or has("-W", "--worktree")
        case "switch":
            return has("-f", "--force", "--discard-changes", "-C", "--force-create")
        case "stash":
            return first in (("drop",), ("clear",))
        case "branch":
            return has("-D", "-M", "-f", "--force", "-C")
        case "tag":
            return has("-d", "--delete", "-f", "--force")
        case "push":
            forced = has("-f", "--force", "--force-with-lease", "-d", "--delete", "--mirror", "--prune")
            return forced or any(each.startswith(("+", ":")) for each in operands[1:])
        case "rebase":
            return not has("--continue", "--edit-todo", "--show-current-patch")
        case "reflog":
            return first in (("expire",), ("delete",))
        case "gc" | "prune" | "repack" | "prune-packed":
            return name == "prune" or has("--prune", "--aggressive", "-d")
        case "update-ref" | "symbolic-ref":
            return name == "update-ref" or has("-d", "--delete") or len(operands) > 1
        case "worktree":
            return first == ("remove",) and has("-f", "--force")
        case "filter-branch" | "filter-repo" | "replace" | "lfs-migrate":
            return True
        case "rm":
            return has("-f", "--force") or (has("-r") and not has("--cached"))
        case "read-tree":
            return has("-u", "--reset")
        case _:
            return False


def _paths(name: str, given: Arguments) -> Fields:
    """The files that `checkout`, `restore`, `clean` and `rm` are about, as far as names tell them from branches."""
    operands = given.operands
    if name == "checkout":
        if given.has("-b", "--orphan", "-t", "--track"):
            return ()
        if len(operands) > 1:
            return operands[1:]
        return tuple(each for each in operands if _FILE.fullmatch(each) or HOLE in each)
    return operands if name in ("restore", "clean", "rm") else ()


def _configured(walker: Walker, given: Arguments) -> None:
    operands = list(given.operands)
    if operands[:1] and operands[0] in ("set", "unset", "edit", "rename-section", "remove-section"):
        changes, operands = True, operands[1:]
    elif operands[:1] and operands[0] in ("get", "list"):
        return
    else:
        changes = len(operands) > 1 or given.has(
            "--add", "--unset", "--unset-all", "--replace-all", "-e", "--edit", "--rename-section", "--remove-section"
        )
    if given.has("--get", "--get-all", "-l", "--list", "--get-regexp", "--get-urlmatch") or not changes:
        return
    if operands and _HARMLESS_SETTING.fullmatch(operands[0]):
        return
    files = given.values("-f --file")
    if files:
        walker.path("write", files[0])
    elif given.has("--global", "--system"):
        from assay.policy.shell.expansion import home

        walker.path("write", f"{home()}/.gitconfig" if given.has("--global") else "/etc/gitconfig")
    else:
        walker.path("write", ".git/config")
