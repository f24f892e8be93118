"""Ctrl-C, SIGTERM and SIGHUP: the first one interrupts, the next one shortens the shutdown.

It knows signals only. Outside the main thread, where Python accepts none, it does nothing.
"""

import signal
import threading
from collections.abc import Callable
from types import FrameType

Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers | None
"""What Python does when a signal comes."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """While it listens, each signal raises KeyboardInterrupt until the shutdown starts."""

    def __init__(self) -> None:
        self.hurry = threading.Event()
        self._struck_once = self._ending = False
        self._before: dict[signal.Signals, Handler] = {}

    def listen(self) -> None:
        """Install the handlers; an ignored signal (SIGHUP under nohup) stays ignored."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._struck)

    def check(self) -> None:
        """Raise an interrupt again that came to nothing: Python drops one in a destructor."""
        if self._struck_once and not self._ending:
            raise KeyboardInterrupt

    def end_begins(self) -> None:
        """Stop interrupting: from now on a signal only shortens the shutdown."""
        self._ending = True

    def leave(self) -> None:
        """Restore the previous handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
        # An interrupt that passed through a library's `exec` marks the process as killed by Ctrl-C,
        # even if it was caught (CPython, run_eval_code_obj); a second one removes that mark.
        exec("")  # noqa: S102 - a constant, and empty

    def _struck(self, _number: int, _frame: FrameType | None) -> None:
        if self._ending:
            self.hurry.set()
        else:
            self._struck_once = True
            raise KeyboardInterrupt
