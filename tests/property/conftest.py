"""Fixtures of the properties that drive the whole engine in one process."""

import pytest

pytest.register_assert_rewrite("tests.integration.checks", "tests.integration.engine")

from tests.integration.fixtures import _kept, emptied, engine, gateway, web  # noqa: E402 - after

__all__ = ["_kept", "emptied", "engine", "gateway", "web"]
