"""What added JavaScript or TypeScript can do to the tests that judge it.

The text is read by a small lexer that knows comments, strings, templates and regular expressions; the rules are
patterns over what remains, so that words in comments and strings don't count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from assay.verify.findings import Added, Finding, entry_file, tooling
from assay.verify.protect import path_kind

SUFFIXES = (".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx")
TOKENS = re.compile(
    r"(?P<space>\s+)|(?P<remark>//[^\n]*|/\*[\s\S]*?(?:\*/|$))"
    r"|(?P<text>'(?:\\[\s\S]|[^'\\\n])*'?|\"(?:\\[\s\S]|[^\"\\\n])*\"?)"
    r"|(?P<name>[A-Za-z_$][\w$]*)|(?P<number>\d[\w.]*)|(?P<mark>[\s\S])"
)
REGEX = re.compile(r"/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/[dgimsuvy]*")
BEFORE_REGEX = frozenset("(,=:[!&|?{};+-*%<>~^") | {
    "return",
    "typeof",
    "case",
    "in",
    "of",
    "do",
    "else",
    "void",
    "delete",
}
BUILTIN = (
    r"(?:Array|Object|Map|Set|WeakMap|Number|String|Boolean|BigInt|Symbol|Promise|Function|Error|RegExp|Date|Math|JSON"
    r"|Reflect|process|console|performance)"
)
RULES: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("exit", re.compile(r"\bprocess\s*\.\s*(?:reallyExit|abort|kill|binding|_\w+)\s*\("), "can end the test run early"),
    ("exit", re.compile(r"\bprocess\s*\.\s*exitCode\s*=[^=]"), "sets the exit code that a test run ends with"),
    ("exit", re.compile(r"\bprocess\s*\.\s*(?:on|once|prependListener|addListener)\s*\(\s*\x01(?:exit|beforeExit)\x02"),
     "acts when the test run ends"),
    ("patch", re.compile(r"\b(?:assert|expect|chai|should)(?:\s*\.\s*\w+)+\s*=[^=>]"), "replaces what tests assert with"),
    ("patch", re.compile(rf"\b(?:globalThis|global|window)\s*\.\s*{BUILTIN}\b(?:\s*\.\s*\w+)*\s*=[^=>]"),
     "replaces what every module uses"),
    ("patch", re.compile(rf"(?<![.\w$]){BUILTIN}\s*\.\s*prototype\s*(?:\.\s*\w+|\[[^\]\n]+\])\s*=[^=>]"),
     "changes a built-in class"),
    ("patch", re.compile(rf"(?<![.\w$]){BUILTIN}\s*\.\s*(?!prototype\b|env\b|title\b|stackTraceLimit\b|exitCode\b)\w+\s*=[^=>]"),
     "replaces a built-in function"),
    ("patch", re.compile(
        rf"\bObject\s*\.\s*(?:defineProperty|defineProperties|assign|setPrototypeOf)\s*\(\s*"
        rf"(?:assert|expect|globalThis|global|{BUILTIN})(?:\s*\.\s*\w+)*\s*,"), "changes what is not this project's"),
    ("patch", re.compile(r"\brequire\s*\.\s*(?:cache|extensions)\b|\bModule\s*\.\s*_\w+|\b_resolveFilename\b|\bregisterHooks\s*\("),
     "changes how modules are loaded"),
    ("patch", re.compile(r"\bprocess\s*\.\s*(?:stdout|stderr)\s*\.\s*write\s*="), "can rewrite what the runner prints"),
    ("frames", re.compile(r"\bnew\s+Error\s*\([^)]*\)\s*\.\s*stack\b|\bprepareStackTrace\b|\bgetFileName\s*\(|\.\s*caller\b(?!\w)|\barguments\s*\.\s*callee\b"),
     "looks at its caller"),
    ("switch", re.compile(
        r"\b(?:NODE_TEST_CONTEXT|NODE_TEST_WORKER_ID|JEST_WORKER_ID|VITEST(?:_\w+)?|MOCHA_\w+|AVA_PATH|TAP)\b"),
     "behaves otherwise under a test runner"),
    ("switch", re.compile(r"\bprocess\s*\.\s*(?:execArgv|argv)\b[^;\n]*\x01[^\x02]*(?:--test|\.test\.|mocha|jest|vitest)[^\x02]*\x02"),
     "asks whether a test runner runs it"),
    ("switch", re.compile(r"\bNODE_ENV\b[^;\n]*\x01test\x02|\x01test\x02[^;\n]*\bNODE_ENV\b"), "behaves otherwise in tests"),
    ("runner", re.compile(
        r"(?:\bfrom|\brequire\s*\(|\bimport\s*\(?)\s*\x01(?:node:test(?:/\w+)?|jest|@jest/\w+|vitest|mocha|sinon)\x02"),
     "loads a test runner: code that is tested has no use for its tester"),
    ("hidden", re.compile(
        r"\b(?:eval|Function|require|import|setTimeout)\s*\(\s*(?:atob|Buffer\s*\.\s*from|String\s*\.\s*fromCharCode|unescape)\b"
        r"|\b(?:eval|require|import)\s*\(\s*\x01[^\x02]*\x02\s*\+"), "runs or loads a name or code that is put together"),
    ("hidden", re.compile(r"\b(?:process|globalThis|global)\s*\[\s*(?:\x01[^\x02]*\x02\s*\+|[^\]\x01\n]*(?:fromCharCode|atob|join))"),
     "reaches for a name that is put together"),
    ("reads", re.compile(
        r"\b(?:readFile(?:Sync)?|createReadStream|readdirSync|require|import)\s*\([^;\n]*\x01[^\x02]*"
        r"(?:\.(?:test|spec)\.|\btests?/|__tests__|__snapshots__|\.snap\b)[^\x02]*\x02"), "reads what belongs to the tests"),
    ("reads", re.compile(r"\breadFile(?:Sync)?\s*\([^;\n]*\bprocess\s*\.\s*argv\b|\bprocess\s*\.\s*mainModule\b"),
     "reads the program that runs it"),
)  # fmt: skip
ENTRY_EXIT = re.compile(r"\bprocess\s*\.\s*exit\s*\(")
TRICK = re.compile(
    r"(?:\bvalueOf|\[\s*Symbol\s*\.\s*(?:toPrimitive|hasInstance)\s*\]|\basymmetricMatch)\s*"
    r"(?:\([^)]*\)\s*\{|[:=]\s*(?:function\s*)?\(?[^)=\n]*\)?\s*(?:=>)?\s*\{?)\s*(?:return\s+)?"
    r"(?P<value>-?[\d.]+|\x01[^\x02]*\x02|true|!0|expected\b|\w+\s*(?=[;}\n]))"
)


def script(file: Added) -> Iterator[Finding]:
    """Findings on the added lines of a source file. Test files may do what they like: they are put back or judged."""
    if not file.path.endswith(SUFFIXES) or path_kind(file.path) != "other" or len(file.text) > 2_000_000:
        return
    code = masked(file.text)
    lenient, entry = tooling(file.path), entry_file(file.path)
    for rule, pattern, words in RULES:
        if (lenient and rule in ("runner", "switch", "reads")) or (entry and rule == "exit"):
            continue
        for found in pattern.finditer(code):
            yield from _at(file, code, found, rule, words)
    for found in _borrowed(code):
        yield from _at(file, code, found, "patch", "changes a module that is not this project's")
    if not entry:
        for found in ENTRY_EXIT.finditer(code):
            yield from _at(file, code, found, "exit", "can end the test run early")
    for found in TRICK.finditer(code):
        if "this" not in found["value"]:
            yield from _at(file, code, found, "equal", "compares or converts to what it is told, whatever it holds")


LOADED = re.compile(
    r"\bimport\s+(?:\*\s*as\s+)?(\w+)\s+from\s*\x01(?:node:[\w/]+|assert(?:/strict)?|fs|path|util|events|timers|process)\x02"
    r"|\bimport\s*\{[^}]*?\b(\w+)\s*\}\s*from\s*\x01(?:node:)?assert(?:/strict)?\x02"
    r"|\b(?:const|let|var)\s+(\w+)\s*=\s*require\s*\(\s*"
    r"\x01(?:node:[\w/]+|assert(?:/strict)?|fs|path|util|events|timers|process)\x02"
)


def _borrowed(code: str) -> Iterator[re.Match[str]]:
    """Assignments to members of Node's own modules, and calls that define or replace them, whatever their name here."""
    for name in {next(filter(None, found.groups())) for found in LOADED.finditer(code)}:
        own = re.escape(name)
        yield from re.finditer(rf"(?<![.\w$]){own}\s*(?:\.\s*\w+|\[[^\]\n]*\])+\s*=[^=>]", code)
        yield from re.finditer(
            rf"\b(?:Object|Reflect)\s*\.\s*(?:defineProperty|defineProperties|assign|set|setPrototypeOf)\s*\(\s*{own}\b"
            rf"|\bmock\s*\.\s*\w+\s*\(\s*{own}\b",
            code,
        )


def _at(file: Added, code: str, found: re.Match[str], rule: str, words: str) -> Iterator[Finding]:
    opened = code.rfind("\x01", 0, found.start())
    if opened > code.rfind("\x02", 0, found.start()) and not code.endswith("[", 0, opened):
        return  # words within a string, unless it names a member
    first = code.count("\n", 0, found.start()) + 1
    last = code.count("\n", 0, found.end()) + 1
    line = next((number for number in range(first, last + 1) if number in file.lines), 0)
    if line:
        shown = re.sub(r"\s+", " ", found[0].replace("\x01", "'").replace("\x02", "'")).strip()
        yield Finding(file.path, line, rule, f"`{shown[:60]}` {words}")


def masked(text: str) -> str:
    """The text with comments and regular expressions blanked, and strings between the marks \\x01 and \\x02. Lines stay
    where they are; every part of a template that is code is kept as code."""
    out: list[str] = []
    position, last, braces = 0, "", list[int]()
    depth = 0
    while position < len(text):
        if text[position] == "`" or (braces and text[position] == "}" and depth == braces[-1]):
            if text[position] == "}":
                braces.pop()
            end, opened = _template(text, position + 1)
            out.append("\x01" + _safe(text[position + 1 : end]) + "\x02")
            position, last = (end + 2, "{") if opened else (end + 1, "`")
            if opened:
                braces.append(depth)
            continue
        if text[position] == "/" and (last in BEFORE_REGEX or not last) and (regex := REGEX.match(text, position)):
            out.append(" " * len(regex[0]))
            position, last = regex.end(), "/"
            continue
        token = TOKENS.match(text, position)
        if token is None:
            break
        kind, word = token.lastgroup or "", token[0]
        position = token.end()
        if kind == "remark":
            out.append("\n" * word.count("\n") or " ")
            continue
        if kind == "text":
            out.append("\x01" + _safe(word[1:].removesuffix(word[0])) + "\x02")
        else:
            out.append(word)
        depth += (word == "{") - (word == "}")
        if kind != "space":
            last = word
    return "".join(out)


def _template(text: str, start: int) -> tuple[int, bool]:
    """Where a template's literal part ends, and whether code follows."""
    position = start
    while position < len(text):
        if text[position] == "\\":
            position += 2
        elif text[position] == "`":
            return position, False
        elif text.startswith("${", position):
            return position, True
        else:
            position += 1
    return len(text), False


def _safe(text: str) -> str:
    return text.replace("\x01", " ").replace("\x02", " ")
