"""The label that a call's result can have at best, from what the call looks at.

| what is looked at | integrity | secrecy |
| --- | --- | --- |
| files of the workspace | workspace | project |
| installed dependencies, wherever they lie | external | public |
| files that hold credentials | | secret |
| a file outside the workspace: of the system; of anyone else | external | project; secret |
| what a host answers | external | public |

What a confined command reaches outside is only what its view shows, and which hosts answered it is known to whoever ran
it; neither is guessed at here.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from assay.core.policy import EXTERNAL, OPERATOR, Effect, Label
from assay.policy.paths import Place

DEPENDENCIES = frozenset({"node_modules", "site-packages", "dist-packages", "bower_components", ".venv", "venv"})
"""Directories that hold what others published."""
SECRETS = (
    ".env", ".env.*", ".netrc", ".pgpass", ".npmrc", ".pypirc", ".git-credentials", "credentials", "credentials.json",
    "secrets.*", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.kdbx", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519",
)  # fmt: skip
_SAMPLES = (".env.example", ".env.sample", ".env.template", ".env.dist")
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt", "/nix", "/snap", "/etc/os-release", "/etc/hosts")


def label_of(effect: Effect, place: Place | None, *, inside: bool, confined: bool) -> Label:
    """`place`: of the file that `effect` is about, if any. `inside`: it may be read without being asked for.
    `confined`: the effect is one of a command in a sandbox."""
    if effect.kind == "network":
        return OPERATOR if confined else EXTERNAL
    if effect.kind != "read" or place is None:
        return OPERATOR
    label = OPERATOR
    parts = {part for path in (place.named, place.real) for part in path.split("/")}
    if parts & DEPENDENCIES:
        label = label.join(EXTERNAL)
    if _holds_secrets(place):
        label = label.join(Label("workspace", "secret"))
    if not inside and not confined:
        label = label.join(Label("external", "project" if _of_the_system(place.real) else "secret"))
    return label


def _holds_secrets(place: Place) -> bool:
    names = {path.rpartition("/")[2].casefold() for path in (place.named, place.real)} - set(_SAMPLES)
    return any(fnmatchcase(name, pattern) for name in names for pattern in SECRETS)


def _of_the_system(path: str) -> bool:
    return any(path == top or path.startswith(f"{top}/") for top in _SYSTEM)
