"""Did a change break the file's syntax? Asked after an edit, for formats that the standard library can parse."""

from __future__ import annotations

_LIMIT = 500_000


def broken_by(path: str, before: str | None, after: str) -> str:
    """One line about the first syntax error in `after`, when `before` (None for a new file) had none; else empty."""
    suffix = path.rpartition(".")[2].lower()
    if len(after) > _LIMIT or not (error := _error(suffix, after)):
        return ""
    if before is not None and (len(before) > _LIMIT or _error(suffix, before)):
        return ""
    return f"{error} (the change was kept)"


def _error(suffix: str, text: str) -> str:
    if suffix in ("py", "pyi"):
        return _python(text)
    if suffix == "json":
        import json

        try:
            json.loads(text)
        except json.JSONDecodeError as error:
            return f"JSON error in line {error.lineno}: {error.msg}"
        except RecursionError:
            return ""
    elif suffix == "toml":
        import tomllib

        try:
            tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            return f"TOML error: {error}"
        except RecursionError:
            return ""
    return ""


def _python(text: str) -> str:
    import ast
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except SyntaxError as error:
        return f"Python syntax error in line {error.lineno}: {error.msg}"
    except (ValueError, RecursionError, MemoryError):
        # A null byte, or nesting beyond this interpreter: nothing is known.
        return ""
    return ""
