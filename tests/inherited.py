"""Signal handling that a test process inherits from its shell, put back to the default.

`nohup` has SIGHUP ignored and a shell has SIGINT ignored for what runs in the background. What is
ignored stays ignored in every child, so that a test that ends a child by that signal never ends.
"""

import os
import signal
from types import FrameType

HUNG_UP = "OVO_TESTS_IGNORE_SIGHUP"
"""Set for a run that was started under `nohup`: its own processes go on when a terminal closes."""
_BLOCKED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD}


def reset_signals() -> None:
    """
    Give this process and all its children the signal handling of a program in the foreground.

    A run under `nohup` continues after a hangup, by a handler of its own: unlike "ignored", a
    handler is not inherited by the programs that are started from here. SIGPIPE is not changed:
    Python ignores it itself and gives children the default.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        os.environ[HUNG_UP] = "1"
    if HUNG_UP in os.environ:
        signal.signal(signal.SIGHUP, _go_on)


def _go_on(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: a handler that exists is not inherited by programs."""
