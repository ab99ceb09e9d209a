"""When two candidates are the same: equal syntax trees, whatever their layout, comments and docstrings."""

from __future__ import annotations

import ast
import textwrap

from assay.repair.source import parsed


def normal_key(code: str) -> str:
    """A short key of a function or module text that layout, comments and docstrings don't change. Text that does not
    parse has the key of its words. Never raises."""
    import hashlib

    tree = parsed(code) or parsed(textwrap.dedent(code))
    if tree is None:
        shape = "text:" + " ".join(code.split())
    else:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and len(node.body) > 1:
                first = node.body[0]
                if (
                    isinstance(first, ast.Expr)
                    and isinstance(first.value, ast.Constant)
                    and isinstance(first.value.value, str)
                ):
                    del node.body[0]
        try:
            shape = ast.dump(tree)
        except RecursionError:
            shape = "text:" + " ".join(code.split())
    return hashlib.sha256(shape.encode("utf-8", "surrogatepass")).hexdigest()[:32]
