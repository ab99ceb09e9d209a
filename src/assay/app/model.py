"""Which model, reached how: names and keys resolved, the local server joined on, fallbacks chained."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import msgspec

from assay.app.config import Settings
from assay.app.paths import Paths
from assay.core.clock import Clock
from assay.core.errors import AssayError, UsageError
from assay.core.messages import AssistantMessage, Failure
from assay.core.model import Finished, Model, ModelEvent, ModelRequest, Profile
from assay.models.catalog import Catalog, load
from assay.models.client import HttpModel
from assay.models.endpoint import Endpoint

if TYPE_CHECKING:
    from assay.models.local.server import LocalServer

LOCAL = "local/qwen2.5-coder-1.5b"


class ModelWish(Protocol):
    """The part of a wish that is about models."""

    @property
    def environ(self) -> dict[str, str]: ...
    @property
    def fallback(self) -> tuple[str, ...]: ...
    @property
    def base_url(self) -> str | None: ...
    @property
    def api_key_env(self) -> str | None: ...
    @property
    def dialect(self) -> str | None: ...


def catalog_of(settings: Settings) -> Catalog:
    """The catalogue with the user's own providers, models and aliases."""
    own: dict[str, object] = {
        key: value
        for key, value in (
            ("providers", settings.providers),
            ("models", settings.models),
            ("aliases", settings.aliases),
        )
        if value
    }
    return load(own or None)


def check_cascade(settings: Settings) -> None:
    """Whether every model of `cascade` is one that the catalogue can place; its key is asked for when its turn comes.
    Raises `UsageError`."""
    if not settings.cascade:
        return
    catalog = catalog_of(settings)
    for name in settings.cascade:
        try:
            catalog.locate(name.strip())
        except UsageError as error:
            raise UsageError(f"cascade in settings: {error}") from None


def make_model(
    name: str | None, wish: ModelWish, settings: Settings, paths: Paths, clock: Clock, notices: list[str]
) -> Model:
    """As `open_model`, for our own use: one that writes its calls as text is heard."""
    model = open_model(name, wish, settings, paths, clock, notices)
    if model.profile.tools and model.profile.edits == "tool":
        return model
    from assay.models.written import WrittenModel, writes

    return WrittenModel(model) if writes(model.profile) else model


def open_model(
    name: str | None, wish: ModelWish, settings: Settings, paths: Paths, clock: Clock, notices: list[str]
) -> Model:
    """The model for `name`, or the one that the keys in the environment suggest, or the embedded one, which is said.

    Raises `UsageError` or `AuthError` in one line that says what to set.
    """
    catalog = catalog_of(settings)
    if name is None and wish.base_url:
        raise UsageError("--base-url needs --model: the name of a model on that server")
    if name is None:
        name = catalog.default_name(wish.environ)
        if name is None:
            name = LOCAL
            notices.append("no model named and no key found: using the embedded local model")
    if name in ("opus", "sonnet", "haiku", "fable") and name not in settings.aliases:
        name = wish.environ.get(f"ANTHROPIC_DEFAULT_{name.upper()}_MODEL") or name
    first = _one(catalog, name, wish, paths, clock)
    others = wish.fallback or settings.fallback_model
    if not others:
        return first
    from assay.models.router import FallbackModel

    # A base URL given for the first model says nothing about where its fallbacks live.
    plain = _Elsewhere(wish.environ)
    return FallbackModel([first, *(_one(catalog, other.strip(), plain, paths, clock) for other in others)], clock)


class _Elsewhere:
    def __init__(self, environ: dict[str, str]):
        self.environ = environ
        self.fallback: tuple[str, ...] = ()
        self.base_url: str | None = None
        self.api_key_env: str | None = None
        self.dialect: str | None = None


def _one(catalog: Catalog, name: str, wish: ModelWish, paths: Paths, clock: Clock) -> Model:
    file = _model_file(name)
    profile, endpoint = catalog.resolve(
        LOCAL if file else name,
        environ=wish.environ,
        base_url=wish.base_url,
        api_key_env=wish.api_key_env,
        dialect=wish.dialect,
    )
    if endpoint.provider == "local" and not endpoint.base_url:
        return LocalModel(profile, endpoint, file, paths, wish.environ, clock)
    return HttpModel(profile, endpoint, clock=clock)


def _model_file(name: str) -> Path | None:
    """The file that `local/PATH.gguf` names, if it is one."""
    if name.startswith("local/") and name.endswith(".gguf"):
        return Path(name.removeprefix("local/")).expanduser().absolute()
    return None


def runtime_folder(paths: Paths, environ: Mapping[str, str]) -> Path:
    """Where running local servers keep their state files; private to the user."""
    shared = environ.get("XDG_RUNTIME_DIR", "")
    if shared.startswith("/") and "ASSAY_HOME" not in environ and Path(shared).is_dir():
        return Path(shared) / "assay"
    return paths.state / "runtime"


class LocalModel:
    """The embedded model: its server is started when it is first asked, and shared with other runs of this user."""

    def __init__(
        self,
        profile: Profile,
        endpoint: Endpoint,
        file: Path | None,
        paths: Paths,
        environ: Mapping[str, str],
        clock: Clock,
    ):
        self._profile = msgspec.structs.replace(profile, name=f"local/{file.name}") if file else profile
        self._endpoint = endpoint
        self._file = file
        self._paths = paths
        self._environ = environ
        self._clock = clock
        self._server: LocalServer | None = None
        self._model: HttpModel | None = None
        self._address: object = None

    @property
    def profile(self) -> Profile:
        return self._profile

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """See `core.model.Model`. The store and the server may fail too; that is a failure like any other."""
        try:
            model, server = await self._ready()
            async with server.lease():
                stream = cast("AsyncGenerator[ModelEvent]", model.stream(request))
                async with aclosing(stream):
                    async for event in stream:
                        yield event
        except AssayError as error:
            kind = "not_found" if isinstance(error, UsageError) else "network"
            failure = Failure(kind, str(error))
            yield Finished(AssistantMessage((), "failed", self._profile.name, failure=failure))

    async def _ready(self) -> tuple[HttpModel, LocalServer]:
        import asyncio

        from assay.models.local.pinned import QWEN_CODER
        from assay.models.local.server import LocalServer
        from assay.models.local.store import Store

        store = Store(self._paths.models)
        located = await asyncio.to_thread(store.locate, self._file or QWEN_CODER)
        if self._server is None:
            self._server = LocalServer(runtime_folder(self._paths, self._environ))
        address = await self._server.ensure(located)
        if self._model is None or address != self._address:
            # The server ended meanwhile and was started again, at another port with another key.
            if self._model:
                await self._model.aclose()
            self._address = address
            endpoint = self._endpoint.at(f"{address.base_url}/v1", address.api_key)
            self._model = HttpModel(self._profile, endpoint, clock=self._clock)
        return self._model, self._server

    async def aclose(self) -> None:
        if self._model:
            await self._model.aclose()
