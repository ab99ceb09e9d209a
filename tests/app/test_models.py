"""Which model a name means in a session that has one already."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from assay.app.models import Models
from assay.core.errors import AuthError, UsageError
from assay.core.model import Model
from assay.testing import ScriptedModel
from assay.testing.models import PROFILE


class Opened:
    def __init__(self, **known: str) -> None:
        self.known = known
        self.closed: list[str] = []

    def __call__(self, name: str) -> Model:
        full = self.known.get(name, name)
        if full == "no key":
            raise AuthError("no key")
        if "/" not in full:
            raise UsageError(f"unknown model '{name}'")
        return self.model(full)

    def model(self, full: str) -> Model:
        model = ScriptedModel((), profile=replace(PROFILE, name=full))

        async def aclose() -> None:
            self.closed.append(full)

        model.aclose = aclose
        return model


async def test_names_tiers_and_the_way_back() -> None:
    opened = Opened(haiku="anthropic/small", mine="other/m")
    models = Models(opened.model("anthropic/big"), opened)
    assert models.get("haiku").profile.name == "anthropic/small"
    assert models.get("haiku") is models.get("haiku[1m]"), "opened once"
    assert models.get("mine").profile.name == "other/m", "a name of the user's own may lead anywhere"
    for back in (None, "", "default", "inherit"):
        assert models.get(back) is models.first
    await models.aclose()
    assert sorted(opened.closed) == ["anthropic/big", "anthropic/small", "other/m"]


def test_a_tier_of_another_provider_means_the_sessions_own_model() -> None:
    for meaning in ("anthropic/small", "no key", "nothing"):
        models = Models(Opened().model("local/qwen"), Opened(haiku=meaning))
        assert models.get("haiku") is models.first
    own = Models(Opened().model("local/qwen"), Opened(haiku="other/m"), frozenset({"haiku"}))
    assert own.get("haiku").profile.name == "other/m", "the settings say what it means"


def test_what_is_no_model_is_told() -> None:
    with pytest.raises(UsageError, match="unknown model"):
        Models(Opened().model("anthropic/big"), Opened()).get("nonsense")
