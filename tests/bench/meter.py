"""CPU and memory of processes while something runs, by name; sampled, for peaks have no counter."""

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil

SAMPLE_SECONDS = 0.1
MEGABYTE = 1 << 20


@dataclass
class Reading:
    """What was used: seconds of CPU in all, and the most memory that one process held."""

    cpu_seconds: dict[str, float] = field(default_factory=dict)
    peak_mb: dict[str, float] = field(default_factory=dict)


@contextmanager
def metered(roots: Mapping[str, int]) -> Iterator[Reading]:
    """Meter processes and all below them while the block runs; `roots` maps names to their ids."""
    reading, over = Reading(), threading.Event()
    first: dict[int, float] = {}
    last: dict[int, tuple[str, float]] = {}
    peaks: dict[str, float] = defaultdict(float)

    def look() -> None:
        for name, pid in roots.items():
            with suppress(psutil.Error):
                root = psutil.Process(pid)
                for process in [root, *root.children(recursive=True)]:
                    _note(name, process)

    def _note(name: str, process: psutil.Process) -> None:
        with suppress(psutil.Error):
            times = process.cpu_times()
            used = times.user + times.system
            first.setdefault(process.pid, used)
            last[process.pid] = (name, used)
            # What a process shares with others is counted for each of them: PostgreSQL's buffers.
            peaks[name] = max(peaks[name], process.memory_info().rss / MEGABYTE)

    def watch() -> None:
        while not over.wait(SAMPLE_SECONDS):
            look()

    look()
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield reading
    finally:
        over.set()
        thread.join()
        look()
        total: dict[str, float] = defaultdict(float)
        for pid, (name, used) in last.items():
            total[name] += used - first[pid]
        reading.cpu_seconds = {name: round(value, 2) for name, value in total.items()}
        reading.peak_mb = {name: round(value, 1) for name, value in peaks.items()}
