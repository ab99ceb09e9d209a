"""The models of one task: that of the start, and those that were switched to."""

from __future__ import annotations

from collections.abc import Callable

from assay.core.errors import AuthError, UsageError
from assay.core.model import Model

TIERS = frozenset({"sonnet", "opus", "haiku", "best", "opusplan", "inherit", "fable"})
"""What hosts call models by how able they are."""


class Models:
    """Opened when first asked for, closed together. `open_` raises `UsageError` or `AuthError` for what can't be had;
    `own`: tiers that the user's settings give a meaning."""

    def __init__(self, first: Model, open_: Callable[[str], Model], own: frozenset[str] = frozenset()) -> None:
        self.first = first
        self._open = open_
        self._own = own
        self._models: dict[str, Model] = {first.profile.name: first}

    def get(self, name: str | None) -> Model:
        """The model of that name; None and `default` are that of the start, and so is a tier that means a model of
        another provider than the session's: its contents go to none that the user did not name."""
        if name is None or name in ("", "default", "inherit"):
            return self.first
        plain = name.removesuffix("[1m]")
        known = self._models.get(plain)
        if known is not None:
            return known
        foreign = plain in TIERS and plain not in self._own
        try:
            model = self._open(plain)
        except (UsageError, AuthError):
            if foreign:
                return self.first
            raise
        if foreign and _provider(model) != _provider(self.first):
            return self.first  # never asked, so there is nothing to close
        self._models[plain] = model
        return model

    async def aclose(self) -> None:
        for model in {id(model): model for model in self._models.values()}.values():
            await model.aclose()


def _provider(model: Model) -> str:
    return model.profile.name.partition("/")[0] if "/" in model.profile.name else ""
