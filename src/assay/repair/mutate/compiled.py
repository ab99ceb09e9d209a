"""Whether a change compiles, and whether what it compiles to is new."""

from __future__ import annotations

import ast
import hashlib
import warnings
from types import CodeType

from assay.repair.mutate.change import Change
from assay.repair.mutate.site import Site
from assay.repair.source import span


class Compiled:
    """The mutants of one place so far. Two are the same when their byte code is: layout, parentheses and comments don't
    count, and neither do expressions that Python folds into the same constant."""

    def __init__(self, site: Site) -> None:
        source = site.source
        self._text, self._start, self._end, self._head = source.text.removeprefix("\ufeff"), 0, len(source.text), ""
        self._skip = len(source.text) - len(self._text)
        if not isinstance(site.owner, ast.Module):
            first, last = span(site.owner)
            self._start, self._end = source.start_of(first) - self._skip, source.start_of(last + 1) - self._skip
            self._start = max(0, self._start)
            if source.lines[first - 1][:1] in {" ", "\t"}:
                self._head = "class _:\n"
        self._seen = {self._key(())}

    def fresh(self, change: Change) -> bool:
        """Whether it compiles to something that neither the source nor an earlier change did. Never raises."""
        key = self._key(change.edits)
        if key is None or key in self._seen:
            return False
        self._seen.add(key)
        return True

    def _key(self, edits: tuple[tuple[int, int, str], ...]) -> bytes | None:
        text, end = self._text, self._end
        last = len(self._text) + 1
        for start, stop, new in sorted(edits, key=lambda edit: (-edit[0], -edit[1])):
            start, stop = start - self._skip, stop - self._skip
            if stop > last or start < self._start or stop > self._end:
                return None
            text = text[:start] + new + text[stop:]
            end += len(new) - (stop - start)
            last = start
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                code = compile(self._head + text[self._start : end], "<mutant>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
            return None
        return hashlib.blake2b(repr(_shape(code)).encode("utf-8", "surrogatepass"), digest_size=12).digest()


def _shape(code: CodeType) -> tuple[object, ...]:
    return (
        code.co_code, tuple(_constant(item) for item in code.co_consts), code.co_names, code.co_varnames,
        code.co_freevars, code.co_cellvars, code.co_flags, code.co_argcount, code.co_posonlyargcount,
        code.co_kwonlyargcount, code.co_exceptiontable,
    )  # fmt: skip


def _constant(value: object) -> object:
    if isinstance(value, CodeType):
        return value.co_name, _shape(value)
    if isinstance(value, frozenset):
        items: frozenset[object] = value  # pyright: ignore[reportUnknownVariableType]
        return "frozenset", *sorted(repr(_constant(item)) for item in items)
    if isinstance(value, tuple):
        return tuple(_constant(item) for item in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return type(value).__name__, repr(value)
