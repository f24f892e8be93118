"""Fixtures of the tests that open the console in a real browser."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

pytest.register_assert_rewrite("tests.integration.checks", "tests.integration.engine")

from tests.integration.fixtures import _kept, emptied, engine, gateway, web  # noqa: E402 - after

__all__ = ["_kept", "chromium", "emptied", "engine", "gateway", "web"]

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
"""Debian's Chromium as root, in a container, with no word to its maker."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A Chromium of this machine; without one the test is skipped, unless OVO_BROWSER=required."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        said = "no browser is installed: apt-get install chromium"
        if os.environ.get("OVO_BROWSER") == "required":
            pytest.fail(said)
        pytest.skip(said)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()
