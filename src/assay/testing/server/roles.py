"""Calls by role: one script for every harness, whatever its tools and their arguments are called.

A call named `@shell` (command), `@read` (path), `@edit` (path, old, new), `@write` (path, content) or `@finish`
(text) becomes a call of the tool that plays the role in the request, its arguments filled by that tool's own schema.
Where no tool plays it, the shell does the work; where there are no tools at all, text does (`as_text`).
"""

import shlex
from typing import NamedTuple, cast

from assay.testing.server.script import Call, ScriptError
from assay.testing.server.seen import Record, Tool, record, records, string
from assay.testing.server.wire import encode

# Names in use by agents, without case and separators, the commonest first.
_NAMES = {
    "shell": (
        "bash", "shell", "execcommand", "shellcommand", "runshellcommand", "runcommands", "runcommand", "terminal",
        "execute", "executebash", "executecommand", "exec", "command", "runterminalcommand", "localshell", "run",
    ),
    "read": ("read", "readfile", "view", "readfiles", "viewfile", "openfile", "fileeditor", "strreplaceeditor"),
    "edit": (
        "edit", "editfile", "strreplace", "strreplacefile", "replace", "searchreplace", "strreplacebasededittool",
        "strreplaceeditor", "fileeditor", "editor", "applypatch",
    ),
    "write": (
        "write", "writefile", "createfile", "create", "strreplaceeditor", "fileeditor", "editor", "applypatch",
    ),
    "finish": ("finish", "complete", "attemptcompletion"),
}  # fmt: skip
# Names of properties, likewise.
_PROPERTIES = {
    "command": ("command", "cmd", "commands", "script", "code"),
    "path": (
        "filepath", "path", "file", "filename", "absolutepath", "targetfile", "paths", "filepaths", "files",
    ),
    "old": ("oldstring", "oldstr", "oldtext", "search", "old", "find", "oldcontent"),
    "new": ("newstring", "newstr", "newtext", "replace", "replacement", "new", "newcontent"),
    "content": ("content", "filetext", "contents", "text", "newstr", "newtext", "newstring"),
    "patch": ("input", "patch", "diff"),
    "text": ("result", "message", "summary", "answer", "text", "finalanswer"),
}  # fmt: skip
_EDITOR = "import pathlib,sys; _,f,a,b=sys.argv; p=pathlib.Path(f); p.write_text(p.read_text().replace(a,b,1))"
_ENUMS = {"read": ("view", "read"), "edit": ("str_replace", "replace", "edit"), "write": ("create", "write")}


class Resolved(NamedTuple):
    """A call of a tool of the request: its name, the text of its arguments, whether the tool is free-form."""

    name: str
    arguments: str
    freeform: bool = False


def resolve(call: Call, tools: list[Tool]) -> Resolved:
    """Makes a scripted call one of the request's tools. Raises ScriptError for an unknown role."""
    if not call.name.startswith("@"):
        freeform = any(tool.name == call.name and tool.freeform for tool in tools)
        return Resolved(call.name, _plain_arguments(call), freeform)
    role = call.name[1:]
    if role not in _NAMES:
        raise ScriptError(f"no role {call.name!r}; there are {', '.join('@' + name for name in _NAMES)}")
    tool = player(role, tools)
    values: Record = dict(call.arguments)
    if tool is None:
        tool = player("shell", tools)
        if tool is None:
            return Resolved(call.name, _plain_arguments(call))
        role, values["command"] = "shell", shell_command(call)
    values.setdefault("patch", _patch(call))
    if tool.freeform:
        return Resolved(tool.name, string(values["patch"] if role in ("edit", "write") else values["command"]), True)
    if call.raw_arguments is not None:
        return Resolved(tool.name, call.raw_arguments)
    return Resolved(tool.name, encode(_filled(tool.schema, role, values, tool.schema)).decode())


def player(role: str, tools: list[Tool]) -> Tool | None:
    """The tool that plays a role, or None."""
    named = {_squeezed(tool.name): tool for tool in reversed(tools)}
    for name in _NAMES.get(role, ()):
        if (tool := named.get(name)) is not None:
            return tool
    return None


def shell_command(call: Call) -> str:
    """What a shell must run to do the work of a call by role."""
    values = {key: string(value) for key, value in call.arguments.items()}
    path = shlex.quote(values.get("path", ""))
    if call.name == "@read":
        return f"cat {path}"
    if call.name == "@write":
        return f"cat > {path} <<'END_OF_FILE'\n{values.get('content', '')}\nEND_OF_FILE"
    if call.name == "@edit":
        return shlex.join(["python3", "-c", _EDITOR, values["path"], values["old"], values["new"]])
    return values.get("command", "true")


def as_text(call: Call, blocks: bool) -> str:
    """A call as text, for a request without tools: a search/replace block, or a fenced shell command.

    `blocks`: the prompt speaks of SEARCH/REPLACE blocks, so only edits can be said.
    """
    values = {key: string(value) for key, value in call.arguments.items()}
    if not blocks:
        return f"```bash\n{shell_command(call)}\n```"
    if call.name not in ("@edit", "@write"):
        return ""
    old, new = values.get("old", ""), values.get("new", values.get("content", ""))
    return "\n".join(
        [values["path"], "```", "<<<<<<< SEARCH", *_lines(old), "=======", *_lines(new), ">>>>>>> REPLACE", "```"]
    )


def _plain_arguments(call: Call) -> str:
    return call.raw_arguments if call.raw_arguments is not None else encode(call.arguments).decode()


def _squeezed(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


def _patch(call: Call) -> str:
    """The edit in the patch format that the Codex tools take."""
    values = {key: string(value) for key, value in call.arguments.items()}
    path = values.get("path", "")
    if call.name == "@write":
        added = [f"+{line}" for line in _lines(values.get("content", ""))]
        body = [f"*** Add File: {path}", *added]
    else:
        removed = [f"-{line}" for line in _lines(values.get("old", ""))]
        added = [f"+{line}" for line in _lines(values.get("new", ""))]
        body = [f"*** Update File: {path}", "@@", *removed, *added]
    return "\n".join(["*** Begin Patch", *body, "*** End Patch"])


def _filled(schema: Record, role: str, values: Record, root: Record) -> Record:
    """An object for an object schema: known properties from the values, then required ones by default.

    An inner object that knows none of the values stays empty.
    """
    properties = {name: _plain_schema(record(inner), root) for name, inner in record(schema.get("properties")).items()}
    filled: Record = {}
    for name, inner in properties.items():
        value = _value(name, inner, role, values, root)
        if value is not None:
            filled[name] = value
    required = schema.get("required")
    if (filled or schema is root) and isinstance(required, list):
        for name, inner in properties.items():
            if name in required and name not in filled:
                filled[name] = _default(inner, role)
    return filled


def _plain_schema(schema: Record, root: Record) -> Record:
    """The schema with a local reference followed and the first variant that isn't null taken."""
    for _ in range(4):
        reference = string(schema.get("$ref"))
        variants = records(schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"))
        if reference.startswith("#/"):
            found: Record = root
            for step in reference[2:].split("/"):
                found = record(found.get(step))
            schema = found
        elif variants:
            schema = next((v for v in variants if v.get("type") != "null"), variants[0])
        else:
            break
    return schema


def _value(name: str, schema: Record, role: str, values: Record, root: Record) -> object:
    """The value of a property, or None where the role has nothing for it."""
    squeezed = _squeezed(name)
    if "enum" in schema:
        return next((wish for wish in _ENUMS.get(role, ()) if wish in _options(schema)), None)
    kind = schema.get("type")
    items = _plain_schema(record(schema.get("items")), root)
    if items.get("properties"):
        inner = _filled(items, role, values, root)
        return [inner] if inner else None
    if schema.get("properties"):
        return _filled(schema, role, values, root) or None
    for key, value in values.items():
        if name == key or squeezed in _PROPERTIES.get(key, ()):
            if kind != "array":
                return value
            return ["bash", "-lc", value] if squeezed == "command" else [value]
    return None


def _options(schema: Record) -> list[object]:
    options = schema.get("enum")
    return cast("list[object]", options) if isinstance(options, list) else []


def _default(schema: Record, role: str) -> object:
    """Something valid for a required property that no role has a value for."""
    if options := _options(schema):
        return options[0]
    by_kind: Record = {"array": [], "object": {}, "boolean": False, "integer": 1, "number": 1}
    kind = schema.get("type")
    return by_kind.get(kind if isinstance(kind, str) else "", f"scripted {role}")
