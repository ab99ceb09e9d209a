"""Which files of the project a search looks at."""

from __future__ import annotations

from assay.core.workspace import Workspace

LISTED = 20_000
FILE_BYTES = 2_000_000
"""Larger files are passed over."""
SECONDS = 20.0
"""For a whole search."""
# What ripgrep's --type knows of the commonest; other names are taken for a suffix.
_TYPES = {
    "c": "c h", "cpp": "cpp cc cxx hpp hh hxx h", "cs": "cs", "css": "css scss", "csharp": "cs", "docker": "dockerfile",
    "elixir": "ex exs", "go": "go", "haskell": "hs lhs", "html": "html htm", "java": "java", "js": "js jsx mjs cjs vue",
    "json": "json", "kotlin": "kt kts", "lua": "lua", "markdown": "md markdown mdx", "md": "md markdown mdx",
    "perl": "pl pm", "php": "php", "py": "py pyi", "python": "py pyi", "r": "r rmd", "ruby": "rb gemspec rake",
    "rust": "rs", "scala": "scala sbt", "sh": "sh bash zsh", "sql": "sql", "swift": "swift", "toml": "toml",
    "ts": "ts tsx mts cts", "txt": "txt", "typescript": "ts tsx mts cts", "xml": "xml xsl svg", "yaml": "yaml yml",
}  # fmt: skip


def outside(path: str) -> bool:
    """True for what lies outside the project; `path` is tidy and as seen from the root."""
    return path.startswith(("/", "../")) or path == ".."


async def files_below(workspace: Workspace, path: str) -> list[str]:
    """Files at or below `path`. Raises `FileMissing` when there is nothing at `path`."""
    files = await workspace.list_files(LISTED)
    if path == ".":
        return files
    files = [file for file in files if file == path or file.startswith(path + "/")]
    if not files:
        # An ignored file that is asked for by name is searched all the same.
        workspace.read_file(path, FILE_BYTES)
        files = [path]
    return files


def matching(files: list[str], glob: str, kind: str = "") -> list[str]:
    """Those of `files` that match the pattern and are of the kind; empty stands for any."""
    if glob:
        from assay.tools.patterns import glob_regex

        matches = glob_regex(glob).fullmatch
        files = [file for file in files if matches(file)]
    if kind:
        suffixes = tuple(f".{suffix}" for suffix in _TYPES.get(kind.lower(), kind.lower()).split())
        files = [file for file in files if file.lower().endswith(suffixes)]
    return files
