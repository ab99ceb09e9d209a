"""The environment that commands get: an allow-list, so that no key of the user's ever reaches one."""

from __future__ import annotations

from collections.abc import Mapping

KEPT = frozenset({
    "PATH", "LANG", "LANGUAGE", "TZ", "USER", "LOGNAME", "SHELL",
    "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYENV_ROOT", "PYENV_VERSION",
    "JAVA_HOME", "MAVEN_HOME", "GRADLE_HOME", "GOROOT", "GOPATH", "GOFLAGS", "GOTOOLCHAIN",
    "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "NVM_DIR", "NVM_BIN", "VOLTA_HOME", "BUN_INSTALL",
    "RBENV_ROOT", "GEM_HOME", "GEM_PATH", "DOTNET_ROOT", "SDKMAN_DIR", "ASDF_DIR", "ASDF_DATA_DIR",
    "CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS", "LD_LIBRARY_PATH", "PKG_CONFIG_PATH", "SOURCE_DATE_EPOCH",
})  # fmt: skip

FIXED = {
    # No terminal is attached: nothing may wait for one, and colours would only cost tokens.
    "TERM": "dumb",
    "NO_COLOR": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "MANPAGER": "cat",
    "EDITOR": "false",
    "VISUAL": "false",
    "GIT_EDITOR": "false",
    "GIT_TERMINAL_PROMPT": "0",
    "DEBIAN_FRONTEND": "noninteractive",
    # Running the tests must not change the tree that their result is bound to.
    "PYTHONDONTWRITEBYTECODE": "1",
}


def clean_environment(source: Mapping[str, str], home: str) -> dict[str, str]:
    """What a command may know of the environment `source`, with `home` as its home directory."""
    kept = {name: value for name, value in source.items() if name in KEPT or name.startswith("LC_")}
    kept.setdefault("PATH", "/usr/local/bin:/usr/bin:/bin")
    kept.setdefault("LANG", "C.UTF-8")
    return kept | FIXED | {"HOME": home}
