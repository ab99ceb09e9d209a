"""What a function answers to recorded arguments: digests that are equal when the answers are, and words to read."""

import ast
import base64
import contextlib
import hashlib
import importlib
import io
import os
import pickle
import re
import signal
import sys

from _trial import pool

EACH = 0.3
"""Processor seconds of one call."""
TOTAL = 3.0
ITEMS = 200
DEPTH = 6
TEXT = 300
"""Characters of an answer in words."""
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]{6,}")
"""As objects show it; other hexadecimal numbers may be an answer."""


class _Late(BaseException):
    pass


class _Printed(io.StringIO):
    def write(self, text):
        if self.tell() < 20000:
            super().write(text)
        return len(text)


def observe(files, calls, say, words=False):
    """Say `{call, digest, text}` for each of `calls`: [path, symbol, arguments, key]; a text only with `words`."""

    def late(*_):
        raise _Late

    say({"patience": 2 * TOTAL + 2})
    # What is left of the last test's time is not the calls'.
    pool._setitimer(signal.ITIMER_PROF, 0)
    pool._signal(signal.SIGPROF, late)
    begun = sum(os.times()[:2])
    modules = {}
    for path, symbol, arguments, key in calls:
        if sum(os.times()[:2]) - begun > TOTAL:
            return
        try:
            if path not in modules:
                modules[path] = module_of(files, path)
            found = modules[path]
            for part in symbol.split("."):
                found = getattr(found, part)
            args, named = arguments_of(arguments)
        except BaseException as error:
            say({"call": key, "digest": "absent " + type(error).__name__, "text": ""})
            continue
        digest, text = answer(found, args, named, words)
        say({"call": key, "digest": digest, "text": text})


def answer(function, args, named, words):
    printed, kind, text = _Printed(), "value", ""
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            pool._setitimer(signal.ITIMER_PROF, EACH)
            try:
                result = function(*args, **named)
                value = shape(result, DEPTH)
                # What was changed in place is the answer of whoever returns nothing.
                text = (plain(result) if result is not None else "arguments after it: " + plain(args)) if words else ""
            finally:
                pool._setitimer(signal.ITIMER_PROF, 0)
    except _Late:
        kind, value, text = "late", "", "does not end in time"
    except BaseException as error:
        kind, value = "raised", type(error).__name__
        text = "raises " + value if words else ""
    try:
        after = shape([args, named], DEPTH)
    except BaseException as error:
        after = type(error).__name__
    whole = "\0".join((kind, value, after, printed.getvalue()[:20000]))
    digest = hashlib.sha256(_ADDRESS.sub(" at 0x", whole).encode("utf-8", "surrogatepass")).hexdigest()[:24]
    said = ", prints " + repr(printed.getvalue()[:TEXT]) if words and printed.getvalue() else ""
    return kind + " " + digest, text[:TEXT] + said[:TEXT]


def plain(value):
    """A value as its own language writes it; as its shape where that tells nothing."""
    try:
        text = repr(value)
    except Exception:
        text = ""
    return shape(value, DEPTH) if not text or _ADDRESS.search(text) else text


def arguments_of(text):
    if text.startswith("pickle:"):
        return pickle.loads(base64.b64decode(text[7:]))
    return ast.literal_eval(text)


def module_of(files, path):
    """A module by its file; imported if need be. Raises whatever importing raises."""
    full, last = files.full(path), path.rsplit("/", 1)[-1]
    for one in list(sys.modules.values()):
        name = getattr(one, "__file__", None)
        if isinstance(name, str) and name.endswith(last) and getattr(one, "__name__", "") != "__main__":
            if os.path.realpath(name) == full:
                return one
    return importlib.import_module(_module_name(files, full))


def _module_name(files, full):
    roots = [os.path.realpath(each or os.getcwd()) for each in sys.path] + [files.root]
    for root in sorted({root for root in roots if full.startswith(root + os.sep)}, key=len, reverse=True):
        parts = full[len(root) + 1 :].rsplit(".", 1)[0].split(os.sep)
        if parts[-1] == "__init__":
            parts.pop()
        if parts and all(part.isidentifier() for part in parts):
            if len(parts) == 1 or os.path.exists(os.path.join(root, parts[0], "__init__.py")) or root == files.root:
                return ".".join(parts)
    raise ImportError(full)


def shape(value, depth):
    """A text that is equal for equal values, whatever process they live in."""
    kind = type(value)
    if value is None or kind in (bool, int, str, bytes, complex):
        return repr(value)[:20000]
    if kind is float:
        return "%.12g" % value
    if depth <= 0:
        return kind.__name__
    if kind in (list, tuple):
        return kind.__name__ + "[" + ",".join(shape(each, depth - 1) for each in value[:2000]) + "]%d" % len(value)
    if kind in (set, frozenset):
        return kind.__name__ + "{" + ",".join(sorted(shape(each, depth - 1) for each in value)) + "}"
    if isinstance(value, dict):
        pairs = [shape(key, depth - 1) + ":" + shape(each, depth - 1) for key, each in list(value.items())[:2000]]
        return kind.__name__ + "{" + ",".join(pairs) + "}"
    if hasattr(value, "__next__"):
        return "iterator[" + ",".join(shape(next_, depth - 1) for next_ in _first(value)) + "]"
    inner = getattr(value, "__dict__", None)
    if not isinstance(inner, dict):
        names = [name for base in kind.__mro__ for name in _slots(base)]
        inner = {name: getattr(value, name, None) for name in names} if names else None
    if inner and not callable(value):
        return kind.__qualname__ + shape(dict(sorted(inner.items(), key=lambda pair: str(pair[0]))), depth - 1)
    return kind.__qualname__ + ":" + _ADDRESS.sub(" at 0x", repr(value)[:2000])


def _slots(base):
    slots = base.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else [name for name in slots if not name.startswith("__")]


def _first(iterator):
    found = []
    for _ in range(ITEMS):
        try:
            found.append(next(iterator))
        except StopIteration:
            break
    return found
