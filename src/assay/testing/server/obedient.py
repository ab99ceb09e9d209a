"""A model that does as it is told: it reads the prompt like a person in a hurry and makes the calls that it names.

For suites that want a real model behind a command: `ScriptedServer(obedient)`. It understands requests to run a
command, to write a file, to call named tools, to use an agent, to reply with given words, to think, and gives
structured answers made from their schema. Models whose name says that they don't exist are not found.
"""

import re
from typing import cast

from assay.testing.server.script import Call, Fault, Reply
from assay.testing.server.seen import Record, SeenRequest, Tool, Turn, record

_COMMAND = re.compile(r"^\s*Run(?: this bash command| the bash command| the command| this command)?: *(.+)$", re.M)
_WRITE = re.compile(r"Write tool to create the file (\S+) containing exactly(?: the text)? (.+?)(?:\. |\.?$)", re.M)
_AGENT = re.compile(r"Agent tool\b.*?subagent_type ['\"]?([\w-]+)['\"]?(?:.*?prompt\s+['\"](.+?)['\"])?", re.S)
_SERVED = re.compile(r"\b(mcp__\w+?__\w+)\b(?: tool)?(?: with (\w+)=['\"](.*?)['\"])?")
_NAMED = re.compile(r"\buse the (\w+) tool to \w+ ['\"](.*?)['\"]", re.I)
_EXACTLY = re.compile(r"[Rr]eply with(?: exactly)?:? (?:the single word )?([\w-]+)")
_COUNT = re.compile(r"\b[Cc]ount from (\d+) to (\d+)")
_QUOTED = re.compile(r"text: ['\"](.*?)['\"]")
_ASIDE = frozenset({"StructuredOutput", "ToolSearch"})

Step = tuple[Call, ...]


def obedient(seen: SeenRequest) -> Reply:
    """The reply to a request: the next step that its prompt asks for, or the closing words."""
    if "nonexistent" in seen.model:
        return Reply("unreachable", fault=Fault("no_model", times=None))
    place, prompt = _job(seen.history)
    thinking = "Let me think about it: 2 + 2 and the like, one step after the other." if "hink" in prompt else ""
    made = [turn for turn in seen.history[place:] if any(call.name not in _ASIDE for call in turn.calls)]
    steps = _steps(prompt, seen)
    if len(made) < len(steps):
        return Reply("I do that now.", thinking=thinking, calls=steps[len(made)])
    answer = next((tool for tool in seen.tools if tool.name == "StructuredOutput"), None)
    if answer and not any(call.name == answer.name for turn in seen.history[place:] for call in turn.calls):
        given = cast(Record, _example(answer.schema, "", prompt))
        return Reply(thinking=thinking, calls=(Call(answer.name, given),))
    if counted := _COUNT.search(prompt):
        numbers = range(int(counted[1]), min(int(counted[2]), 1_000) + 1)
        return Reply(" ".join(map(str, numbers)), pace=0.01, chunk=4)
    return Reply(_words(prompt), thinking=thinking)


def _job(history: list[Turn]) -> tuple[int, str]:
    """Where the last prompt stands, and its text: what a harness adds beside it asks for nothing."""
    said = [(place, turn.text) for place, turn in enumerate(history) if turn.role == "user" and turn.text]
    for place, text in reversed(said):
        if any(rule.search(text) for rule in (_COMMAND, _WRITE, _AGENT, _SERVED, _NAMED, _EXACTLY, _COUNT)):
            return place, text
    return said[-1] if said else (0, "")


def _steps(prompt: str, seen: SeenRequest) -> list[Step]:
    offered = {tool.name: tool for tool in seen.tools}
    if found := _AGENT.search(prompt):
        name = next((name for name in ("Agent", "Task") if name in offered), "")
        arguments: Record = {
            "description": "as asked",
            "prompt": found[2] or "say hi",
            "subagent_type": found[1],
            "run_in_background": False,
        }
        return [(Call(name, arguments),)] if name else []
    if found := _WRITE.search(prompt):
        return [(Call("Write", {"file_path": found[1], "content": found[2]}),)] if "Write" in offered else []
    if found := _COMMAND.search(prompt):
        return [(Call("Bash", {"command": found[1].strip()}),)] if "Bash" in offered else []
    if named := _NAMED.findall(prompt):
        calls = [_served(_find(name, seen), offered, "", text) for name, text in named]
        return [(call,) for call in calls if call]
    calls = [_served(name, offered, key, text) for name, key, text in dict.fromkeys(_SERVED.findall(prompt))]
    step = tuple(call for call in calls if call)
    return [step] if step else []


def _find(word: str, seen: SeenRequest) -> str:
    """The full name of the tool of a server that is called `word`; empty when none is offered or told of."""
    found = re.search(rf"\bmcp__\w+?__{re.escape(word)}\b", " ".join(tool.name for tool in seen.tools))
    return found[0] if found else ""


def _served(name: str, offered: dict[str, Tool], key: str, text: str) -> Call | None:
    """A call of a server's tool; one that is not in the request is called all the same, should it be deferred."""
    if not name:
        return None
    schema = offered[name].schema if name in offered else {}
    needed = [str(each) for each in cast("list[object]", schema.get("required") or ["text"])]
    arguments: Record = dict.fromkeys(needed, text or "hello")
    if key:
        arguments = {key: text}
    return Call(name, arguments)


def _words(prompt: str) -> str:
    found = _EXACTLY.search(prompt)
    return found[1] if found else "Hello, that is done."


def _example(schema: Record, name: str, prompt: str) -> object:
    """A value that meets `schema`, true of the text that the prompt quotes where the name of a field tells how."""
    if "const" in schema:
        return schema["const"]
    if isinstance(choices := schema.get("enum"), list):
        return cast("list[object]", choices)[0]
    found = _QUOTED.search(prompt)
    text = found[1] if found else ""
    match schema.get("type"):
        case "object":
            fields = record(schema.get("properties"))
            return {key: _example(record(inner), key, prompt) for key, inner in fields.items()}
        case "array":
            if name == "words" and text:
                return text.split()
            return [_example(record(schema.get("items")), name, prompt)]
        case "number" | "integer":
            if text and "word" in name:
                return len(text.split())
            return len(text) if text and "char" in name else 3
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return text or "text"
