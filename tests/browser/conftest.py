"""Fixtures of the tests that open the console in a real browser."""

import os
import shutil
from collections.abc import Iterator
from typing import NamedTuple

import psycopg
import pytest
from playwright.sync_api import Browser, sync_playwright

pytest.register_assert_rewrite("tests.integration.checks", "tests.integration.engine")

from billing.sandbox.process import SandboxProcess  # noqa: E402
from billing.store.session import Database  # noqa: E402
from tests.integration import console_world  # noqa: E402
from tests.integration.console_places import SSO  # noqa: E402
from tests.integration.console_world import World  # noqa: E402
from tests.integration.engine import Engine, running  # noqa: E402
from tests.integration.fixtures import _kept, emptied, engine, gateway, web  # noqa: E402 - after
from tests.integration.kept import Kept  # noqa: E402
from tests.integration.web import Web, serving  # noqa: E402
from tests.servers import Servers  # noqa: E402

__all__ = ["_kept", "chromium", "emptied", "engine", "filled", "gateway", "web"]

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
"""Debian's Chromium as root, in a container, with no word to its maker."""


class Filled(NamedTuple):
    """A console with something on every page; and the same behind a proxy that logs people in."""

    engine: Engine
    world: World
    web: Web
    proxied: Web


@pytest.fixture(scope="session")
def filled(
    gateway: SandboxProcess,
    shared_servers: Servers,
    _admin: psycopg.Connection,
) -> Iterator[Filled]:
    """A full console in a database of its own, for all tests that only read."""
    with shared_servers.fresh_database(_admin) as url:
        kept = Kept(url, Database(url))
        with running(kept, gateway) as made:
            world, redis = console_world.build(made), shared_servers.own_redis()
            with serving(made, redis) as web, serving(made, redis, **SSO) as proxied:
                yield Filled(made, world, web, proxied)
        kept.close()


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
