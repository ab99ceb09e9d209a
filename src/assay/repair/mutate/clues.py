"""What a file, the documentation and the failing tests say about likely values: constants, names, functions."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable

from assay.repair.source import Function

MOST = 24
"""Mined texts and numbers of one kind that are kept."""

_NUMBER = re.compile(r"(?<![\w.])-?\d{1,9}(?:\.\d{1,6})?(?!\w|\.\d)")
_QUOTED = re.compile(r"'([^'\n\\]{0,24})'|\"([^\"\n\\]{0,24})\"|`([^`\n\\]{1,24})`")


class Clues:
    """Mined from one file and the texts around it."""

    def __init__(self, tree: ast.Module, owner: ast.AST, texts: Iterable[str]) -> None:
        self.functions: dict[str, int] = {}
        """Functions of the module -> how many arguments they need."""
        self.methods: dict[str, int] = {}
        for item in tree.body:
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
                self.functions[item.name] = _needed(item)
            elif isinstance(item, ast.ClassDef) and any(child is owner for child in item.body):
                for child in item.body:
                    if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                        self.methods[child.name] = max(0, _needed(child) - 1)
        own = Counter[str]()
        words = Counter[str]()
        for node in ast.walk(owner):
            if isinstance(node, ast.Constant):
                if isinstance(node.value, str):
                    if len(node.value) <= 24:
                        words[node.value] += 3
                elif isinstance(node.value, int | float) and not isinstance(node.value, bool):
                    own[repr(node.value)] += 3
        for text in texts:
            own.update(found.group().lstrip("-") for found in _NUMBER.finditer(text[:20_000]))
            words.update(one or two or three for one, two, three in _QUOTED.findall(text[:20_000]))
        self.numbers = [word for word, _ in own.most_common(MOST)]
        self.words = [word for word, _ in words.most_common(MOST) if word.isprintable()]
        self.imports = [
            alias.asname or alias.name.split(".")[0]
            for item in ast.walk(tree)
            if isinstance(item, ast.Import | ast.ImportFrom)
            for alias in item.names
        ]


def _needed(node: Function) -> int:
    return len(node.args.posonlyargs) + len(node.args.args) - len(node.args.defaults)
