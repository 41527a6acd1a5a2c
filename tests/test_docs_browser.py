"""The docs page in a browser that reaches nothing but this machine."""

import os
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.chaos import serving

_NETWORK_CUT = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
_NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture
async def page() -> AsyncGenerator[Page]:
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        missing = "The docs page is NOT tried in a browser: install Chromium (apt-get install chromium)"
        if os.environ.get("LEDGER_TEST_REQUIRE_BROWSER"):  # noqa: TID251 - CI must not skip it
            pytest.fail(missing)
        pytest.skip(missing)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=["--no-sandbox", _NETWORK_CUT])
        yield await browser.new_page()
        await browser.close()


async def test_the_page_fetches_nothing_from_outside_and_its_operations_can_be_tried(
    page: Page, tmp_path: Path
) -> None:
    fetched: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    async with serving(directory=tmp_path) as service:
        await page.goto(f"{service.url}/docs#tag/threads/POST/api/threads")
        await page.get_by_role("button", name="Test Request (post /api/threads)").click()
        await page.get_by_role("button", name="Send post request").click()
        await expect(page.get_by_role("link", name="201 Created")).to_be_visible()
        await page.close()  # whatever it still wanted, it has asked for
        service.process.terminate()
        assert await service.ended() == 0
    assert complaints == []
    assert f"{service.url}/api/threads" in fetched
    assert [url for url in fetched if not url.startswith(service.url)] == []
