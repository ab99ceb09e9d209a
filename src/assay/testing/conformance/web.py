"""The contract of `Web`: one page by GET, bounded, from nowhere private, and only `WebError` when there is none."""

from __future__ import annotations

import asyncio

import pytest

from assay.core.web import Web, WebError

SECONDS = 60.0
PRIVATE = ("http://127.0.0.1/", "http://10.1.2.3/", "https://169.254.169.254/latest", "http://192.168.0.1:8080/")


class WebConformance:
    """Needs the fixtures `web`; `page`, the URL of a page there with its bytes, at least ten; `dead`, a URL where
    nothing answers."""

    async def test_a_page_is_given_as_it_is(self, web: Web, page: tuple[str, bytes]) -> None:
        url, data = page
        async with asyncio.timeout(SECONDS):
            found = await web.get(url, 1_000_000)
        assert (found.status, found.data, found.redirect, found.cut) == (200, data, "", False)
        assert found.media_type == found.media_type.lower().partition(";")[0].strip()

    async def test_no_more_is_taken_than_was_asked_for(self, web: Web, page: tuple[str, bytes]) -> None:
        url, data = page
        async with asyncio.timeout(SECONDS):
            found = await web.get(url, 5)
        assert (found.data, found.cut) == (data[:5], True)

    async def test_what_does_not_answer_is_told(self, web: Web, dead: str) -> None:
        async with asyncio.timeout(SECONDS):
            with pytest.raises(WebError) as told:
                await web.get(dead, 1_000)
        assert "\n" not in str(told.value)

    @pytest.mark.parametrize("url", PRIVATE)
    async def test_private_addresses_are_refused(self, web: Web, url: str) -> None:
        async with asyncio.timeout(SECONDS):
            with pytest.raises(WebError):
                await web.get(url, 1_000)

    @pytest.mark.parametrize(
        "url", ["", "nonsense", "file:///etc/passwd", "ftp://a.example/", "https://u:p@a.example/"]
    )
    async def test_only_web_addresses_are_asked_for(self, web: Web, url: str) -> None:
        with pytest.raises(WebError):
            await web.get(url, 1_000)
