"""Programs whose arguments are a language of their own: shells, `find`, `xargs`, `sed`, `awk`, copies, removals."""

from __future__ import annotations

import posixpath
import re
from itertools import pairwise
from typing import TYPE_CHECKING

from assay.policy.shell.expansion import HOLE, Fields
from assay.policy.shell.git import git
from assay.policy.shell.programs import Handler, arguments, environment, host_of, run, spoken

if TYPE_CHECKING:
    from assay.policy.shell.walker import Walker

_LONG = 4_000
"""Characters of a script of `sed` or `awk` that is looked through."""
_GENERATED = re.compile(
    r"build|dist|target|out|node_modules|__pycache__|\.(?:pytest|mypy|ruff)_cache|\.tox|\.nox|\.eggs|[^/]*\.egg-info|htmlcov|"
    r"coverage|\.coverage[^/]*|\.hypothesis|\.cache|\.next|\.nuxt|\.turbo|\.parcel-cache|\.gradle|cmake-build-[^/]*|"
    r"CMakeFiles|CMakeCache\.txt|\.?venv|te?mp|\.nyc_output|\.svelte-kit|_build|site|storybook-static"
)
_LEFT_OVER = re.compile(
    r"[^/]*(?:\.(?:o|obj|pyc|pyo|so|a|class|log|tmp|bak|orig|rej|swp|out|gcno|gcda|d)|~)|a\.out|core"
)
_STARTS_PROGRAMS = re.compile(
    r"\b(?:system|popen\w*|subprocess|spawn\w*|child_process|exec(?:l|v|lp|vp|ve|vpe|le|lpe|Sync|File|FileSync)|qx|"
    r"open3|ProcessBuilder|getRuntime|proc_open|shell_exec|passthru|rmtree|rmdir\w*|removedirs|unlink\w*|rmSync|"
    r"os\.remove|__import__|fork|pty|ctypes)\b|(?<![.\w])(?:exec|eval)\s*\(|`"
)
_CODE_OPTIONS = {
    "python": ("-c",), "pypy": ("-c",), "perl": ("-e", "-E"), "ruby": ("-e",), "php": ("-r",), "lua": ("-e",),
    "node": ("-e", "--eval", "-p", "--print", "-pe"), "bun": ("-e", "--eval"), "deno": ("eval",), "tclsh": (),
    "rscript": ("-e",), "julia": ("-e",), "osascript": ("-e",), "groovy": ("-e",), "scala": ("-e",), "elixir": ("-e",),
}  # fmt: skip
_LOCAL_TOOLS = (
    "tsc eslint jest vitest prettier mocha webpack vite rollup tsx ts-node playwright cypress next nuxt esbuild biome "
    "tailwindcss stylelint c8 nyc turbo nx lerna husky lint-staged commitlint babel parcel ava tap knip madge rimraf "
    "concurrently prisma svelte-check astro tsup swc size-limit storybook karma gulp grunt typedoc jsdoc api-extractor"
)


def shell(walker: Walker, argv: Fields, source: str) -> None:
    given = arguments(argv[1:], ["-o", "-O", "+o", "+O", "--rcfile", "--init-file"], whole=False)
    kind = "bash" if argv[0].endswith(("bash", "zsh", "ksh")) else "sh"
    if given.has("--rcfile", "--init-file", "-i", "-l", "--login") and given.has("--rcfile", "--init-file"):
        walker.unknown(source)
    if given.has("-c"):
        if given.operands:
            scope = walker.scope
            held, zero = scope.positional, scope.zero
            scope.positional, scope.zero = given.operands[2:], (given.operands[1:2] or ("bash",))[0]
            walker.line(given.operands[0], shell=kind)
            scope.positional, scope.zero = held, zero
    elif given.operands and given.operands[0] not in ("-", "/dev/stdin") and not given.has("-s"):
        if given.operands[0].startswith("/dev/fd/"):
            walker.unknown(source)
        walker.path("read", given.operands[0])
    else:
        for text in walker.stdin or ():
            walker.unknown(source) if HOLE in text else walker.line(text, shell=kind)


def interpreter(walker: Walker, argv: Fields, source: str) -> None:
    base = re.sub(r"[\d.]+$", "", argv[0].rsplit("/", 1)[-1].casefold())
    code = _CODE_OPTIONS.get(base, ())
    given = arguments(argv[1:], [*code, "-m", "-W", "-X", "-I", "-r"] if base != "php" else ["-r"], whole=False)
    inline = [value for name in code for value in given.values(name)]
    if base == "deno" and given.operands[:1] == ("eval",):
        inline = list(given.operands[1:2])
    if base.startswith("p") and (modules := given.values("-m")) and "python" in base:
        if modules[0] in ("pip", "poetry", "uv", "coverage", "twine", "pipx"):
            run(walker, (modules[0], *argv[argv.index(modules[0]) + 1 :]) if modules[0] in argv else argv[:1], source)
        return
    for text in inline:
        if HOLE in text or _STARTS_PROGRAMS.search(text):
            walker.unknown(source)
    if base in ("perl", "ruby") and (clusters := [n for n, _ in given.options if re.fullmatch(r"-\w*i[\w.]*", n)]):
        del clusters
        for operand in given.operands if inline else given.operands[1:]:
            walker.path("write", operand)
    if not inline and (not given.operands or given.operands[0] in ("-", "/dev/stdin")):
        # The program comes from a pipe.
        for text in walker.stdin or ():
            if HOLE in text or _STARTS_PROGRAMS.search(text):
                walker.unknown(source)
    elif given.operands and given.operands[0].startswith("/dev/fd/"):
        walker.unknown(source)


def env(walker: Walker, argv: Fields, source: str) -> None:
    given = arguments(argv[1:], ["-u", "-C", "--unset", "--chdir", "-S", "--split-string"], whole=False)
    for directory in given.values("-C --chdir"):
        walker.change_directory([directory])
    rest = list(given.operands)
    for text in given.values("-S --split-string"):
        rest = [*text.split(), *rest]
    while rest and (match := re.match(r"([^=]+)=(.*)", rest[0], re.DOTALL)):
        environment(walker, match[1], match[2])
        rest.pop(0)
    if rest:
        run(walker, tuple(rest), source)


def xargs(walker: Walker, argv: Fields, source: str) -> None:
    taking = ["-I", "-n", "-P", "-L", "-d", "-s", "-E", "-a", "--max-args", "--max-procs", "--replace", "--delimiter",
              "--arg-file", "--max-lines"]  # fmt: skip
    given = arguments(argv[1:], taking, whole=False)
    if not given.operands:
        return
    replaced = (given.values("-I --replace") or ["{}" if given.has("-i", "--replace") else ""])[0]
    texts = walker.stdin if walker.stdin and not given.has("-a", "--arg-file") else {HOLE}
    words: list[str] = []
    for text in sorted(texts):
        words += text.splitlines() if replaced or given.has("-d", "-0", "--null") else text.split()
    if replaced:
        for word in words[:200]:
            run(walker, tuple(each.replace(replaced, word) for each in given.operands), source)
    else:
        run(walker, (*given.operands, *words), source)


def parallel(walker: Walker, argv: Fields, source: str) -> None:
    given = arguments(argv[1:], ["-j", "--jobs", "-a", "-n", "-N", "-I", "--colsep", "-S", "--joblog"], whole=False)
    if given.has("-S"):
        walker.add("network")
    words = list(given.operands)
    at = next((number for number, word in enumerate(words) if re.fullmatch(r":::+\+?", word)), len(words))
    command, values = words[:at], words[at + 1 :]
    if not values:
        values = [line for text in sorted(walker.stdin or {HOLE}) for line in text.splitlines() or [text]]
    line = " ".join(command)
    for value in values[:100]:
        text = re.sub(r"\{[./#%]*\}", lambda _, value=value: value, line)
        text = text if text != line or not line else f"{line} {value}"
        walker.unknown(source) if HOLE in text else walker.line(text or value)


def find(walker: Walker, argv: Fields, source: str) -> None:
    words = argv[1:]
    roots: list[str] = []
    for word in words:
        if word.startswith(("-", "(", "!")) and not re.fullmatch(r"-[HLP]|-O\d", word):
            break
        if not word.startswith("-"):
            roots.append(word)
    names = [after for before, after in pairwise(words) if before in ("-name", "-iname")]
    patterns = [
        f"{root.rstrip('/') or '/'}/**{'/' + name if name else ''}" for root in roots or ["."] for name in names or [""]
    ]
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word in ("-exec", "-execdir", "-ok", "-okdir"):
            end = next(
                (i for i in range(at, len(words)) if words[i] == ";" or (words[i] == "+" and i > at)), len(words)
            )
            for pattern in patterns:
                command = tuple(each.replace("{}", pattern) for each in words[at:end])
                if command:
                    run(walker, command, source)
            at = end + 1
        elif word == "-delete":
            for pattern in patterns:
                walker.path("delete" if harmless(walker, pattern) else "destroy", pattern)
        elif word in ("-fprint", "-fprint0", "-fls", "-fprintf") and at < len(words):
            walker.path("write", words[at])


def fd(walker: Walker, argv: Fields, source: str) -> None:
    for at, word in enumerate(argv):
        if word in ("-x", "-X", "--exec", "--exec-batch") and argv[at + 1 :]:
            run(
                walker,
                tuple("**" if re.fullmatch(r"\{[./]*\}", each) else each for each in (*argv[at + 1 :], "**")),
                source,
            )
            return


def remove(walker: Walker, argv: Fields, source: str) -> None:
    given = arguments(argv[1:], [])
    whole = given.has("-r", "-R", "--recursive")
    many = len(given.operands) > 20
    for operand in given.operands:
        broad = many or whole or re.search(r"[*?\[]", operand) or HOLE in operand
        kind = "destroy" if broad and not harmless(walker, operand) else "delete"
        walker.path(kind, operand)
    if whole and not given.operands:
        walker.unknown(source)


def harmless(walker: Walker, target: str) -> bool:
    """True for what tools make again: build output, caches, temporary files."""
    placed = walker.placed(target)
    parts = [part for part in placed.split("/") if part]
    if HOLE in placed or ".git" in parts or ".." in parts or not parts:
        return False
    if placed.startswith(("/tmp/", "/var/tmp/")):  # noqa: S108 - a name in a command line, not a file of ours
        return True
    if placed.startswith("/"):
        return False
    return any(_GENERATED.fullmatch(part) for part in parts) or _LEFT_OVER.fullmatch(parts[-1]) is not None


def copy(walker: Walker, argv: Fields, source: str) -> None:
    """`cp`, `mv`, `ln`, `install`, `rsync`, `scp`: what goes where."""
    name = argv[0].rsplit("/", 1)[-1].casefold()
    given = arguments(argv[1:], ["-t", "--target-directory", "-S", "-m", "-o", "-g", "-e", "--rsh", "--exclude", "-P",
                                 "-i", "-F", "--include", "--filter", "--backup-dir", "--rsync-path"])  # fmt: skip
    places = given.values("-t --target-directory")
    sources = given.operands if places else given.operands[:-1]
    place = places[0] if places else given.operands[-1] if len(given.operands) > 1 else ""
    if name in ("rsync", "scp"):
        remote = [each for each in given.operands if re.match(r"(?!/)(?:[^/]*@)?[^/:]+:|rsync://", each)]
        for each in remote:
            walker.add("network", host_of(each))
        for line in (*given.values("-e --rsh --rsync-path"), *(() if name == "rsync" else given.values("-S"))):
            walker.line(line)
        sources = tuple(each for each in sources if each not in remote)
        place = "" if place in remote else place
        if any(option.startswith("--del") for option, _ in given.options) and place:
            walker.path("destroy", place)
    if name == "install" and given.has("-d", "--directory"):
        sources, place = (), ""
        for operand in given.operands:
            walker.path("write", operand)
    for each in sources:
        # A link to a file lets whoever writes the link write the file.
        walker.path("delete" if name == "mv" else "write" if name == "ln" else "read", each)
    if place:
        walker.path("write", place)
        into = (
            place in (".", "..")
            or place.endswith("/")
            or places
            or len(sources) > 1
            or "." not in posixpath.basename(place)
        )
        for each in sources if into else ():
            walker.path("write", posixpath.join(place, posixpath.basename(each.rstrip("/"))))
    elif name == "ln" and given.operands:
        walker.path("write", posixpath.basename(given.operands[0]))
    if not given.operands and name != "install":
        return
    del source


def convert_blocks(walker: Walker, argv: Fields, source: str) -> None:
    """`dd`."""
    del source
    for word in argv[1:]:
        name, _, value = word.partition("=")
        if name in ("of", "if"):
            walker.path("write" if name == "of" else "read", value)


def sed(walker: Walker, argv: Fields, source: str) -> None:
    given = arguments(argv[1:], ["-e", "-f", "-l", "--expression", "--file"])
    scripts = given.values("-e --expression")
    operands = given.operands if scripts or given.has("-f", "--file") else given.operands[1:]
    scripts = scripts or list(given.operands[:1])
    for text in scripts:
        if len(text) > _LONG:
            walker.unknown(source)
            continue
        if HOLE in text:
            # A variable in a replacement is usual; that it holds a command of sed's is not followed.
            continue
        substitution = (
            r"s(?P<d>[^\w\s\\;])((?:\\.|(?!(?P=d)).)*)(?P=d)((?:\\.|(?!(?P=d)).)*)(?P=d)([gpimIMe0-9]*)(w\s*[^\n]*)?"
        )
        for match in re.finditer(substitution, text, re.DOTALL):
            if "e" in match[4]:
                walker.unknown(source)
            if match[5]:
                walker.path("write", match[5][1:].strip())
        rest = re.sub(r"(^|[;{}\n,]\s*)/(?:\\.|[^/\\])*/", r"\g<1>0", re.sub(substitution, "", text, flags=re.DOTALL))
        if re.search(r"(?:^|[\d$;{}\n,!])\s*e(?:\s|$)", rest):
            walker.unknown(source)
        for match in re.finditer(r"(?:^|[\d$;{}\n!])\s*[wW]\s+([^\n;}]+)", rest):
            walker.path("write", match[1].strip())
    in_place = any(re.match(r"-i|-\w*i$|--in-place", name) for name, _ in given.options)
    for operand in operands:
        walker.path("write" if in_place else "read", operand)


def awk(walker: Walker, argv: Fields, source: str) -> None:
    given = arguments(argv[1:], ["-F", "-v", "-f", "-i"], whole=False)
    has_file = given.has("-f")
    text = "" if has_file or not given.operands else given.operands[0]
    if len(text) > _LONG:
        walker.unknown(source)
        return
    if re.search(r"\bsystem\s*\(|\|&?\s*getline|\|&?\s*(?:\"|\w+\s*[;}])", text) or text == HOLE:
        walker.unknown(source)
    for match in re.finditer(r'(?:print|printf)\b[^;}\n]*>>?\s*"([^"]+)"', text):
        walker.path("write", match[1])
    operands = given.operands if has_file else given.operands[1:]
    in_place = "inplace" in given.values("-i")
    for operand in operands:
        if not re.match(r"\w+=", operand):
            walker.path("write" if in_place else "read", operand)


def tar(walker: Walker, argv: Fields, source: str) -> None:
    words = argv[1:]
    if words and re.fullmatch(r"[A-Za-z]+", words[0]):
        words = (f"-{words[0]}", *words[1:])
    runs = (
        "--checkpoint-action --to-command -I --use-compress-program -F --info-script --new-volume-script --rsh-command"
    )
    given = arguments(
        words, ["-f", "--file", "-C", "--directory", "--exclude", "-T", "-X", "--transform", *runs.split()]
    )
    for value in given.values(runs):
        if not re.fullmatch(r"dot|echo.*|sleep=.*|zstd.*|pigz.*|gzip.*|xz.*|lz4|pbzip2", value):
            walker.line(value.removeprefix("exec="))
    archive = (given.values("-f --file") or ["-"])[-1]
    if ":" in archive and not given.has("--force-local"):
        walker.add("network", host_of(archive))
    if given.has("-x", "--extract", "--get"):
        walker.path("write", (given.values("-C --directory") or ["."])[-1])
        walker.path("read", archive if archive != "-" else "")
    elif given.has("-c", "-r", "-u", "--create", "--append", "--update"):
        walker.path("write", archive if archive != "-" else "")
        for operand in given.operands:
            walker.path("read", operand)
    if given.has("--remove-files"):
        for operand in given.operands:
            walker.path("destroy", operand)
    del source


def make(walker: Walker, argv: Fields, source: str) -> None:
    words = argv[1:]
    if any(re.match(r"--ev|SHELL=|\.SHELLFLAGS=|MAKEFLAGS=", word) for word in words) or (
        ("-f", "-") in pairwise(words) or "-f-" in words
    ):
        walker.unknown(source)


def editor(walker: Walker, argv: Fields, source: str) -> None:
    """Editors and debuggers take commands, and some of those start programs."""
    texts = [*argv[1:], *(walker.stdin or ())]
    if any(re.search(r"!|\bsystem\(|\bshell\b|python|^-S$|:terminal|\bcall-process\b|--eval", text) for text in texts):
        walker.unknown(source)
    if walker.stdin and any(HOLE in text for text in walker.stdin):
        walker.unknown(source)
    name = argv[0].rsplit("/", 1)[-1]
    for operand in arguments(argv[1:], ["-c", "-ex", "-x", "-o", "-l"]).operands if name not in ("gdb", "lldb") else ():
        if not operand.startswith("+"):
            walker.path("write", operand)


def run_package(walker: Walker, argv: Fields, source: str) -> None:
    """`npx`: what the project has, or else what the registry has."""
    del source
    given = arguments(argv[1:], ["-p", "--package", "-c", "--call"], whole=False)
    for line in given.values("-c --call"):
        walker.line(line)
    fetched = given.has("-p", "--package", "-y", "--yes") or not set(given.operands[:1]) <= set(_LOCAL_TOOLS.split())
    if fetched and not given.has("--no-install", "--no", "--offline"):
        walker.add("network", "npm")
    if given.operands:
        walker.add("execute", spoken(given.operands))


def yarn(walker: Walker, argv: Fields, source: str) -> None:
    del source
    if len(argv) == 1:
        walker.add("network", "npm")


_HANDLERS: dict[str, Handler] = {
    "bash sh dash zsh ksh ash mksh rbash fish csh tcsh": shell,
    "awk gawk mawk nawk": awk,
    "sed gsed": sed,
    "cp mv ln install rsync scp gcp gmv": copy,
    "rm grm unlink": remove,
    "tar bsdtar gtar": tar,
    "make gmake": make,
    "vim vi nvim ex ed view emacs gdb lldb": editor,
    "npx bunx": run_package,
    "fd fdfind": fd,
    " ".join(_CODE_OPTIONS): interpreter,
    "env": env,
    "xargs": xargs,
    "parallel": parallel,
    "find": find,
    "dd": convert_blocks,
    "git": git,
    "yarn": yarn,
}
SPECIAL: dict[str, Handler] = {name: handler for names, handler in _HANDLERS.items() for name in names.split()}
