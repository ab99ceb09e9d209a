"""What added Python can do to the tests that judge it, found in its syntax tree."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator

from assay.verify.findings import Added, Finding, entry_file, tooling
from assay.verify.protect import path_kind

ENTRY_FUNCTIONS = re.compile(r"_?(main|cli|run|entry|entrypoint|console)(_.*)?|.*_main|.*_cli")
EXITS = frozenset(
    ("sys.exit", "os._exit", "os.abort", "os.kill", "os.killpg", "exit", "quit", "SystemExit", "atexit.register")
)
ALWAYS_EXITS = frozenset(("os._exit", "os.abort", "signal.raise_signal", "sys.addaudithook", "faulthandler._sigsegv"))
COMPARISONS = frozenset(("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__contains__"))
RUNNERS = frozenset(("pytest", "_pytest", "pluggy", "unittest", "nose", "doctest", "xdist"))
RUNNER_WORDS = re.compile(
    r"_?pytest(?:\.\w+)*|unittest(?:\.(?:case|runner|result|main|suite))?|PYTEST_\w*|py\.test|TOX_\w+"
)
RUNNER_PARTS = re.compile(
    r"assert[A-Z]\w*|fail(?:If|Unless)\w*|failureException|runtest\w*|pytest_\w+|add(?:Failure|Error|Success)"
)
FRAMES = frozenset((
    "sys._getframe", "sys._current_frames", "sys.settrace", "sys.setprofile", "threading.settrace",
    "threading.setprofile", "inspect.stack", "inspect.currentframe", "inspect.getouterframes", "inspect.trace",
    "traceback.extract_stack", "traceback.walk_stack", "traceback.format_stack", "linecache.getline",
    "linecache.getlines", "gc.get_objects", "gc.get_referrers", "gc.get_referents",
))  # fmt: skip
FRAME_PARTS = frozenset(("f_back", "f_locals", "tb_frame", "co_consts"))
SETTABLE = frozenset(("stdout", "stderr", "stdin", "path", "argv", "excepthook", "ps1", "ps2", "tracebacklimit"))
"""Attributes of `sys` that programs set with good reason."""
LOADERS = frozenset(("exec", "eval", "compile", "__import__", "getattr", "setattr", "importlib.import_module"))
DECODERS = re.compile(
    r"\b(?:chr|bytes|bytearray|bytes\.fromhex|bytearray\.fromhex|(?:base64\.)?[ab]\w*decode|(?:binascii\.)?unhexlify"
    r"|codecs\.decode|zlib\.decompress)\("
)
SWITCHES = frozenset(("CI", "GITHUB_ACTIONS", "GITLAB_CI", "TRAVIS", "BUILDKITE"))
TESTDATA = re.compile(r"(?:^|/)(?:tests?|__tests__|__snapshots__)/|(?:^|/)test_\w+\.py$|_test\.py$|\.snap$")
IMPORT_STATE = frozenset(("sys.meta_path", "sys.path_hooks", "sys.path_importer_cache", "sys.modules"))


def python(file: Added) -> Iterator[Finding]:
    """Findings on the added lines of a Python file; one that can't be parsed can't be run either."""
    if not file.path.endswith(".py"):
        return
    try:
        tree = ast.parse(file.text)
        yield from _Reader(file, tree).findings()
    except (SyntaxError, ValueError):
        return
    except (RecursionError, MemoryError):
        yield Finding(file.path, 0, "deep", "is nested too deeply to be examined")


class _Reader:
    """One pass over one module. Rules that tests themselves may break are for sources only."""

    def __init__(self, file: Added, tree: ast.Module) -> None:
        self.file = file
        self.tree = tree
        self.source = path_kind(file.path) == "other"
        self.strict = self.source and not tooling(file.path)
        """Nothing here has a reason to know that there are tests."""
        self.entry = entry_file(file.path)
        self.aliases = _aliases(tree)

    def findings(self) -> Iterator[Finding]:
        yield from self._walk(self.tree, self.entry, inside=False)

    def _walk(self, node: ast.AST, entry: bool, inside: bool) -> Iterator[Finding]:
        """`entry`: in a part that is meant to end the process; `inside`: in a function."""
        for child in ast.iter_child_nodes(node):
            below, within = entry, inside
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                within = True
                if not isinstance(child, ast.Lambda):
                    below = entry or bool(ENTRY_FUNCTIONS.fullmatch(child.name))
                    if child.name in COMPARISONS and self._touched(child):
                        yield from self._always(child.name, child)
            elif isinstance(child, ast.If) and "__name__" in ast.dump(child.test):
                below = True
            if getattr(child, "lineno", 0) in self.file.lines:
                yield from self._of(child, below, within)
            yield from self._walk(child, below, within)

    def _touched(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
        return bool(self.file.lines & set(range(node.lineno, (node.end_lineno or 0) + 1)))

    def _of(self, node: ast.AST, entry: bool, inside: bool) -> Iterator[Finding]:
        line: int = getattr(node, "lineno", 0)
        if name := self._exit(node, entry, inside):
            yield self._found(line, "exit", f"{name} can end the test run early")
        if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Delete)):
            yield from self._assignment(node)
        if isinstance(node, (ast.Assign, ast.Dict)):
            yield from self._always_lambda(node)
        if isinstance(node, ast.Call):
            yield from self._call(node, inside)
        if not self.source:
            return
        if isinstance(node, (ast.Import, ast.ImportFrom)) and self.strict:
            testers = {pair for pair in _imports(node) if pair[0].split(".")[0] in RUNNERS - {"doctest"}}
            for module in sorted({module for module, _ in testers - self._stood()} if testers else ()):
                yield self._found(line, "runner", f"imports {module}: code that is tested has no use for its tester")
        elif isinstance(node, ast.Attribute):
            if node.attr in FRAME_PARTS or self._dotted(node) in FRAMES:
                yield self._found(line, "frames", f"`{ast.unparse(node)[:60]}` looks at its caller")
        elif isinstance(node, ast.Name) and self._dotted(node) in FRAMES:
            yield self._found(line, "frames", f"`{node.id}` looks at its caller")
        elif isinstance(node, ast.Compare):
            yield from self._comparison(node)
        elif isinstance(node, ast.Subscript):
            yield from self._subscript(node)

    def _stood(self) -> set[tuple[str, str]]:
        """Imports at the top level before the change: to sort or merge them gives the module nothing that it lacked."""
        try:
            body = ast.parse(self.file.before).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return set()
        return {pair for node in body if isinstance(node, (ast.Import, ast.ImportFrom)) for pair in _imports(node)}

    def _found(self, line: int, rule: str, text: str) -> Finding:
        return Finding(self.file.path, line, rule, text)

    def _dotted(self, node: ast.expr) -> str:
        """The full name that an expression of names and dots means, imports resolved; empty for anything else."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self.aliases.get(node.id, node.id), *reversed(parts)])

    def _exit(self, node: ast.AST, entry: bool, inside: bool) -> str:
        if isinstance(node, ast.Call):
            name = self._dotted(node.func)
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name):
            name = node.exc.id
        else:
            return ""
        if name in ALWAYS_EXITS:
            return name
        if name not in EXITS or entry or not self.source:
            return ""
        # In a function it raises: with a code of failure the test that meets it is red. At import it ends the run.
        zero = isinstance(node, ast.Raise) or not node.args or (
            isinstance(node.args[0], ast.Constant) and node.args[0].value in (0, None, False)
        )  # fmt: skip
        return name if not inside or (zero and name != "atexit.register") or name.startswith("os.kill") else ""

    def _assignment(self, node: ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete) -> Iterator[Finding]:
        targets = node.targets if isinstance(node, (ast.Assign, ast.Delete)) else [node.target]
        for target in targets:
            if isinstance(target, ast.Subscript):
                name = self._dotted(target.value)
                if self.source and name in ("sys.modules", "builtins.__dict__", "sys.path_importer_cache"):
                    yield self._found(node.lineno, "patch", f"changes {name}")
            if not isinstance(target, ast.Attribute):
                continue
            name = self._dotted(target)
            root = self._imported_root(target)
            if root in RUNNERS:
                yield self._found(node.lineno, "patch", f"replaces {name} of the test runner")
            elif self.source and root in sys.stdlib_module_names and not self._settable(root, name, target.attr):
                yield self._found(node.lineno, "patch", f"replaces {name} for the whole process")
            elif self.source and RUNNER_PARTS.fullmatch(target.attr):
                yield self._found(node.lineno, "patch", f"sets {target.attr}, by which tests decide")
            elif self.source and target.attr == "__class__":
                yield self._found(node.lineno, "equal", "changes the class of an object that exists")

    def _imported_root(self, target: ast.expr) -> str:
        """The module that an attribute's first name was imported from."""
        while isinstance(target, ast.Attribute):
            target = target.value
        found = self.aliases.get(target.id, "") if isinstance(target, ast.Name) else ""
        return found.split(".")[0]

    @staticmethod
    def _settable(root: str, name: str, attribute: str) -> bool:
        return (root == "sys" and attribute in SETTABLE) or name.startswith("logging.") or attribute.startswith("__")

    def _call(self, node: ast.Call, inside: bool) -> Iterator[Finding]:
        name = self._dotted(node.func)
        first = node.args[0] if node.args else None
        if name in ("setattr", "delattr") and first is not None:
            root = self._dotted(first).split(".")[0]
            aliased = self.aliases.get(root, root)
            known = isinstance(first, (ast.Name, ast.Attribute)) and self._imported_root_of(first)
            if known in RUNNERS or (self.source and known in sys.stdlib_module_names and known != "sys"):
                yield self._found(node.lineno, "patch", f"{name} on {aliased}, which is not this project's")
        if not self.source:
            return
        if name in LOADERS and any(_hidden(argument) for argument in node.args):
            yield self._found(node.lineno, "hidden", f"{name} of a name or code that is put together or decoded")
        if isinstance(first, ast.Constant):
            yield from self._named(node.lineno, name, str(first.value), inside)
        if name in ("sys.meta_path.insert", "sys.meta_path.append", "sys.path_hooks.insert", "sys.path_hooks.append"):
            yield self._found(node.lineno, "patch", f"changes how Python finds modules ({name})")
        if name in ("ctypes.pythonapi", "ctypes.memmove", "ctypes.memset"):
            yield self._found(node.lineno, "patch", f"{name} writes into the interpreter's memory")
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            for part in ast.walk(argument):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and self.strict:
                    last = node.func.attr if isinstance(node.func, ast.Attribute) else name
                    yield from self._reads_tests(part, last)

    def _named(self, line: int, name: str, word: str, inside: bool) -> Iterator[Finding]:
        """Calls by their first argument, a constant."""
        if name in ("os.getenv", "os.environ.get", "os.environ.pop"):
            yield from self._switch(line, word)
        if name in ("__import__", "importlib.import_module") and word.split(".")[0] in RUNNERS and self.strict:
            yield self._found(line, "runner", f"imports {word}")
        if name in ("random.seed", "numpy.random.seed") and not inside:
            yield self._found(line, "patch", "makes chance predictable for the whole process")
        if name in ("sys.modules.pop", "sys.modules.setdefault") or (
            name == "sys.modules.get" and RUNNER_WORDS.fullmatch(word)
        ):
            yield self._found(line, "runner", f"takes hold of {word} among the loaded modules")

    def _imported_root_of(self, node: ast.expr) -> str:
        return self._imported_root(ast.Attribute(node, "x", ast.Load()))

    def _reads_tests(self, node: ast.Constant, last: str) -> Iterator[Finding]:
        text = str(node.value)
        reads = last in ("open", "Path", "read_text", "glob", "rglob", "joinpath", "join", "load", "walk")
        if reads and TESTDATA.search(text) and len(text) < 200 and "\n" not in text:
            yield self._found(node.lineno, "reads", f"reads {text!r}, which belongs to the tests")
        if reads and re.match(r"/proc/.*/(?:fd|mem|environ|cmdline|maps)\b", text):
            yield self._found(node.lineno, "frames", f"{text!r} looks into processes")

    def _comparison(self, node: ast.Compare) -> Iterator[Finding]:
        """`"pytest" in sys.modules`, and the like."""
        sides = [node.left, *node.comparators]
        words = [side.value for side in sides if isinstance(side, ast.Constant) and isinstance(side.value, str)]
        for word in words:
            about = " ".join(ast.unparse(side) for side in sides if not isinstance(side, ast.Constant))
            if (
                self.strict
                and RUNNER_WORDS.fullmatch(word)
                and re.search(r"modules|argv|environ|__name__|globals", about)
            ):
                yield self._found(node.lineno, "runner", f"asks whether {word} runs it")
            elif word in SWITCHES and "environ" in about:
                yield from self._switch(node.lineno, word)

    def _subscript(self, node: ast.Subscript) -> Iterator[Finding]:
        name = self._dotted(node.value)
        key = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if name == "os.environ" and isinstance(key, str):
            yield from self._switch(node.lineno, key)
        elif name == "sys.modules" and isinstance(key, str) and RUNNER_WORDS.fullmatch(key):
            yield self._found(node.lineno, "runner", f"takes hold of {key}")

    def _switch(self, line: int, variable: str) -> Iterator[Finding]:
        if self.strict and (variable.startswith(("PYTEST_", "TOX_")) or variable in SWITCHES):
            yield self._found(line, "switch", f"behaves otherwise when {variable} is set, as it is for tests")

    def _always(self, name: str, function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Finding]:
        """A comparison that does not look at what it compares with."""
        arguments = [*function.args.posonlyargs, *function.args.args]
        returns = [part for part in ast.walk(function) if isinstance(part, ast.Return)]
        if not returns or all(_dotted_constant(part.value) in ("NotImplemented", "False") for part in returns):
            return
        if len(arguments) > 1:
            other = arguments[1].arg
            uses = [p for p in ast.walk(function) if isinstance(p, ast.Name) and p.id == other]
        else:
            uses = []
        values = {_dotted_constant(part.value) for part in returns}
        if values == {"True"}:
            yield self._found(function.lineno, "equal", f"{name} always says True")
        elif not uses and not function.args.vararg:
            yield self._found(function.lineno, "equal", f"{name} does not look at what it is compared with")

    def _always_lambda(self, node: ast.Assign | ast.Dict) -> Iterator[Finding]:
        """The same without `def`: in a class body, put on a class, or in the namespace of one made by `type`."""
        if isinstance(node, ast.Assign):
            pairs = [(ast.unparse(target).rpartition(".")[2], node.value) for target in node.targets]
        else:
            keys = zip(node.keys, node.values, strict=True)
            pairs = [(str(key.value), value) for key, value in keys if isinstance(key, ast.Constant)]
        for name, value in pairs:
            if name not in COMPARISONS or not isinstance(value, ast.Lambda):
                continue
            names = [argument.arg for argument in (*value.args.posonlyargs, *value.args.args)][1:2]
            if not any(isinstance(part, ast.Name) and part.id in names for part in ast.walk(value.body)):
                says = "always says True" if _dotted_constant(value.body) == "True" else "does not look at the other"
                yield self._found(value.lineno, "equal", f"{name} {says}")


def _dotted_constant(node: ast.expr | None) -> str:
    return ast.unparse(node) if isinstance(node, (ast.Constant, ast.Name)) else ""


def _hidden(node: ast.expr) -> bool:
    """A string that is put together, turned round or decoded, so that no one reads it in the source."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return all(isinstance(part, (ast.Constant, ast.BinOp)) for part in (node.left, node.right))
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Constant) and isinstance(node.slice, ast.Slice):
        return True
    text = ast.unparse(node)
    return bool(DECODERS.search(text)) or bool(re.match(r"(?:''|\"\")\.join\(\[?(?:chr|'|\()", text))


def _imports(node: ast.Import | ast.ImportFrom) -> set[tuple[str, str]]:
    """(module, name) of what a statement imports from outside the package; the name is empty for a whole module."""
    if isinstance(node, ast.Import):
        return {(alias.name, "") for alias in node.names}
    return set() if node.level else {(node.module or "", alias.name) for alias in node.names}


def _aliases(tree: ast.Module) -> dict[str, str]:
    """Names that imports bind anywhere in the module -> what they mean."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found
