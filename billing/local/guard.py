"""The process that ends the local stack's children after their parent has died.

It reads from standard input which children have started and ended, and which folders to remove.
That pipe is closed by the kernel when the parent dies, even by SIGKILL. It does not know what the
children are. Usually nothing is left to do, so it imports what it needs only then.
"""

import signal
import sys

LONGEST_GRACE_SECONDS = 3.0  # no caller waits for an orderly end any more


def main() -> None:
    """Keep the list until the parent is gone; then end its processes, the youngest first."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    started: dict[int, tuple[int, float]] = {}
    folders: list[str] = []
    for line in sys.stdin:
        match line[0], line[1:].split():
            case "+", [pid, stop, grace_seconds]:
                started[int(pid)] = (int(stop), float(grace_seconds))
            case "-", [pid]:
                started.pop(int(pid), None)
            case _:
                folders.append(line.rstrip("\n"))
    if started:
        from billing.local.processes import end_family

        for leader, (stop_signal, grace) in reversed(started.items()):
            end_family(leader, stop_signal, min(grace, LONGEST_GRACE_SECONDS))
    if folders:
        import shutil

        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
