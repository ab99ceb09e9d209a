"""A file as text with exact positions of its syntax: what lets a change keep everything that it does not mean."""

from __future__ import annotations

import ast
import re
from bisect import bisect_right

from assay.repair.source import first_line, lines_of


class Source:
    """One parsed file. Positions are characters of the text as given; the parser's are lines and bytes of UTF-8."""

    def __init__(self, path: str, text: str, tree: ast.Module) -> None:
        self.path, self.text, self.tree = path, text, tree
        self.lines = lines_of(text)
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self._mark = int(text.startswith("\ufeff"))
        self._starts = [0, *(found.end() for found in re.finditer(r"\r\n|\r|\n", text))]
        self._plain = [line.isascii() for line in self.lines]

    def at(self, line: int, column: int) -> int:
        """The character at a position of the parser: `line` from 1, `column` in bytes of UTF-8."""
        start = self._starts[line - 1]
        if line == 1 and self._mark:
            return start + 1 + len(self.lines[0][1:].encode()[:column].decode(errors="ignore"))
        if self._plain[line - 1]:
            return start + column
        return start + len(self.lines[line - 1].encode()[:column].decode(errors="ignore"))

    def span(self, node: ast.expr | ast.stmt | ast.keyword | ast.arg | ast.ExceptHandler) -> tuple[int, int]:
        """First and last character of `node`, half-open; decorators excluded."""
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset
        start = self.at(node.lineno, node.col_offset)
        return start, start if end_column is None else self.at(end_line, end_column)

    def of(self, node: ast.expr | ast.stmt | ast.keyword | ast.arg | ast.ExceptHandler) -> str:
        start, end = self.span(node)
        return self.text[start:end]

    def start_of(self, line: int) -> int:
        """The first character of a line; one past the last line it is the end of the text."""
        return self._starts[line - 1] if line <= len(self._starts) else len(self.text)

    def line_of(self, at: int) -> int:
        return bisect_right(self._starts, at)

    def indent(self, statement: ast.stmt) -> str:
        line = self.lines[first_line(statement) - 1]
        return line[: len(line) - len(line.lstrip(" \t\f"))]

    def alone(self, statement: ast.stmt) -> bool:
        """Whether its lines hold nothing but it and comments."""
        first, last = first_line(statement), statement.end_lineno or statement.lineno
        start, end = self.span(statement)
        if first == statement.lineno and self.text[self.start_of(first) : start].strip(" \t\f\ufeff"):
            return False
        stop = self.start_of(last) + len(self.lines[last - 1])
        rest = self.text[end:stop].strip()
        return not rest or rest.startswith("#")
