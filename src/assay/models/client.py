"""The `Model` port over HTTP: a dialect at an endpoint, with retries."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable

from msgspec.structs import replace

from assay.core.clock import Clock, SystemClock
from assay.core.messages import AssistantMessage, Failure, FailureKind
from assay.core.model import Finished, ModelEvent, ModelRequest, Profile, Retrying
from assay.models.dialects.base import Decoder, Dialect, estimate_usage
from assay.models.dialects.values import StreamFailed
from assay.models.endpoint import Endpoint
from assay.models.failures import one_line, retry_after
from assay.models.http import Http, Response
from assay.models.retry import Retries, RetryPolicy
from assay.models.sse import SseReader, TooLong
from assay.models.wire import WireError

ERROR_LIMIT = 64 * 1024


def dialect_for(name: str) -> Dialect:
    """The dialect of that name. Raises KeyError."""
    if name == "anthropic":
        from assay.models.dialects.anthropic import Anthropic

        return Anthropic()
    if name == "openai-chat":
        from assay.models.dialects.openai_chat import OpenAIChat

        return OpenAIChat()
    if name == "openai-responses":
        from assay.models.dialects.openai_responses import OpenAIResponses

        return OpenAIResponses()
    raise KeyError(name)


class HttpModel:
    """A model behind an HTTP server. One object serves one conversation at a time: it remembers the encoded history."""

    def __init__(
        self,
        profile: Profile,
        endpoint: Endpoint,
        *,
        http: Http | None = None,
        policy: RetryPolicy = RetryPolicy(),  # noqa: B008  frozen
        clock: Clock | None = None,
        jitter: Callable[[], float] | None = None,
    ) -> None:
        self._profile = profile
        self._endpoint = endpoint
        self._dialect = dialect_for(profile.dialect)
        self._encoder = self._dialect.encoder(profile)
        self._own_http = http is None
        self._http = http or Http(endpoint.timeouts)
        self._policy = policy
        self._clock = clock or SystemClock()
        self._jitter = jitter or _chance

    @property
    def profile(self) -> Profile:
        return self._profile

    async def warm(self) -> None:
        """Optional: prepare the first request in a thread while other work waits."""
        await self._http.warm(self._endpoint.base_url)

    async def aclose(self) -> None:
        if self._own_http:
            await self._http.aclose()

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """See `assay.core.model.Model`."""
        raw = request.hole is not None and self._profile.infill is not None
        url, headers = self._dialect.url(self._endpoint.base_url, raw), self._endpoint.headers()
        body = self._encoder.encode(request)
        retries = Retries(self._policy, self._clock.monotonic(), self._jitter)
        while True:
            decoder = self._dialect.decoder(self._profile, self._encoder.call_ids)
            failure: Failure | None = None
            response: Response | None = None
            try:
                response = await self._http.post(url, headers, body)
                reader = SseReader()
                failure = await self._refusal(response)
                while failure is None and not decoder.done and (data := await response.read()):
                    for event, payload in reader.feed(data):
                        for delta in decoder.feed(event, payload):
                            yield delta
                        if decoder.done:
                            break
                if failure is None and decoder.complete:
                    await response.drain()
            except (WireError, StreamFailed, TooLong) as error:
                failure = None if decoder.complete else self._failure(error)
            finally:
                if response is not None:
                    await response.close()
            message = self._finish(decoder, failure)
            if message.failure is None:
                if not message.usage.sent:
                    message = replace(message, usage=estimate_usage(request, len(body), message))
                yield Finished(message, len(body))
                return
            failure = message.failure
            if failure.kind == "bad_request" and _seal_refused(failure.message) and self._encoder.forget_natives():
                # Reasoning sealed for another conversation, account or model: go on without it rather than not at all.
                body = self._encoder.encode(request)
                yield Retrying(retries.requests, 0.0, "the provider refused its own earlier reasoning; sent without it")
                continue
            pause = retries.pause(failure, self._clock.monotonic())
            if pause is None:
                yield Finished(decoder.failed(self._final(failure, retries.requests)), len(body))
                return
            yield Retrying(retries.requests - 1, pause, failure.message)
            await self._clock.sleep(pause)

    async def _refusal(self, response: Response) -> Failure | None:
        """Why the answer is not a stream of events, or None if it is one."""
        if response.status == 200 and "json" not in response.headers.get("content-type", ""):
            return None
        body = await response.read_all(ERROR_LIMIT)
        if response.status < 300:
            found = self._dialect.error(0, body)
            words = found.message if b'"error"' in body[:200] else "the server answered, but not as a stream of events"
            kind: FailureKind = found.kind if b'"error"' in body[:200] else "protocol"
            return self._say(kind, words, response.status)
        if response.status < 400:
            place = response.headers.get("location", "elsewhere")
            return self._say("bad_request", f"the server points to {place}; set that as the base URL", response.status)
        found = self._dialect.error(response.status, body)
        asked = retry_after(response.headers, self._clock.now())
        return self._say(found.kind, found.message, response.status, asked)

    def _failure(self, error: WireError | StreamFailed | TooLong) -> Failure:
        if isinstance(error, TooLong):
            return self._say("protocol", "a single event of the reply is over 8 MB; it was given up", None)
        return self._say(error.kind, str(error), None)

    def _finish(self, decoder: Decoder, failure: Failure | None) -> AssistantMessage:
        """The reply, or a record of how it failed."""
        if failure is None and not decoder.complete:
            failure = self._say("cut", "the reply ended before its end marker", None)
        if failure is None:
            try:
                return decoder.message()
            except StreamFailed as error:
                failure = self._say(error.kind, str(error), None)
        return decoder.failed(failure)

    def _say(self, kind: FailureKind, words: str, status: int | None, asked: float | None = None) -> Failure:
        """A failure whose message says what, where and what to do, in one line and without the key."""
        host = self._endpoint.base_url.partition("://")[2].partition("/")[0] or self._endpoint.base_url
        where = f"{self._profile.name} at {host}"
        answer = f"HTTP {status}: " if status is not None and status != 200 else ""
        text = one_line(self._endpoint.scrub(f"{where}: {answer}{words}")).rstrip(".") + self._advice(kind)
        return Failure(kind, text, status, asked)

    def _advice(self, kind: FailureKind) -> str:
        variable = self._endpoint.key_variable
        if kind == "auth":
            return f"; check the key in {variable}" if variable else "; the server wants another key (--api-key-env)"
        if kind == "quota":
            return "; the account behind " + (variable or "this key") + " has no credit left"
        if kind == "not_found":
            return "; check --model and --base-url"
        if kind == "network":
            return "; is the server running, and the base URL right?"
        return ""

    def _final(self, failure: Failure, requests: int) -> Failure:
        tried = f" (tried {requests} times)" if requests > 1 else ""
        asked = failure.retry_after
        later = f"; it asks to wait {_duration(asked)}, try again then" if asked else ""
        return Failure(failure.kind, failure.message + tried + later, failure.status, asked, requests)


def _chance() -> float:
    """A number from 0 to 1; the `random` module would be imported for nothing else."""
    return int.from_bytes(os.urandom(4), "big") / 0xFFFFFFFF


def _seal_refused(message: str) -> bool:
    low = message.lower()
    return any(words in low for words in ("signature", "encrypted_content", "encrypted content", "thinking block"))


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
