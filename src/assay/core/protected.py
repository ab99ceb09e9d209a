"""Names that can make someone else run something, or change how an agent behaves.

Writing them needs approval, and what a command does to them is taken back and held for review. A directory ends in a
slash and covers what is in it; `*` stands for anything; case does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

NAMES = (
    # version control
    ".git/", ".hg/", ".svn/", ".jj/", ".githooks/", ".gitconfig", ".gitmodules", ".gitattributes",
    # continuous integration and hooks
    ".github/", ".gitlab/", ".circleci/", ".buildkite/", ".forgejo/", ".gitea/", ".woodpecker/", ".azure-pipelines/",
    ".husky/", ".gitlab-ci.y*ml", ".travis.y*ml", ".drone.y*ml", ".woodpecker.y*ml", ".cirrus.y*ml", ".appveyor.y*ml",
    "appveyor.y*ml", "azure-pipelines.y*ml", "bitbucket-pipelines.y*ml", "jenkinsfile", ".pre-commit-config.y*ml",
    "lefthook*", ".lefthook*", ".pre-commit-hooks.y*ml", ".cirun.y*ml", "codemagic.y*ml",
    # editors
    ".vscode/", ".idea/", ".zed/", ".fleet/", ".devcontainer/", ".devcontainer.json", "*.code-workspace", ".vimrc",
    ".nvimrc", ".exrc", ".dir-locals.el", "pyrightconfig.json", ".vs/", ".helix/", ".nvim.lua", ".lazy.lua",
    ".emacs.d/", "*.sublime-project", ".theia/",
    # agents: settings, instructions, memory
    ".assay/", ".agents/", ".claude/", ".codex/", ".gemini/", ".cursor/", ".windsurf/", ".continue/", ".aider*",
    ".mcp.json", ".claude.json", "agents.md", "claude.md", "claude.local.md", "gemini.md", ".cursorrules",
    ".windsurfrules", ".clinerules", ".qwen/", ".roo/", ".kilocode/", ".kiro/", ".opencode/", ".amazonq/",
    ".augment/", ".junie/", ".trae/", ".goose/", ".clinerules/", ".factory/", ".crush/", ".copilot/",
    "opencode.json*", ".goosehints", ".roomodes", ".roorules*", ".rules", "agents.override.md", "qwen.md", "crush.md",
    ".crush.json", "crush.json", "mcp.json", ".cursorignore", ".geminiignore",
    # package managers and build tools that run what these name
    ".cargo/", ".yarn/", ".mvn/", ".npmrc", ".yarnrc*", ".pnp*", ".pnpmfile*", "bunfig*", ".pypirc", ".bazelrc",
    ".bazelversion", "gradle-wrapper.properties", "sitecustomize.py", "usercustomize.py", ".bundle/", ".condarc",
    ".gemrc", ".mise/", "mise.toml", ".mise.toml", ".tool-versions", ".buckconfig", ".terraformrc",
    # environment, credentials, shells
    ".env", ".env.*", ".envrc", ".direnv/", ".ssh/", ".gnupg/", ".aws/", ".azure/", ".docker/", ".kube/", ".netrc",
    ".curlrc", ".wgetrc", ".ripgreprc", ".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases",
    ".profile", ".zshrc", ".zshenv", ".zprofile", ".zlogin", ".zlogout", ".inputrc", ".gdbinit", ".lldbinit",
    ".kshrc", ".cshrc", ".tcshrc", ".login", ".logout", ".xinitrc", ".xprofile", ".pdbrc", ".pdbrc.py", ".irbrc",
    ".pryrc", ".rprofile", ".psqlrc", ".sqliterc", ".tmux.conf", ".screenrc", ".hgrc", ".git-credentials",
)  # fmt: skip
HARMLESS = (".env.example", ".env.sample", ".env.template", ".env.dist")
"""Samples of the environment hold no secrets and start nothing."""

INTERNALS = {
    ".git": ("hooks", "config", "config.worktree", "info", "modules", "commondir"),
    ".hg": ("hgrc", "hgrc-not-shared"),
    ".jj": ("repo/config.toml",),
    ".svn": (),
}
"""Of directories that version control must be able to write: what commands may not change in them."""
WORKTREE_INTERNALS = ("config", "config.worktree", "hooks", "commondir")
"""The same of `.git/worktrees/NAME/`; git makes the last one itself."""
GENERATED = (".yarn", ".pnp.*")
"""What package managers write themselves all the time, so commands may."""

_DIRECTORIES = frozenset(name[:-1] for name in NAMES if name.endswith("/"))
_WHOLE = frozenset(name for name in NAMES if not name.endswith("/") and "*" not in name)
_SHORT = {name.strip(".")[:6]: name for name in sorted(_DIRECTORIES, reverse=True)}
_GLOBS = tuple(name for name in NAMES if "*" in name)


def as_others_read(name: str) -> str:
    """`name` as the loosest of file systems takes it: without case, invisible characters (HFS+), the name of a stream,
    dots and spaces at the end, and with short names of protected directories written out (NTFS)."""
    if not name.isascii():
        import unicodedata

        name = "".join(char for char in name if unicodedata.category(char) != "Cf")
    plain = name.casefold().partition(":")[0].rstrip(". ")
    head, tilde, number = plain.partition("~")
    return _SHORT.get(head, plain) if tilde and number.isdigit() else plain


def protected_name(name: str, *, directory: bool) -> bool:
    """Whether a single name is protected as a directory, or as a file."""
    name = as_others_read(name)
    if directory and name in _DIRECTORIES:
        return True
    return name not in HARMLESS and (name in _WHOLE or any(fnmatchcase(name, glob) for glob in _GLOBS))


def taken_back(name: str, *, directory: bool) -> bool:
    """Whether commands may not make or change what bears this name. Directories of `INTERNALS` are another matter."""
    folded = as_others_read(name)
    generated = any(fnmatchcase(folded, glob) for glob in GENERATED)
    return not generated and folded not in INTERNALS and protected_name(name, directory=directory)


def protected_part(parts: Sequence[str]) -> str:
    """The first protected part of a file's path, as the list spells it, or empty."""
    for number, part in enumerate(parts):
        folded = as_others_read(part)
        if folded in _DIRECTORIES or (number == len(parts) - 1 and protected_name(part, directory=False)):
            return folded
    return ""
