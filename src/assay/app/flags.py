"""The command line's grammar, as data: help, parsing and the docs-parity test all read this one table.

A parser of our own, because the standard one costs a tenth of the way to the first request, abbreviates options by
default, and cannot say `error: unknown option '--x'` in the words that hosts match on.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["switch", "text", "many", "repeat", "int", "count", "float", "choice"]
"""`count` is an int that may be 0."""


class Flag(NamedTuple):
    name: str
    kind: Kind
    help: str
    short: str = ""
    choices: tuple[str, ...] = ()
    value: str = "VALUE"

    @property
    def key(self) -> str:
        return self.name.lstrip("-").replace("-", "_")


OUTPUT_FORMATS = ("text", "json", "stream-json")
INPUT_FORMATS = ("text", "stream-json")
PERMISSION_MODES = ("default", "acceptEdits", "plan", "dontAsk", "bypassPermissions")
EFFORTS = ("low", "medium", "high", "xhigh", "max")
DIALECTS = ("anthropic", "openai-chat", "openai-responses")

FLAGS: tuple[Flag, ...] = (
    Flag("--print", "switch", "carry out one task without a terminal and print the result", "-p"),
    Flag("--model", "text", "PROVIDER/NAME or an alias", value="MODEL"),
    Flag("--fallback-model", "text", "models to try when that one is unavailable, comma-separated", value="MODELS"),
    Flag("--output-format", "choice", "how the result is printed", choices=OUTPUT_FORMATS),
    Flag("--include-partial-messages", "switch", "with stream-json: text as it is written, too"),
    Flag("--input-format", "choice", "stream-json: be driven by a program, see Hosts", choices=INPUT_FORMATS),
    Flag("--replay-user-messages", "switch", "with stream-json input: say back what was said"),
    Flag("--include-hook-events", "switch", "with stream-json: what hooks do, too"),
    Flag("--forward-subagent-text", "switch", "with stream-json: what sub-agents say, too"),
    Flag("--session-mirror", "switch", "with stream-json: the lines of the transcript, too"),
    Flag("--permission-mode", "choice", "what needs approval", choices=PERMISSION_MODES),
    Flag("--dangerously-skip-permissions", "switch", "the same as --permission-mode bypassPermissions"),
    Flag("--allow-dangerously-skip-permissions", "switch", "a host may switch to that mode later"),
    Flag(
        "--permission-prompt-tool", "text", "who is asked: stdio for the host, or the name of an MCP tool", value="NAME"
    ),
    Flag("--permission-prompts", "choice", "none: nobody is asked", choices=("host", "none")),
    Flag("--allowedTools", "many", "rules of calls that need no approval, e.g. 'Bash(git log:*)'", value="RULES"),
    Flag("--disallowedTools", "many", "rules of calls that are refused", value="RULES"),
    Flag("--tools", "many", "which tools the model is given at all", value="NAMES"),
    Flag("--max-turns", "int", "most requests to the model", value="N"),
    Flag("--max-budget-usd", "float", "most money for this task", value="USD"),
    Flag("--max-tokens-total", "int", "most tokens for this task, sent and received together", value="N"),
    Flag("--max-seconds", "float", "most time for this task", value="S"),
    Flag("--system-prompt", "text", "replace the system text", value="TEXT"),
    Flag("--append-system-prompt", "text", "add to the system text", value="TEXT"),
    Flag("--system-prompt-file", "text", "replace the system text by that of a file", value="FILE"),
    Flag("--append-system-prompt-file", "text", "add a file to the system text", value="FILE"),
    Flag("--agents", "text", "further sub-agents, as JSON", value="JSON"),
    Flag("--mcp-config", "many", "MCP servers: files, or JSON", value="CONFIGS"),
    Flag("--strict-mcp-config", "switch", "no MCP servers but those of --mcp-config"),
    Flag("--plugin-dir", "repeat", "a plugin's directory; may be repeated", value="DIR"),
    Flag("--add-dir", "many", "further directories that may be read and written", value="DIRS"),
    Flag("--settings", "text", "a settings file, or JSON", value="FILE"),
    Flag("--setting-sources", "text", "which stored settings to read: user,project,local", value="LIST"),
    Flag("--json-schema", "text", "the final answer must be JSON that meets this schema", value="SCHEMA"),
    Flag("--effort", "choice", "how hard to try", choices=EFFORTS),
    Flag(
        "--attempts",
        "int",
        "most attempts; another one only where evidence wants it",
        value="N",
    ),
    Flag("--thinking", "text", "off (or disabled), adaptive, or a number of tokens", value="MODE"),
    Flag("--max-thinking-tokens", "count", "the same as --thinking N; 0 for off", value="N"),
    Flag("--thinking-display", "choice", "omitted: thinking is not shown", choices=("summarized", "omitted")),
    Flag("--task-budget", "int", "tell the model in how many tokens it should manage", value="N"),
    Flag("--betas", "many", "names of provider features; taken and not used", value="NAMES"),
    Flag("--check", "repeat", "a command that must pass at the end; may be repeated", value="CMD"),
    Flag("--no-sandbox", "switch", "run commands unconfined"),
    Flag("--base-url", "text", "a server that speaks a known dialect", value="URL"),
    Flag("--api-key-env", "text", "the variable that holds the key for --base-url", value="NAME"),
    Flag("--dialect", "choice", "the dialect of --base-url", choices=DIALECTS),
    Flag("--continue", "switch", "go on with the newest session of this directory", "-c"),
    Flag("--resume", "text", "go on with session ID", "-r", value="ID"),
    Flag("--fork-session", "switch", "with --continue or --resume: leave that session as it is"),
    Flag("--session-id", "text", "the id of the new session, a UUID", value="UUID"),
    Flag("--resume-session-at", "text", "with --resume: go on behind the message with this uuid", value="UUID"),
    Flag("--resume-drops-turn", "text", "and only if the turn left out is that of this message", value="UUID"),
    Flag("--no-session-persistence", "switch", "keep nothing of the session"),
    Flag(
        "--approve",
        "repeat",
        "with --resume or --continue: yes, once, to the question with this digest",
        value="DIGEST",
    ),
    Flag("--verbose", "switch", "more detail, and tracebacks"),
    Flag("--debug", "switch", "the same as --verbose", "-d"),
    Flag("--debug-to-stderr", "switch", "the same as --verbose"),
    Flag("--version", "switch", "print the version", "-v"),
    Flag("--help", "switch", "print this", "-h"),
)

Value = bool | str | int | float | list[str]


class Parsed(NamedTuple):
    """What was asked: `words` are the positional arguments, `given` the options by key (absent when not given)."""

    words: list[str]
    given: dict[str, Value]

    def text(self, key: str) -> str | None:
        value = self.given.get(key)
        return value if isinstance(value, str) else None

    def on(self, key: str) -> bool:
        return self.given.get(key) is True

    def whole(self, key: str) -> int | None:
        value = self.given.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def number(self, key: str) -> float | None:
        value = self.given.get(key)
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    def many(self, key: str) -> list[str]:
        value = self.given.get(key)
        return value if isinstance(value, list) else []


def parse(arguments: list[str], flags: tuple[Flag, ...] = FLAGS) -> Parsed:
    """Read the arguments of a command. Raises `UsageError` that names the option and what it takes."""
    known = {name: flag for flag in flags for name in (flag.name, flag.short) if name}
    parsed = Parsed([], {})
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            parsed.words.extend(rest)
            break
        if word == "-" or not word.startswith("-"):
            parsed.words.append(word)
            continue
        name, equals, inline = word.partition("=")
        flag = known.get(name)
        if flag is None or (equals and flag.kind == "switch"):
            raise wrong(f"unknown option '{name if flag is None else word}'")
        _take(parsed, flag, [inline] if equals else None, rest)
    return parsed


def _take(parsed: Parsed, flag: Flag, inline: list[str] | None, rest: list[str]) -> None:
    if flag.kind == "switch":
        parsed.given[flag.key] = True
        return
    if inline is None:
        # No option has a space in it: such a word is a value, whatever it begins with.
        if not rest or (rest[0].startswith("--") and flag.kind != "repeat" and len(rest[0].split()) == 1):
            raise wrong(f"option '{flag.name}' needs a value: {flag.name} {flag.value}")
        inline = [rest.pop(0)]
        while flag.kind == "many" and rest and not rest[0].startswith("-"):
            inline.append(rest.pop(0))
    if flag.kind in ("many", "repeat"):
        present = parsed.given.setdefault(flag.key, [])
        assert isinstance(present, list)
        present += inline
    else:
        parsed.given[flag.key] = _convert(flag, inline[0])


def _convert(flag: Flag, word: str) -> Value:
    if flag.kind == "choice" and word not in flag.choices:
        raise wrong(f"option '{flag.name}' takes one of {', '.join(flag.choices)}; got '{word}'")
    if flag.kind in ("int", "count", "float"):
        try:
            number = float(word) if flag.kind == "float" else int(word)
        except ValueError:
            raise wrong(f"option '{flag.name}' takes a number; got '{word}'") from None
        if number == 0 and flag.kind == "count":
            return 0
        if not 0 < number < 1e15:
            raise wrong(f"option '{flag.name}' must be more than 0; got '{word}'")
        return number
    return word


def wrong(text: str) -> Exception:
    """A `UsageError`, whose room is loaded only when there is something to say."""
    from assay.core.errors import UsageError

    return UsageError(text)


def describe(flags: tuple[Flag, ...]) -> str:
    """The options part of a help text."""
    rows: list[tuple[str, str]] = []
    for flag in flags:
        value = "" if flag.kind == "switch" else f" {'|'.join(flag.choices) or flag.value}"
        rows.append((f"{flag.short + ', ' if flag.short else '    '}{flag.name}{value}", flag.help))
    width = min(max(len(left) for left, _ in rows), 38)
    return "\n".join(
        f"  {left:<{width}}  {right}" if len(left) <= width else f"  {left}\n  {'':<{width}}  {right}"
        for left, right in rows
    )
