"""Which model, by what was said, what is set, and what keys there are."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from assay.app.compose import _budget
from assay.app.config import Settings
from assay.app.flags import parse
from assay.app.model import LOCAL, LocalModel, check_cascade, make_model, runtime_folder
from assay.app.paths import Paths, find_paths
from assay.app.reasoning import read_reasoning
from assay.app.task import Wish
from assay.app.wishes import read_wish
from assay.core.budget import Budget
from assay.core.clock import SystemClock
from assay.core.errors import AuthError, UsageError
from assay.core.model import Model, Reasoning
from assay.models.catalog import load
from assay.models.router import FallbackModel

CLAUDE = {"ANTHROPIC_API_KEY": "sk-a"}
OPENAI = {"OPENAI_API_KEY": "sk-o"}


class Chosen:
    def __init__(self, model: Model, notices: list[str]) -> None:
        self.model = model
        self.name = model.profile.name
        self.notices = notices


async def choose(name: str | None, environ: dict[str, str], settings: Settings = Settings(), **wish: object) -> Chosen:  # noqa: B008 - frozen
    notices: list[str] = []
    asked = replace(Wish(Path("/project"), environ), **wish)
    model = make_model(name, asked, settings, Paths(Path("/c"), Path("/s"), Path("/d")), SystemClock(), notices)
    await model.aclose()
    return Chosen(model, notices)


async def test_a_key_in_the_environment_suggests_its_provider() -> None:
    assert (await choose(None, CLAUDE)).name.startswith("anthropic/")
    assert (await choose(None, OPENAI)).name.startswith("openai/")
    both = await choose(None, {**OPENAI, **CLAUDE})
    assert both.name.startswith("anthropic/")
    assert both.notices == []


async def test_without_a_name_or_a_key_the_local_model_is_used_and_said_so() -> None:
    chosen = await choose(None, {})
    assert isinstance(chosen.model, LocalModel)
    assert chosen.name == LOCAL
    assert chosen.notices == ["no model named and no key found: using the embedded local model"]


async def test_a_named_model_is_taken_whatever_keys_there_are() -> None:
    assert (await choose("openai/gpt-5.2", {**OPENAI, **CLAUDE})).name == "openai/gpt-5.2"
    local = await choose(LOCAL, CLAUDE)
    assert isinstance(local.model, LocalModel)
    assert local.notices == []


async def test_a_missing_key_is_named() -> None:
    with pytest.raises(AuthError, match="set ANTHROPIC_API_KEY"):
        await choose("anthropic/claude-opus-4-5", {})
    with pytest.raises(AuthError, match="set MY_KEY"):
        await choose("x", {}, base_url="http://127.0.0.1:1", api_key_env="MY_KEY")


@pytest.mark.parametrize("name", ["nonsense", "nobody/knows", ""])
def test_an_unknown_model_of_the_cascade_is_told_before_anything_is_spent(name: str) -> None:
    with pytest.raises(UsageError, match="cascade in settings: unknown"):
        check_cascade(Settings(cascade=(LOCAL, name)))


def test_a_key_of_the_cascade_is_not_asked_for_at_the_start() -> None:
    check_cascade(Settings(cascade=(" anthropic/claude-opus-4-5 ", "sonnet", LOCAL)))


@pytest.mark.parametrize("name", ["nonsense", "nobody/knows", "anthropic/", ""])
async def test_an_unknown_model_is_told(name: str) -> None:
    with pytest.raises(UsageError, match="unknown"):
        await choose(name, CLAUDE)


async def test_a_base_url_needs_a_model_and_may_have_any() -> None:
    with pytest.raises(UsageError, match="--base-url needs --model"):
        await choose(None, CLAUDE, base_url="http://127.0.0.1:1")
    chosen = await choose("my-model", {}, base_url="http://127.0.0.1:1/v1")
    assert chosen.name == "my-model"
    with pytest.raises(UsageError, match="not an http or https URL"):
        await choose("my-model", {}, base_url="ftp://x")
    with pytest.raises(UsageError, match="--dialect takes"):
        await choose("my-model", {}, base_url="http://127.0.0.1:1", dialect="morse")


async def test_settings_add_models_providers_and_aliases() -> None:
    own = Settings(
        aliases={"quick": "house/m"}, providers={"house": {"baseUrl": "http://127.0.0.1:1/v1", "keyRequired": False}}
    )
    assert (await choose("quick", {}, own)).name == "house/m"
    with pytest.raises(UsageError, match="providers"):
        await choose("quick", {}, Settings(providers={"house": {"url": "x"}}))


async def test_fallbacks_are_chained_and_a_base_url_is_not_theirs() -> None:
    chosen = await choose("m", CLAUDE, base_url="http://127.0.0.1:1", fallback=("anthropic/claude-opus-4-5", LOCAL))
    assert isinstance(chosen.model, FallbackModel)
    settings = Settings(fallback_model=(LOCAL,))
    assert isinstance((await choose("anthropic/claude-opus-4-5", CLAUDE, settings)).model, FallbackModel)
    with pytest.raises(UsageError, match="unknown"):
        await choose("m", CLAUDE, base_url="http://127.0.0.1:1", fallback=("another",))
    with pytest.raises(AuthError):
        await choose(LOCAL, {}, fallback=("anthropic/claude-opus-4-5",))


async def test_a_file_may_be_named_as_a_local_model(tmp_path: Path) -> None:
    chosen = await choose(f"local/{tmp_path}/mine.gguf", {})
    assert isinstance(chosen.model, LocalModel)
    assert chosen.name == "local/mine.gguf"


def test_servers_keep_their_state_where_only_the_user_looks(tmp_path: Path) -> None:
    paths = find_paths({"ASSAY_HOME": str(tmp_path)})
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert runtime_folder(paths, runtime) == tmp_path / "assay"
    assert runtime_folder(paths, {**runtime, "ASSAY_HOME": str(tmp_path)}) == paths.state / "runtime"
    assert runtime_folder(paths, {"XDG_RUNTIME_DIR": str(tmp_path / "missing")}) == paths.state / "runtime"
    assert runtime_folder(paths, {"XDG_RUNTIME_DIR": "relative"}) == paths.state / "runtime"


@pytest.mark.parametrize(
    ("effort", "thinking", "reasoning"),
    [
        (None, None, Reasoning()),
        ("high", None, Reasoning(effort="high")),
        (None, "off", Reasoning("off")),
        ("low", "adaptive", Reasoning("adaptive", effort="low")),
        ("max", "1024", Reasoning("budget", 1024, "max")),
        (None, "32000", Reasoning("budget", 32_000)),
    ],
)
def test_how_much_a_model_should_think(effort: str | None, thinking: str | None, reasoning: Reasoning) -> None:
    assert read_reasoning(effort, thinking) == reasoning


@pytest.mark.parametrize("thinking", ["", "on", "1023", "-5", "4e3", "²", "１０２４x", "lots", "9" * 5000])
def test_any_other_word_about_thinking_is_told(thinking: str) -> None:
    with pytest.raises(UsageError, match="--thinking takes off, adaptive or a number of tokens from 1024"):
        read_reasoning(None, thinking)


def test_a_flag_is_stronger_than_settings() -> None:
    settings = Settings(max_turns=5, max_tokens_total=100, max_budget_usd=1.5, max_seconds=60)
    plain = Wish(Path("/p"), {})
    assert _budget(plain, settings) == Budget(5, 100, 1.5, 60)
    assert _budget(replace(plain, budget=Budget(steps=9, seconds=3)), settings) == Budget(9, 100, 1.5, 3)
    assert _budget(plain, Settings()) == Budget()


def test_variables_of_the_field_have_a_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    def wish(*words: str) -> tuple[str | None, str | None]:
        made = read_wish(parse(list(words)), Path("/project"))
        return made.thinking, made.effort

    monkeypatch.setenv("MAX_THINKING_TOKENS", "8000")
    monkeypatch.setenv("CLAUDE_CODE_EFFORT_LEVEL", "high")
    assert wish() == ("8000", "high")
    assert wish("--thinking", "disabled", "--effort", "low") == ("off", "low")
    assert wish("--max-thinking-tokens", "0") == ("off", "high")
    assert wish("--max-thinking-tokens", "5")[0] == "1024"
    monkeypatch.setenv("MAX_THINKING_TOKENS", "many")
    monkeypatch.setenv("CLAUDE_CODE_EFFORT_LEVEL", "extreme")
    assert wish() == (None, None)


def test_headers_of_the_users_own() -> None:
    environ = {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_CUSTOM_HEADERS": "X-Team: a\nnonsense\nbad name: x\nx-b:c:d"}
    _, endpoint = load().resolve("claude-haiku-4-5", environ=environ)
    assert {"x-team": "a", "x-b": "c:d"}.items() <= endpoint.headers().items()
    assert endpoint.extra == (("x-team", "a"), ("x-b", "c:d"))
