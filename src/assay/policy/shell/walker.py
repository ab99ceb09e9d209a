"""Goes through the commands of a line and gathers what they would do."""

from __future__ import annotations

import posixpath
import re
from itertools import product

from assay.core.policy import Effect, EffectKind
from assay.policy.shell.expansion import HOLE, ROOT, Fields, Scope, expand, home, scripts_in, texts, variables_in
from assay.policy.shell.parser import assignment_of, parse
from assay.policy.shell.syntax import Assignment, Block, Node, NotUnderstood, Pipe, Redirect, Script, Simple, Word

_MOST = 500
"""Effects of one line; more are not listed one by one."""
_NESTING = 8
"""How deep functions and lines within lines are followed."""
_COMMANDS = 1_500
"""Commands looked at, functions called twice counted twice."""
_DEVICES = re.compile(r"/dev/(?:null|zero|full|random|urandom|stdin|stdout|stderr|tty|ptmx|fd/.*)|/proc/self/fd/\d+")
_SOCKET = re.compile(r"/dev/(?:tcp|udp)/([^/]*)")


class Walker:
    """Goes through the commands of a line and gathers their effects."""

    def __init__(self, cwd: str = "") -> None:
        self.scope = Scope()
        self.scope.cwd = cwd
        self.scope.output = self._output
        self.functions: dict[str, list[Script]] = {}
        self.stdin: set[str] | None = None
        """What the command at hand reads, as far as known; None when nothing is piped to it."""
        self.depth = 0
        self.wrapped = 0
        """How many programs deep a command is that others run: `env nice time …`."""
        self._found: dict[Effect, None] = {}
        self._unknown: dict[str, None] = {}
        self._seen = 0
        self._previous = HOLE
        self._calling: list[str] = []
        self._called: set[str] = set()

    def effects(self) -> tuple[Effect, ...]:
        if len(self._found) > _MOST:
            return (*tuple(self._found)[:_MOST], Effect("unknown", "very many effects"))
        return tuple(self._found) or (Effect("none"),)

    def line(self, line: str, *, shell: str = "bash") -> None:
        """A command line, or one that a command of it hands to a shell."""
        if HOLE in line:
            self.unknown(line)
            return
        if self.depth >= _NESTING:
            self.unknown("a line too deep within lines")
            return
        self.depth += 1
        try:
            script, bash_only = parse(line)
            if bash_only and shell != "bash":
                self.unknown(line)
            names = -1
            for _ in range(3):
                # What a variable may hold is known after a second look, for what is said before it is set.
                self.script(script)
                if names == (names := sum(len(held) for held in self.scope.values.values()) + len(self.functions)):
                    break
                if not names:
                    break
            for name in [name for name in self.functions if name not in self._called]:
                # It may be called by what can't be seen here.
                self.call(name, None)
        except NotUnderstood as error:
            self.unknown(f"{error}: {line}")
        except RecursionError:
            self.unknown("too deep a nesting")
        finally:
            self.depth -= 1

    def add(self, kind: EffectKind, target: str = "") -> None:
        self._found[Effect(kind, _shown(target))] = None

    def unknown(self, what: str) -> None:
        text = " ".join(_shown(what).split())
        self.add("unknown", text if len(text) <= 200 else text[:199] + "…")

    def path(self, kind: EffectKind, target: str) -> None:
        """An effect on a file that is named from the present directory."""
        if socket := _SOCKET.match(target):
            self.add("network", socket[1])
            return
        if _DEVICES.fullmatch(target) or (not target and kind != "destroy"):
            return
        if HOLE in target:
            # Which file it is decides whether it matters.
            if kind != "read":
                self.unknown(f"{kind} {target}")
            if kind == "destroy":
                self.add(kind, target)
            return
        placed = self.placed(target)
        if HOLE in placed:
            self.path(kind, HOLE)
        else:
            self.add(kind, placed)

    def placed(self, target: str) -> str:
        """`target` seen from the root of the workspace."""
        if target.startswith(ROOT):
            return posixpath.normpath(target[1:].lstrip("/"))
        return posixpath.normpath(posixpath.join(self.scope.cwd, target)) if target else target

    def script(self, script: Script) -> None:
        for node in script:
            if len(self._found) > _MOST:
                return
            self._node(node)

    def contained(self, script: Script) -> None:
        """A script in a shell of its own: its directory does not last."""
        cwd = self.scope.cwd
        self.script(script)
        self.scope.cwd = cwd

    def change_directory(self, operands: list[str]) -> None:
        target = operands[0] if operands else home()
        before = self.scope.cwd
        if target == "-":
            self.scope.cwd = self._previous
        elif HOLE in target:
            self.scope.cwd = HOLE
        else:
            placed = self.placed(target)
            self.scope.cwd = "" if placed == "." else placed
        self._previous = before

    def count(self) -> None:
        """One more command looked at."""
        self._seen += 1
        if self._seen > _COMMANDS:
            raise NotUnderstood("a line that runs very many commands")

    def _node(self, node: Node) -> None:
        self.count()
        match node:
            case Simple():
                self._simple(node)
            case Pipe(stages):
                stdin, cwd = self.stdin, self.scope.cwd
                for number, stage in enumerate(stages):
                    self.stdin = stdin if number == 0 else set(self._output((stages[number - 1],)))
                    self._node(stage)
                    self.scope.cwd = cwd
                self.stdin = stdin
            case Block():
                self._block(node)

    def _block(self, block: Block) -> None:
        stdin, cwd = self.stdin, self.scope.cwd
        self._redirects(block.redirects)
        for word in block.words or ():
            self._within(word)
        if block.kind in ("test", "arithmetic"):
            self._evaluated(block)
        elif block.kind == "function":
            if block.body not in self.functions.setdefault(block.name, []):
                self.functions[block.name].append(block.body)
            self.scope.cwd = cwd
        else:
            if block.kind == "for" and block.name:
                words = block.words
                for fields in (fields for word in words or () for fields in expand(word, self.scope)):
                    self.scope.assign(block.name, set(fields))
                if words is None:
                    held = self.scope.positional
                    self.scope.assign(block.name, {HOLE} if held is None else set(held))
            self.script(block.body)
        self.stdin = stdin
        if block.kind == "subshell":
            self.scope.cwd = cwd

    def _evaluated(self, block: Block) -> None:
        """Arithmetic evaluates what a variable holds, and that may name a command: `a[$(command)]`."""
        words = block.words or ()
        numeric = block.kind == "arithmetic" or any(re.fullmatch(r"-(?:eq|ne|lt|le|gt|ge|v)", w.source) for w in words)
        if numeric and any("[" in value for held in self.scope.values.values() for value in held):
            self.unknown("arithmetic on what a variable holds")
        for name in re.findall(r"([A-Za-z_]\w*)\s*(?:=(?!=)|\+\+|--|[-+*/%]=)", " ".join(w.source for w in words)):
            self.scope.assign(name, {"*"})

    def call(self, name: str, positional: Fields | None) -> None:
        """A function of the line; with None, whatever it may be called with."""
        if len(self._calling) >= _NESTING:
            self.unknown("functions that call each other")
            return
        held, self.scope.positional = self.scope.positional, positional
        self._calling.append(name)
        self._called.add(name)
        for body in tuple(self.functions[name]):
            self.script(body)
        self._calling.pop()
        self.scope.positional = held

    def calls(self, name: str) -> bool:
        return name in self.functions and name not in self._calling

    def _within(self, word: Word) -> None:
        """The commands that expanding `word` runs."""
        for script in scripts_in(word):
            stdin = self.stdin
            self.contained(script)
            self.stdin = stdin
        if any(variable.operator in ("[", ":") for variable in variables_in(word)) and any(
            "$(" in value or "`" in value for held in self.scope.values.values() for value in held
        ):
            self.unknown("a subscript that a variable holds")

    def _simple(self, command: Simple) -> None:
        from assay.policy.shell.programs import environment, run

        for word in command.words:
            self._within(word)
        declares = bool(command.words) and command.words[0].source in (
            "export", "declare", "typeset", "local", "readonly"
        )  # fmt: skip
        assignments = list(command.assignments)
        if declares:
            assignments += [found for word in command.words[1:] if (found := assignment_of(word))]
        for assignment in assignments:
            for word in assignment.values if assignment in command.assignments else ():
                self._within(word)
            self._assign(assignment)
            for value in self._values(assignment):
                environment(self, assignment.name, value, append=assignment.append)
        stdin = self.stdin
        self._redirects(command.redirects)
        if not command.words:
            self.stdin = stdin
            return
        for argv in self._argvs(command.words):
            if argv:
                run(self, argv, command.source)
        self.stdin = stdin

    def _argvs(self, words: tuple[Word, ...]) -> list[Fields]:
        choices = [expand(word, self.scope) for word in words]
        size = 1
        for choice in choices:
            size *= len(choice)
        if size <= 32:
            return [tuple(field for fields in way for field in fields) for way in product(*choices)]
        if len(choices[0]) > 1:
            raise NotUnderstood("too many ways to read a command")
        most = max(len(choice) for choice in choices)
        return [tuple(f for choice in choices for f in choice[at % len(choice)]) for at in range(most)]

    def _values(self, assignment: Assignment) -> set[str]:
        return {text for word in assignment.values for text in texts(word, self.scope)}

    def _assign(self, assignment: Assignment) -> None:
        values = self._values(assignment)
        if assignment.append and not assignment.array:
            values = {before + after for before in self.scope.of(assignment.name) for after in values}
        self.scope.assign(assignment.name, values or {""})
        if assignment.array:
            self.scope.assign_array(assignment)

    def _redirects(self, redirects: tuple[Redirect, ...]) -> None:
        for redirect in redirects:
            self._within(redirect.target)
            found = texts(redirect.target, self.scope)
            operator = redirect.operator
            if operator in ("<<", "<<<"):
                self.stdin = found
                continue
            for target in found:
                if operator in (">&", "<&") and re.fullmatch(r"\d*-?", target):
                    continue
                if operator in ("<", "<>"):
                    self.path("read", target)
                    scripts = list(scripts_in(redirect.target))
                    self.stdin = set(self._output(scripts[0])) if scripts else {HOLE}
                if operator != "<":
                    self.path("write", target)

    def _output(self, script: Script) -> tuple[str, ...]:
        from assay.policy.shell.outputs import printed

        return printed(self, script)


def _shown(text: str) -> str:
    return text.replace(HOLE, "…").replace(f"{ROOT}/", "").replace(ROOT, ".")
