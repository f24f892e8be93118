"""The application of a process that only serves."""

import gc
from collections.abc import Iterator
from dataclasses import replace

import pytest
from pydantic import SecretStr

from billing.web import app
from tests.integration.engine import Engine


@pytest.fixture(autouse=True)
def _usual_collector() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)


def test_the_collector_does_not_look_through_the_application(
    engine: Engine, redis_url: str
) -> None:
    """What is there when a server begins is frozen: a full collection takes no request's time."""
    settings = engine.context.settings.model_copy(update={"redis_url": SecretStr(redis_url)})
    before = gc.get_freeze_count()
    built = app.created(replace(engine.context, settings=settings))
    built.state.limiter.close()

    assert gc.is_tracked(built.routes)
    assert gc.get_freeze_count() > before + len(built.routes)
    assert gc.get_threshold()[0] == app.GARBAGE_THRESHOLD
    assert gc.isenabled()
