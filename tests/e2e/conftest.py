"""The whole engine as processes, for more than one file."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.world import World, world


@pytest.fixture
def engine_with_flower(state_folder: Path, database_url: str, redis_url: str) -> Iterator[World]:
    """Worker, gateway and Flower; the worker is started by Celery's own command."""
    worker = [str(Path(sys.executable).with_name("celery")), "-A", "workers.app", "worker"]
    with world(
        state_folder, database_url, redis_url, {"worker", "flower"}, stand_ins={"worker": worker}
    ) as there:
        yield there
