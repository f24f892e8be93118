"""Become another program, after telling the guard about it.

Run by path with `python -I -S`, so it imports very little. It registers its own process id before
it becomes the program, so that the guard knows the child even if the parent dies. It does not know
what it starts.

    launch.py REGISTER_FD STOP_SIGNAL GRACE_SECONDS (- | UID:GID:REACH) PROGRAM ARGUMENT...
"""

import fcntl
import os
import sys
from contextlib import suppress

# <linux/prctl.h> and <linux/capability.h>
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION_3 = 0x20080522


def become(uid: int, gid: int, *, reach: bool) -> None:
    """Change from root to another user; `reach` keeps access to folders such as /root.

    PostgreSQL refuses to run as root. Its files and programs may be below folders that only root
    can enter. Opening those folders to all users would be worse than leaving it the one capability
    that reads them.
    """
    keep = reach and sys.platform == "linux"
    if keep:
        _prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if keep:
        # Containers drop the narrower one by default and leave the wider one.
        _ = _keep(_CAP_DAC_READ_SEARCH) or _keep(_CAP_DAC_OVERRIDE)


def _prctl(option: int, first: int, second: int = 0) -> bool:
    import ctypes  # ten milliseconds that only root needs

    arguments = (ctypes.c_ulong(value) for value in (first, second, 0, 0))
    return bool(ctypes.CDLL(None).prctl(option, *arguments) == 0)


def _keep(capability: int) -> bool:
    import ctypes

    mask = 1 << capability
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # effective, permitted, inheritable: the low words, then the high ones
    sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    if ctypes.CDLL(None).capset(header, sets) != 0:
        return False
    return _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def main(arguments: list[str]) -> None:
    """Register, change user if asked to, and become the program."""
    register, stop_signal, grace_seconds, user, *program = arguments
    with suppress(BrokenPipeError):  # the server is started even if the guard has died
        os.write(int(register), f"+{os.getpid()} {stop_signal} {grace_seconds}\n".encode())
    fcntl.fcntl(int(register), fcntl.F_SETFD, fcntl.FD_CLOEXEC)  # the guard waits for its end
    if user != "-":
        uid, gid, reach = user.split(":")
        become(int(uid), int(gid), reach=reach == "1")
    try:
        os.execvp(program[0], program)  # noqa: S606 - becoming a program is what this is for
    except OSError as failed:
        sys.exit(f"{program[0]}: {failed.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
