"""Pictures of every page of the console, for a person to look at: `make screenshots`.

They are made at 1280 and 390 pixels, light and dark, empty and full, into `.local/screenshots`.
Tests do not collect this file.
"""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Filled
from tests.browser.test_console import opened
from tests.browser.walking import begin, opened_at, send, views
from tests.integration.console import person
from tests.integration.console_places import acts, requests, stops
from tests.integration.engine import Engine
from tests.integration.web import Web

FOLDER = Path(__file__).parents[2] / ".local" / "screenshots"


def taken(page: Page, name: str) -> None:
    """Take the pictures of a page."""
    for view in views(page):
        page.screenshot(path=FOLDER / view / f"{name}.png", full_page=True)


@pytest.mark.timeout(600)
def test_pictures_of_a_full_console(filled: Filled, chromium: Browser) -> None:
    """Each page, the form of each action, and its preview."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    _, world, web, _ = filled
    with opened(chromium, web, world.person, complains=False) as page:
        for stop in (*stops(world.ids), *requests(world)):
            opened_at(page, web, stop.path, stop.status)
            taken(page, stop.name)
        for act in acts():
            begin(page, web, world, act, "a picture")
            taken(page, act.name)
            if act.sendings > 1:
                send(page)
                taken(page, f"{act.name}-preview")


@pytest.mark.timeout(300)
def test_pictures_of_an_empty_console(engine: Engine, web: Web, chromium: Browser) -> None:
    """What a new installation shows."""
    with opened(chromium, web, person(engine), complains=False) as page:
        for stop in stops({}):
            page.goto(f"{web.url}/console{stop.path}")
            taken(page, f"empty-{stop.name}")
