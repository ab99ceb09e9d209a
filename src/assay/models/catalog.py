"""The catalogue: providers and models as data, extended by the user's settings.

The built-in part is `catalog.json` (JSON, because TOML's parser costs 15 ms to import at every start). Prices carry the
day and the place they were read; a model without one has an unknown cost. Where a provider has tiers by prompt length,
the price is that of the lowest tier and its source says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from assay.core.errors import AuthError, UsageError
from assay.core.model import Price, Profile
from assay.models.endpoint import Endpoint, HeaderStyle
from assay.models.http import Timeouts
from assay.models.wire import Address

T = TypeVar("T")
DialectName = Literal["anthropic", "openai-chat", "openai-responses"]

Quirk = Literal[
    "always_thinks",  # thinking can't be switched off
    "off_is_between_tools",  # Anthropic: the word for "off" is `between_tools`
    "no_sampling",  # temperature and the like are refused
    "no_effort_none",  # OpenAI: effort `none` is refused
    "effort_xhigh",  # knows the effort `xhigh`, which `max` then means
    "effort_max",  # knows the effort `max`
    "effort_from_high",  # knows no effort below `high`
    "thinking_toggle",  # `thinking: {type: enabled|disabled}` beside the effort (DeepSeek)
    "reasoning_object",  # `reasoning: {effort|max_tokens}` instead of `reasoning_effort` (OpenRouter)
    "reasoning_back",  # wants its `reasoning_content` back with the history (DeepSeek)
    "effort_keeps_cache",  # requests of different efforts share one prompt cache
    "template_thinking",  # thinking is switched in the chat template (llama.cpp, vLLM)
    "max_completion_tokens",  # the newer name of `max_tokens`
    "max_tokens_always",  # without a limit it may write for ever
    "no_stream_usage",  # refuses `stream_options`
    "prompt_cache_key",  # Chat Completions: takes a key for its prompt cache
    "no_cache_key",  # Responses: refuses that key
    "prompt_progress",  # llama.cpp: tells how far it has read, and so notices at once that nobody listens any more
    "cache_prompt",  # llama.cpp: keep the prompt's state for the next request
    "prefill",  # goes on from a last message of the assistant (llama.cpp)
    "no_schema",  # can't hold its text to a JSON Schema
    "random_seed",  # Mistral's name for `seed`
    "call_ids_9",  # Mistral: ids of calls are nine letters or digits
]


class PriceFacts(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    input: float
    output: float
    cache_read: float | None = None
    """As `input` when not given."""
    cache_write: float | None = None
    date: str = ""
    source: str = "settings"

    def price(self) -> Price:
        read = self.input if self.cache_read is None else self.cache_read
        write = self.input if self.cache_write is None else self.cache_write
        return Price(self.input, self.output, read, write, self.date, self.source)


class Facts(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What is known of a model; None means what its provider's models usually have."""

    context: int | None = None
    max_output: int | None = None
    tools: bool | None = None
    images: bool | None = None
    reasoning: Literal["none", "budget", "adaptive", "effort"] | None = None
    strategy: Literal["loop", "slots"] | None = None
    edits: Literal["tool", "blocks", "whole"] | None = None
    price: PriceFacts | None = None
    quirks: tuple[Quirk, ...] | None = None
    dialect: DialectName | None = None

    def over(self, other: Facts) -> Facts:
        """These facts, the gaps filled from `other`."""
        given = {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}
        return replace(other, **given)


class Key(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    name: str
    """An environment variable."""
    style: HeaderStyle | None = None


class Provider(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    base_url: str
    dialect: DialectName = "openai-chat"
    base_url_variable: str = ""
    elsewhere: DialectName | None = None
    """The dialect to expect behind another base URL than `base_url`; its quirks are then not this server's."""
    keys: tuple[Key, ...] = ()
    """Variables that may hold the key, the first that is set counts."""
    key_required: bool = True
    style: HeaderStyle = "bearer"
    version: str = ""
    model: str = ""
    """The model when only this provider's key is there and none is named."""
    model_variable: str = ""
    prefixes: tuple[str, ...] = ()
    """Beginnings of model names that are this provider's."""
    first_byte: float = 120.0
    idle: float = 60.0
    quirks: tuple[Quirk, ...] = ()
    """Of the server, for all its models."""
    defaults: Facts = Facts()
    models: dict[str, Facts] = {}


class Catalog(Struct, frozen=True, dict=True):
    providers: dict[str, Provider] = {}
    aliases: dict[str, str] = {}

    def merge(self, settings: Mapping[str, object]) -> Catalog:
        """This catalogue with the user's `providers`, `models` (by PROVIDER/NAME) and `aliases` laid over it.

        Raises `UsageError` naming the key that makes no sense.
        """
        providers = dict(self.providers)
        for name, entry in _entries(settings, "providers"):
            known: object = msgspec.to_builtins(providers[name]) if name in providers else {}
            providers[name] = _convert(_overlay(known, entry), Provider, f"providers.{name}")
        for name, entry in _entries(settings, "models"):
            provider, slash, model = name.partition("/")
            if not slash or provider not in providers:
                raise UsageError(f"settings: models.{name}: write it as PROVIDER/NAME with a known provider")
            facts = _convert(entry, Facts, f"models.{name}")
            old = providers[provider]
            facts = facts.over(old.models.get(model, Facts()))
            providers[provider] = replace(old, models=old.models | {model: facts})
        aliases = self.aliases | {
            name: target for name, target in _entries(settings, "aliases") if isinstance(target, str)
        }
        return Catalog(providers, aliases)

    @cached_property
    def names(self) -> list[str]:
        """PROVIDER/NAME of every model with facts of its own."""
        return [f"{name}/{model}" for name, provider in self.providers.items() for model in provider.models]

    def default_name(self, environ: Mapping[str, str]) -> str | None:
        """The model to use when none is named: that of the first provider whose key is set, else None (use `local`)."""
        for name, provider in self.providers.items():
            if provider.key_required and provider.model and any(environ.get(key.name) for key in provider.keys):
                return f"{name}/{environ.get(provider.model_variable) or provider.model}"
        return None

    def locate(self, name: str, *, custom: bool = False) -> tuple[str, str]:
        """Provider and model for what the user wrote. `custom`: a base URL is given, so an unknown name is fine and
        its provider is empty. Raises `UsageError`."""
        name = self.aliases.get(name, name)
        provider, slash, model = name.partition("/")
        if slash and provider in self.providers and model:
            return provider, model
        if custom:
            return "", name
        if slash:
            raise self._unknown(
                f"unknown provider '{provider}' in model '{name}'", f"one of {', '.join(self.providers)}"
            )
        for known, entry in self.providers.items():
            if name in entry.models or name.startswith(entry.prefixes or ("\0",)):
                return known, name
        raise self._unknown(f"unknown model '{name}'", "PROVIDER/NAME or an alias", name)

    def _unknown(self, what: str, write: str, name: str = "") -> UsageError:
        import difflib

        near = difflib.get_close_matches(name, [*self.aliases, *self.names], 3, 0.5) if name else []
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        return UsageError(f"{what}: --model takes {write} (settings may add providers){hint}")

    def resolve(
        self,
        name: str,
        *,
        environ: Mapping[str, str],
        base_url: str | None = None,
        api_key_env: str | None = None,
        dialect: str | None = None,
    ) -> tuple[Profile, Endpoint]:
        """The facts of a model and the way to it.

        `base_url`, `api_key_env` (a variable's name) and `dialect` are the flags of those names. A model of `local`
        gets an endpoint without address: give it one with `Endpoint.at` once its server runs. Raises `UsageError` and,
        when the key is missing, `AuthError`.
        """
        provider_name, model = self.locate(name, custom=bool(base_url))
        provider = self.providers.get(provider_name) or Provider("", key_required=False)
        if not provider_name:  # an unknown server: what the name tells about the model still holds
            kin = next((p for p in self.providers.values() if p.prefixes and model.startswith(p.prefixes)), None)
            if kin is not None and kin.dialect == "anthropic":
                provider = replace(provider, dialect="anthropic", style="x-api-key", version=kin.version)
        url = base_url or environ.get(provider.base_url_variable) or provider.base_url
        elsewhere = url.rstrip("/") != provider.base_url.rstrip("/")
        facts = provider.models.get(model, Facts()).over(provider.defaults)
        if elsewhere and provider.elsewhere and model not in provider.models:
            facts = replace(facts, reasoning="none", quirks=())
            provider = replace(provider, quirks=())
        spoken = dialect or facts.dialect or (provider.elsewhere if elsewhere else None) or provider.dialect
        if spoken not in ("anthropic", "openai-chat", "openai-responses"):
            raise UsageError(f"unknown dialect '{spoken}': --dialect takes anthropic, openai-chat or openai-responses")
        if dialect and dialect != provider.dialect and dialect == "anthropic":
            provider = replace(provider, style="x-api-key", version="2023-06-01")
        full = f"{provider_name}/{model}" if provider_name else name
        profile = _profile(full, model, spoken, facts, provider.quirks)
        key, variable, style = _key(provider, full, environ, api_key_env, required=not base_url)
        said = environ.get("API_TIMEOUT_MS", "")
        patience = int(said) / 1000 if said.isascii() and said.isdigit() and len(said) < 10 else 0.0
        timeouts = Timeouts(first_byte=patience or provider.first_byte, idle=patience or provider.idle)
        version = provider.version if spoken == "anthropic" else ""
        return profile, Endpoint(
            _address(url, full) if url else "",
            provider_name,
            key,
            variable,
            style,
            version or "",
            timeouts,
            _headers(environ.get("ANTHROPIC_CUSTOM_HEADERS", "")) if provider_name == "anthropic" else (),
        )


def load(settings: Mapping[str, object] | None = None) -> Catalog:
    """The built-in catalogue, with `settings` laid over it."""
    data = Path(__file__).with_name("catalog.json").read_bytes()
    catalog = msgspec.json.decode(data, type=Catalog)
    return catalog.merge(settings) if settings else catalog


def resolve(
    name: str,
    *,
    environ: Mapping[str, str],
    settings: Mapping[str, object] | None = None,
    base_url: str | None = None,
    api_key_env: str | None = None,
    dialect: str | None = None,
) -> tuple[Profile, Endpoint]:
    """`Catalog.resolve` on the built-in catalogue with `settings`."""
    return load(settings).resolve(name, environ=environ, base_url=base_url, api_key_env=api_key_env, dialect=dialect)


def _profile(name: str, model: str, dialect: str, facts: Facts, quirks: tuple[Quirk, ...]) -> Profile:
    fields = {
        key: value
        for key in ("context", "max_output", "tools", "images", "reasoning", "strategy", "edits")
        if (value := getattr(facts, key)) is not None
    }
    price = facts.price.price() if facts.price else None
    return Profile(name, model, dialect, price=price, quirks=frozenset((facts.quirks or ()) + quirks), **fields)


def _key(
    provider: Provider, name: str, environ: Mapping[str, str], variable: str | None, *, required: bool
) -> tuple[str, str, HeaderStyle]:
    """Key, the variable it came from, and how it is sent."""
    keys = (Key(variable),) if variable else provider.keys
    for key in keys:
        if value := environ.get(key.name, "").strip():
            if not value.isascii() or not value.isprintable():
                raise AuthError(f"the key in {key.name} has characters that no key has; set it again")
            return value, key.name, key.style or provider.style
    names = " or ".join(reversed([key.name for key in keys]))
    if variable or (required and provider.key_required):
        raise AuthError(f"no key for {name}: set {names}, or choose another model with --model (local needs no key)")
    return "", names, provider.style


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    """Headers from lines `Name: value`; what is none is left out."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        if colon and name.isascii() and name.replace("-", "").isalnum() and value.isascii() and value.isprintable():
            found.append((name, value))
    return tuple(found)


def _address(url: str, name: str) -> str:
    """`url`, checked; a bare host and port, as OLLAMA_HOST has it, is taken for http."""
    url = url if "://" in url else f"http://{url}"
    url = url.replace("://0.0.0.0", "://127.0.0.1", 1)
    try:
        Address(url)
    except ValueError:
        raise UsageError(f"the base URL '{url}' for {name} is not an http or https URL; check --base-url") from None
    return url.rstrip("/")


def _entries(settings: Mapping[str, object], section: str) -> list[tuple[str, object]]:
    return list(_convert(settings.get(section, {}), dict[str, object], section).items())


def _overlay(known: object, entry: object) -> object:
    """`entry` over `known`, object by object."""
    if not isinstance(known, dict) or not isinstance(entry, dict):
        return entry
    merged = dict(cast("dict[str, object]", known))
    for key, value in cast("dict[str, object]", entry).items():
        merged[key] = _overlay(merged.get(key), value)
    return merged


def _convert(value: object, kind: type[T], where: str) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise UsageError(f"settings: {where}: {error}") from None
