"""The lock that lets one `billing up` at a time use a state folder.

It is a kernel lock, so a killed owner leaves no lock behind, only a file with its process id.
"""

import fcntl
import os
from pathlib import Path

from billing.domain.errors import NotConfigured
from billing.local.processes import GUARD_SECONDS, alive, until

DYING_SECONDS = 0.5


class HomeLock:
    """An exclusive lock on a folder; its file has the holder's process id."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._file: int | None = None

    def take(self) -> int:
        """Take the lock and return its file descriptor; NotConfigured names the present owner.

        After a kill the owner's guard still has the lock and releases it when it has ended the
        owner's children, so this waits for a while.
        """
        file = os.open(self._home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        self._file = file

        def owner() -> int:
            return int(os.pread(file, 20, 0).partition(b"\n")[0].strip() or 0)

        until(lambda: _locked(file), DYING_SECONDS)
        until(lambda: _locked(file) or alive(owner()), GUARD_SECONDS)
        if not _locked(file):
            text = f"pid {owner()}"
            console = os.pread(file, 500, 0).decode(errors="replace").partition("\n")[2].strip()
            self.release()
            seen = f"; its console: {console}" if console else ""
            raise NotConfigured(f"billing up is already running in {self._home} ({text}){seen}")
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        return file

    def tell(self, console: str) -> None:
        """Write the console's address into the lock's file, for one who is refused."""
        if self._file is not None:
            os.pwrite(self._file, f"{os.getpid()}\n{console}\n".encode(), 0)

    def release(self) -> None:
        """Release the lock. The file stays: with a removed file two processes could hold a lock."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
