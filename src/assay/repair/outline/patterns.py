"""Other languages without a grammar: lines that look like declarations, with the end taken from the indentation.

Coarser than a grammar, and meant to be: heads over several lines, functions inside of
expressions and code that is not indented are missed, and text in strings and comments may be taken for code.
"""

from __future__ import annotations

import re

from assay.repair.outline.symbols import MOST_SYMBOLS, NO_OWNER, Kind, Symbol, one_line
from assay.repair.source import lines_of

_WORDS = (
    "export default declare public private protected internal static final abstract override async readonly virtual "
    "inline extern const synchronized unsafe"
)
_MODIFIERS = rf"(?:(?:{_WORDS.replace(' ', '|')}|pub(?:\([\w\s]+\))?)\s+)*"
_TYPES = r"class|interface|trait|enum|struct|union|record|namespace|module|mod|impl(?:<[^>]*>)?(?:\s+[\w:<>, ]+\s+for)?"
_TYPE = re.compile(rf"^\s*{_MODIFIERS}(?:{_TYPES})\s+([A-Za-z_][\w.:]*)")
_GO_TYPE = re.compile(r"^\s*type\s+([A-Za-z_]\w*)(?:\[[^\]]*\])?\s+(?:struct|interface)\b")
_NAME = r"[A-Za-z_$][\w$]*"
_VALUE = rf"(?:async\s+)?(?:function\b|\([^()]*\)[^=]{{0,100}}=>|{_NAME}\s*=>)"
_SCRIPT = (
    re.compile(rf"^\s*{_MODIFIERS}function\s*\*?\s*({_NAME})\s*[(<]"),
    re.compile(rf"^\s*{_MODIFIERS}(?:const|let|var)\s+({_NAME})[^=]{{0,200}}=\s*{_VALUE}"),
    re.compile(rf"^\s*((?:{_NAME}\.)+{_NAME})\s*=\s*{_VALUE}"),
    # A method: its head ends with the line, and is no call.
    re.compile(
        rf"^\s+{_MODIFIERS}(?:get\s+|set\s+)?\*?(#?{_NAME})\s*(?:<[^>]*>)?\([^;]*\)\s*(?::[^={{;]{{1,200}})?\{{\s*$"
    ),
)
_TYPED = (
    # A type and a name before the parenthesis; no `;` after it, as a mere declaration has.
    re.compile(r"^\s*(?:[A-Za-z_][\w:<>,&*\[\]?. ]*[\s&*]+)?(~?[A-Za-z_][\w:~]*)\s*\([^;]*$"),
)
_FUNCTIONS: dict[str, tuple[re.Pattern[str], ...]] = {
    "javascript": _SCRIPT,
    "typescript": _SCRIPT,
    "tsx": _SCRIPT,
    "go": (re.compile(r"^func\s+(?:\(\s*(?:\w+\s+)?\*?(?P<owner>\w+)[^)]*\)\s*)?(?P<name>\w+)\s*[\[(]"),),
    "rust": (re.compile(rf"^\s*{_MODIFIERS}(?:extern\s+\"[^\"]*\"\s+)?fn\s+([A-Za-z_]\w*)"),),
    "ruby": (re.compile(r"^\s*def\s+(?:self\.)?([A-Za-z_]\w*[?!=]?)"),),
    "php": (re.compile(rf"^\s*{_MODIFIERS}function\s+&?([A-Za-z_]\w*)\s*\("),),
    "java": _TYPED,
    "c": _TYPED,
    "cpp": _TYPED,
}
_NO_NAME = frozenset({
    "if", "for", "while", "switch", "catch", "return", "else", "do", "new", "throw", "function", "sizeof", "super",
    "this", "assert", "defined", "foreach", "elseif", "match", "with", "await", "typeof", "delete",
})  # fmt: skip
_LONGEST_LINE = 400
_WORD = re.compile(r"[^\W\d]\w*")


def symbols_of(language: str, text: str) -> tuple[Symbol, ...]:
    """The symbols that `text` seems to hold."""
    lines = lines_of(text)
    found: list[Symbol] = []
    around: list[tuple[int, Symbol]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith(("//", "*", "/*", "#")) or len(line) > _LONGEST_LINE:
            continue
        read = _declared(language, line)
        if read is None:
            continue
        kind, owner, name = read
        end = _end(lines, number, language)
        if kind == "function" and language in ("java", "c", "cpp") and end == number and "{" not in line:
            continue
        while around and around[-1][0] < number:
            around.pop()
        outer = around[-1][1] if around else None
        container = ".".join(part for part in (outer.full if outer else "", owner) if part)
        if kind == "function" and (owner or (outer and outer.kind == "type")):
            kind = "method"
        used = _WORD.findall("\n".join(lines[number:end])) if kind != "type" else []
        head = one_line(line).rstrip("{ ")
        symbol = Symbol(name, kind, container, number, end, head, tuple(dict.fromkeys(used)))
        found.append(symbol)
        around.append((end, symbol))
        if len(found) >= MOST_SYMBOLS:
            break
    return tuple(found)


def _declared(language: str, line: str) -> tuple[Kind, str, str] | None:
    """Kind, owner and name of the symbol that begins on this line."""
    if match := (_GO_TYPE if language == "go" else _TYPE).match(line):
        return "type", "", match[1].replace("::", ".").rstrip(".:")
    for pattern in _FUNCTIONS[language]:
        match = pattern.match(line)
        if match is None:
            continue
        names = match.groupdict()
        name = names.get("name") or match[1]
        *owners, name = name.replace("::", ".").split(".")
        owner = ".".join(word for word in owners if word not in NO_OWNER)
        if name and name not in _NO_NAME and line.split(maxsplit=1)[0] not in _NO_NAME:
            return "function", names.get("owner") or owner, name
    return None


def _end(lines: list[str], first: int, language: str) -> int:
    """The last line of the block that begins on line `first`: up to what closes it at its own indentation."""
    own = _indent(lines[first - 1])
    closing = "end" if language == "ruby" else "}"
    last = first
    for number in range(first + 1, len(lines) + 1):
        line = lines[number - 1]
        if not line.strip():
            continue
        if _indent(line) <= own:
            text = line.strip()
            if text.startswith(closing):
                return number
            if last > first or not text.startswith(("{", ")")):
                return last
        last = number
    return last


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
