"""Many seeds on several cores, each process with connections of its own to shared servers."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

import psycopg

from tests import servers
from tests.faults.storm.play import Result, run_seed

LEAKY = ("BILLING_", "SANDBOX_", "FLOWER_", "CELERY_")


def play(seed: int, bug: str | None, *, wide: bool = False) -> Result:
    """Play one seed in this process, on the servers that the main one hosts."""
    for name in [name for name in os.environ if name.startswith(LEAKY)]:
        del os.environ[name]
    shared = servers.wanted()
    with psycopg.connect(shared.url("postgres"), autocommit=True) as admin:
        shared.ensure_template(admin)
        return run_seed(seed, shared, admin, bug, wide=wide)


def results(
    seeds: Sequence[int], jobs: int, bug: str | None, *, wide: bool = False
) -> Iterator[Result]:
    """Play seeds on several cores; results come as they are done."""
    if jobs == 1 or len(seeds) == 1:
        yield from (play(seed, bug, wide=wide) for seed in seeds)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(play, seed, bug, wide=wide) for seed in seeds]):
            yield future.result()
