"""Putting a changed source into effect without touching files: a function's code is exchanged in place, or modules are
imported with the changed text."""

import ast
import gc
import importlib.machinery
import os
import sys
import types


class Files:
    """The project's sources as they lie there, by relative path with forward slashes."""

    def __init__(self, root):
        self.root = root
        self._texts = {}
        self._functions = {}
        self._owned = {}

    def full(self, path):
        return os.path.realpath(os.path.join(self.root, path))

    def relative(self, full):
        if not full.startswith(self.root + os.sep):
            return ""
        path = full[len(self.root) + 1 :].replace(os.sep, "/")
        parts = path.split("/")
        return "" if "site-packages" in parts or ".tox" in parts or ".venv" in parts else path

    def owns(self, name):
        """Whether code with this file name is the project's."""
        if name not in self._owned:
            self._owned[name] = not name.startswith("<") and bool(self.relative(os.path.realpath(name)))
        return self._owned[name]

    def text(self, path):
        if path not in self._texts:
            with open(self.full(path), "rb") as file:
                self._texts[path] = file.read().decode("utf-8-sig")
        return self._texts[path]

    def known(self, path):
        """Read it now, if it can be."""
        try:
            self.text(path)
        except (OSError, ValueError):
            pass

    def changed(self, edits):
        """Path -> new text. `edits`: [path, start, end, text] of one candidate."""
        found = {}
        for path, start, end, text in sorted(edits, key=lambda edit: (edit[0], -edit[1])):
            before = found.get(path, self.text(path))
            found[path] = before[:start] + text + before[end:]
        return found

    def functions(self, path):
        """The functions of a file that are not inside functions."""
        if path not in self._functions:
            try:
                self._functions[path] = _functions(self.text(path))
            except (SyntaxError, ValueError, RecursionError, OSError):
                self._functions[path] = []
        return self._functions[path]


class Function:
    def __init__(self, node, symbol, chain, place):
        self.name, self.symbol, self.chain = node.name, symbol, chain
        self.line = node.lineno
        self.first = min([node.lineno] + [each.lineno for each in node.decorator_list])
        self.start = place(node.lineno, 0)
        first = node.body[0]
        line = min([first.lineno] + [each.lineno for each in getattr(first, "decorator_list", [])])
        signature = [node.lineno] + [getattr(each, "end_lineno", 0) for each in ast.walk(node.args)]
        signature.append(node.returns.end_lineno if node.returns else 0)
        # Whole lines, so that what is put before the first and behind the last statement is inside, too.
        self.body = max(place(line, 0), place(first.lineno, first.col_offset) if line in signature else 0)
        self.end = place(node.end_lineno + 1, 0)


def _functions(text):
    tree = ast.parse(text)
    starts, at = [0], 0
    lines = text.splitlines(True) if "\f" not in text and "\v" not in text else None
    if lines is None or any(ord(mark) in (28, 29, 30, 133, 8232, 8233) for mark in text):
        return []  # lines that Python counts otherwise
    for line in lines:
        at += len(line)
        starts.append(at)

    def place(line, column):
        if line > len(lines):
            return starts[-1]
        return starts[line - 1] + len(
            lines[line - 1].encode("utf-8", "surrogatepass")[:column].decode("utf-8", "replace")
        )

    found = []

    def walk(body, symbol, chain):
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found.append(Function(node, symbol + node.name, chain, place))
                continue
            margin = lines[node.lineno - 1][: node.col_offset] if hasattr(node, "lineno") else ""
            if isinstance(node, ast.ClassDef):
                walk(node.body, symbol + node.name + ".", [*chain, (margin, node.name)])
            else:
                for field in ("body", "orelse", "finalbody"):
                    inner = getattr(node, field, None)
                    if isinstance(inner, list):
                        walk(inner, symbol, [*chain, (margin, "")])
                for handler in getattr(node, "handlers", []):
                    walk(handler.body, symbol, [*chain, (margin, "")])

    walk(tree.body, "", [])
    return found


class Swap:
    """A candidate that only changes bodies of functions: their new code objects, made before anything is forked."""

    def __init__(self, pairs, caches):
        self.pairs, self.caches = pairs, caches

    def apply(self):
        self._before = [(function, function.__code__) for live, _ in self.pairs for function in live]
        for live, code in self.pairs:
            for function in live:
                function.__code__ = code
        self._forget()

    def undo(self):
        for function, code in self._before:
            function.__code__ = code
        self._forget()

    def _forget(self):
        for cache in self.caches:
            cache.cache_clear()


class Swaps:
    """What can be exchanged in the modules that are loaded now. `started`: the code objects that ran while they were
    imported, for what these computed is not computed again."""

    def __init__(self, files, started):
        self.files = files
        self._live, self._caches = {}, []
        ran = {_key(code) for code in started}
        for thing in gc.get_objects():
            if type(thing) is types.FunctionType:
                if files.owns(thing.__code__.co_filename):
                    key = _key(thing.__code__)
                    if key not in ran:
                        self._live.setdefault(key, []).append(thing)
            elif type(thing).__name__ == "_lru_cache_wrapper" and files.owns(_file_of(thing)):
                self._caches.append(thing)

    def of(self, edits):
        """The swap for a candidate; None when modules have to be imported anew. Raises SyntaxError."""
        grouped = {}
        for edit in edits:
            holders = [f for f in self.files.functions(edit[0]) if f.body <= edit[1] and edit[2] <= f.end]
            if len(holders) != 1:
                return None
            grouped.setdefault((edit[0], holders[0].first), (holders[0], []))[1].append(edit)
        pairs = []
        for (path, _), (function, own) in grouped.items():
            live = self._live.get((self.files.full(path), function.first, function.name))
            code = self._compiled(path, function, own) if live else None
            if code is None or any(len(code.co_freevars) != len(f.__code__.co_freevars) for f in live):
                return None
            pairs.append((live, code))
        return Swap(pairs, self._caches)

    def _compiled(self, path, function, edits):
        text = self.files.text(path)
        body, at = "", function.start
        for _, start, end, new in sorted(edits, key=lambda edit: edit[1]):
            body += text[at:start] + new
            at = end
        body += text[at : function.end]
        heads = "".join(margin + ("class %s:" % name if name else "if 1:") + "\n" for margin, name in function.chain)
        padding = "\n" * (function.line - 1 - len(function.chain))
        # Flags of the module, its future imports among them, hold for the piece as well.
        live = self._live[(self.files.full(path), function.first, function.name)][0].__code__
        flags = live.co_flags & _FUTURES
        code = compile(heads + padding + body + "\n", live.co_filename, "exec", flags, True)
        for name in [name for _, name in function.chain if name] + [function.name]:
            inner = [const for const in code.co_consts if isinstance(const, types.CodeType) and const.co_name == name]
            if len(inner) != 1:
                return None
            code = inner[0]
        return code


def _futures():
    import __future__

    return sum(
        {getattr(__future__, name).compiler_flag for name in __future__.all_feature_names if name != "nested_scopes"}
    )


_FUTURES = _futures()


def _file_of(cache):
    return getattr(getattr(getattr(cache, "__wrapped__", None), "__code__", None), "co_filename", "<")


def _key(code):
    return (os.path.realpath(code.co_filename), code.co_firstlineno, code.co_name)


class Sources:
    """Imports files of the project with other text, and others without reading them twice."""

    def __init__(self, files):
        self.files = files
        self.changed = {}
        self._known = {}
        self._install()

    def _install(self):
        loader, mine = importlib.machinery.SourceFileLoader, self
        original = loader.get_code

        def get_code(self, fullname):
            code = mine.code(os.path.realpath(self.path))
            return original(self, fullname) if code is None else code

        loader.get_code = get_code

    def use(self, edits):
        """From now on in this process. Raises SyntaxError."""
        for path, text in self.files.changed(edits).items():
            full = self.files.full(path)
            self.changed[full] = compile(text, full, "exec", 0, True)

    def code(self, full):
        """The code of a project's file; None for any other, and for one that can't be read or compiled."""
        if full in self.changed:
            return self.changed[full]
        path = self.files.relative(full)
        if not path:
            return None
        if full not in self._known:
            try:
                self._known[full] = compile(self.files.text(path), full, "exec", 0, True)
            except (OSError, ValueError, SyntaxError):
                self._known[full] = None
        return self._known[full]

    def keep(self, fulls):
        """Compile these now, once for all children."""
        for full in fulls:
            self.code(full)


class Started:
    """Notes the code objects of the project that run between `begin` and `end`."""

    def __init__(self, files):
        self.files = files
        self.seen = set()

    def begin(self):
        if sys.version_info >= (3, 12):
            self._tool = next((n for n in (3, 4) if sys.monitoring.get_tool(n) is None), None)
            if self._tool is not None:
                sys.monitoring.use_tool_id(self._tool, "imports")
                sys.monitoring.register_callback(self._tool, sys.monitoring.events.PY_START, self._start)
                sys.monitoring.set_events(self._tool, sys.monitoring.events.PY_START)
        else:
            sys.settrace(self._trace)

    def end(self):
        if sys.version_info >= (3, 12):
            if self._tool is not None:
                sys.monitoring.set_events(self._tool, 0)
                sys.monitoring.free_tool_id(self._tool)
        else:
            sys.settrace(None)

    def _start(self, code, _):
        self._note(code)
        return sys.monitoring.DISABLE

    def _trace(self, frame, event, arg):
        self._note(frame.f_code)

    def _note(self, code):
        if self.files.owns(code.co_filename):
            self.seen.add(code)
