from __future__ import annotations

import datetime

import pytest

from assay.core.errors import AuthError, UsageError
from assay.core.messages import Usage
from assay.models.catalog import load, resolve
from assay.models.client import HttpModel, dialect_for

KEYS = {"ANTHROPIC_API_KEY": "ak", "OPENAI_API_KEY": "ok", "OPENROUTER_API_KEY": "rk", "MISTRAL_API_KEY": "mk"}


def test_the_built_in_catalogue_holds_together():
    catalog = load()
    assert set(catalog.providers) == {
        *("anthropic", "openai", "google", "openrouter", "deepseek", "mistral", "ollama", "llamacpp", "local")
    }
    for name, target in catalog.aliases.items():
        assert catalog.locate(name) == tuple(target.split("/", 1)), name
    for name, provider in catalog.providers.items():
        dialect_for(provider.dialect)
        for model, facts in provider.models.items():
            assert (facts.context or 0) >= (facts.max_output or 0) > 0, model
            if facts.price:
                assert datetime.date.fromisoformat(facts.price.date) and facts.price.source, model
                price = facts.price.price()
                assert 0 <= price.cache_read <= price.input <= price.output or name == "local", model
        if provider.model and provider.models:
            assert provider.model in provider.models


def test_names():
    catalog = load()
    assert catalog.locate("sonnet")[0] == "anthropic"
    assert catalog.locate("claude-opus-5") == ("anthropic", "claude-opus-5")
    assert catalog.locate("gpt-99") == ("openai", "gpt-99")
    assert catalog.locate("openrouter/meta/llama") == ("openrouter", "meta/llama")
    assert catalog.locate("whatever/x", custom=True) == ("", "whatever/x")
    with pytest.raises(UsageError, match=r"unknown model 'sonet'.*did you mean sonnet"):
        catalog.locate("sonet")
    with pytest.raises(UsageError, match=r"unknown provider 'acme'.*anthropic, openai"):
        catalog.locate("acme/x")


def test_a_known_model():
    profile, endpoint = resolve("sonnet", environ=KEYS)
    assert profile.name == f"anthropic/{profile.model}" and profile.dialect == "anthropic" and profile.images
    assert profile.price is not None and profile.price.cost(Usage(input=1_000_000)) == profile.price.input
    assert endpoint.base_url == "https://api.anthropic.com"
    assert endpoint.headers()["x-api-key"] == "ak" and endpoint.headers()["anthropic-version"] == "2023-06-01"


def test_an_unknown_model_of_a_known_provider_has_its_usual_facts_and_no_price():
    profile, endpoint = resolve("mistral/future-9", environ=KEYS)
    assert profile.model == "future-9" and profile.price is None and "call_ids_9" in profile.quirks
    assert endpoint.headers()["authorization"] == "Bearer mk"


def test_the_environment_is_read_as_vendors_tools_read_it():
    _, endpoint = resolve(
        "sonnet", environ=KEYS | {"ANTHROPIC_AUTH_TOKEN": "tok", "ANTHROPIC_BASE_URL": "http://gw:1/"}
    )
    assert endpoint.base_url == "http://gw:1"
    assert endpoint.headers()["authorization"] == "Bearer tok" and "x-api-key" not in endpoint.headers()
    profile, endpoint = resolve("ollama/qwen3", environ={"OLLAMA_HOST": "0.0.0.0:9999"})
    assert endpoint.base_url == "http://127.0.0.1:9999" and not endpoint.key
    assert dialect_for(profile.dialect).url(endpoint.base_url) == "http://127.0.0.1:9999/v1/chat/completions"


def test_openai_behind_another_address_speaks_chat_unless_told_otherwise():
    elsewhere = KEYS | {"OPENAI_BASE_URL": "http://localhost:8000/v1"}
    profile, _ = resolve("openai/unknown", environ=elsewhere)
    assert profile.dialect == "openai-chat" and not profile.quirks and profile.reasoning == "none"
    profile, _ = resolve("openai/unknown", environ=elsewhere, dialect="openai-responses")
    assert profile.dialect == "openai-responses"
    assert resolve("gpt", environ=KEYS)[0].dialect == "openai-responses"


def test_any_server_by_its_base_url():
    profile, endpoint = resolve("m", environ={"K": "kk"}, base_url="http://127.0.0.1:1", api_key_env="K")
    assert (profile.name, profile.dialect, endpoint.key) == ("m", "openai-chat", "kk")
    profile, endpoint = resolve("claude-x", environ=KEYS, base_url="http://127.0.0.1:1")
    assert profile.dialect == "anthropic"
    profile, endpoint = resolve(
        "m", environ=KEYS, base_url="http://127.0.0.1:1", dialect="anthropic", api_key_env="OPENAI_API_KEY"
    )
    assert endpoint.headers()["x-api-key"] == "ok" and endpoint.headers()["anthropic-version"]
    _, endpoint = resolve("m", environ=KEYS, base_url="http://127.0.0.1:1")
    assert not endpoint.key, "a key of another provider is not sent to an unknown server"


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"name": "sonnet", "environ": {}}, AuthError, "set ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN"),
        ({"name": "sonnet", "environ": {}, "api_key_env": "MY_KEY"}, AuthError, "set MY_KEY"),
        ({"name": "sonnet", "environ": {"ANTHROPIC_API_KEY": "a\nb"}}, AuthError, "characters that no key has"),
        ({"name": "m", "environ": {}, "base_url": "ftp://x"}, UsageError, "not an http or https URL"),
        ({"name": "m", "environ": {}, "base_url": "http://x", "dialect": "soap"}, UsageError, "unknown dialect 'soap'"),
    ],
)
def test_what_is_missing_is_named(arguments, error, words):
    with pytest.raises(error, match=words) as caught:
        resolve(arguments.pop("name"), **arguments)
    assert "a\nb" not in str(caught.value)


def test_settings_extend_the_catalogue():
    settings = {
        "providers": {
            "mine": {"baseUrl": "http://localhost:9/v1", "keys": [{"name": "MINE"}], "defaults": {"context": 9000}},
            "anthropic": {"baseUrl": "https://gateway.example.com"},
        },
        "models": {
            "mine/big": {"images": True, "price": {"input": 1, "output": 2}},
            "anthropic/claude-opus-5": {"context": 5},
        },
        "aliases": {"big": "mine/big"},
    }
    profile, endpoint = resolve("big", environ={"MINE": "k"}, settings=settings)
    assert (profile.context, profile.images, endpoint.base_url) == (9000, True, "http://localhost:9/v1")
    assert profile.price is not None and profile.price.cache_read == 1, "an unknown cache price is the full one"
    profile, endpoint = resolve("claude-opus-5", environ=KEYS, settings=settings)
    assert (profile.context, profile.max_output) == (5, 128_000)
    assert endpoint.base_url == "https://gateway.example.com"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"providers": {"mine": {}}}, "providers.mine.*baseUrl"),
        ({"providers": {"mine": {"baseUrl": "x", "colour": 1}}}, "colour"),
        ({"providers": []}, "providers"),
        ({"models": {"anthropic/x": {"quirks": ["odd"]}}}, r"models.anthropic/x.*odd"),
        ({"models": {"x": {}}}, "PROVIDER/NAME"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings, words):
    with pytest.raises(UsageError, match=words):
        load(settings)


def test_the_default_model_follows_the_key_that_is_there():
    catalog = load()
    assert catalog.default_name({}) is None
    assert catalog.default_name({"OLLAMA_API_KEY": "k"}) is None
    assert catalog.default_name({"OPENAI_API_KEY": "k"}) == "openai/" + catalog.providers["openai"].model
    assert catalog.default_name(KEYS).startswith("anthropic/")
    assert catalog.default_name(KEYS | {"ANTHROPIC_MODEL": "claude-opus-5"}) == "anthropic/claude-opus-5"


def test_the_local_model_gets_its_address_when_its_server_runs():
    profile, endpoint = resolve("local", environ={})
    assert profile.strategy == "slots" and not profile.tools and endpoint.base_url == ""
    there = endpoint.at("http://127.0.0.1:1234", "random")
    assert there.headers()["authorization"] == "Bearer random" and there.timeouts.first_byte == 600
    assert HttpModel(profile, there).profile is profile


@pytest.mark.parametrize(
    ("said", "patience"),
    [("300000", (300.0, 300.0)), ("never", (120.0, 60.0)), ("", (120.0, 60.0)), ("0", (120.0, 60.0))],
)
def test_how_long_a_provider_may_be_silent(said: str, patience: tuple[float, float]) -> None:
    _, endpoint = resolve("sonnet", environ=KEYS | {"API_TIMEOUT_MS": said})
    assert (endpoint.timeouts.first_byte, endpoint.timeouts.idle) == patience
