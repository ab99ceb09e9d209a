"""What of the files that users already have counts for a task."""

from __future__ import annotations

from assay.app.config import Settings
from assay.app.library import Library
from assay.app.model import catalog_of
from assay.app.paths import Paths, claude_home
from assay.app.stock import Stock
from assay.app.task import Wish
from assay.context.instructions import Reach
from assay.core.context import Fragment
from assay.core.errors import AssayError
from assay.core.model import Model
from assay.core.policy import Effect
from assay.policy.gate import RuleGate
from assay.policy.labels import label_of
from assay.policy.paths import place_of


def if_resolved(name: str, wish: Wish, settings: Settings, notices: list[str]) -> str | None:
    """The model that settings of the `claude` command name, if it is one that can be had here."""
    try:
        catalog_of(settings).resolve(
            name, environ=wish.environ, base_url=wish.base_url, api_key_env=wish.api_key_env, dialect=wish.dialect
        )
    except AssayError as error:
        notices.append(f"model {name} of the settings for the claude command can't be had here: {error}")
        return None
    return name


def reach_of(
    wish: Wish, paths: Paths, settings: Settings, sources: frozenset[str], stock: Stock, gate: RuleGate
) -> Reach:
    """Which instruction files count."""
    theirs = claude_home(wish.environ)
    own = (paths.config / "AGENTS.md", *((theirs / "CLAUDE.md",) if theirs else ()))

    def readable(path: str) -> bool:
        effect, place = Effect("read", path), place_of(path, "/")
        secrecy = label_of(effect, place, inside=True, confined=False).secrecy
        return secrecy != "secret" and not gate.hides(path)

    return Reach(
        own if "user" in sources else (),
        stock.shelves,
        "project" in sources,
        "local" in sources,
        frozenset(settings.trusted_settings),
        readable,
    )


def denied_skills(settings: Settings, wish: Wish) -> tuple[str, ...]:
    """The patterns of deny rules on skills."""
    rules = (rule.strip() for rule in (*settings.permissions.deny, *wish.disallowed))
    return tuple(rule[6:-1] for rule in rules if rule.lower().startswith("skill(") and rule.endswith(")"))


def offers_skills(library: Library, wish: Wish, model: Model) -> tuple[Fragment, ...] | None:
    """The list of skills that the model may ask for, without those that it is told of later; None when it can't ask
    for any."""
    named = {name.strip().lower() for name in wish.tools or ()}
    wanted = wish.tools is None or bool(named & {"skill", "default"})
    if not wanted or not model.profile.tools or "skill" in {name.strip().lower() for name in wish.disallowed}:
        return None
    if not library.offered():
        return None
    listing = library.listing()
    return (listing,) if listing else ()
