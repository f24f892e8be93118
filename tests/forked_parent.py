"""The parent of forked processes: it imports once, and forks for each start.

Run as `python -m tests.forked_parent FD MODULE...`: what is asked for, and the numbers of the
children, go through the socket FD. The parent runs no test code, and has no threads and no
connections of its own; it ends when the other side of the socket is closed.
"""
# ruff: noqa: SIM115 - the files of a process stay open

import atexit
import gc
import importlib
import json
import os
import runpy
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

LONGEST_LINE = 1 << 20


def main(fd: int, modules: Sequence[str]) -> None:
    """Serve until nobody asks any more; returns in each child when its program has ended."""
    with socket.socket(fileno=fd) as connection:
        gc.disable()  # imported objects stay
        for name in modules:
            importlib.import_module(name)
        assert threading.active_count() == 1, "a module has started a thread, which forks lose"
        gc.freeze()  # they stay shared memory, too
        connection.sendall(b'"ready"\n')
        while (taken := _taken(connection)) is not None:
            asked, files = taken
            if "ended" in asked:
                answer: object = _ended(asked["ended"])
            else:
                answer = os.fork()
                if not answer:
                    connection.close()
                    _become(asked, files)
                    return
            for file in files:
                os.close(file)
            connection.sendall(json.dumps(answer).encode() + b"\n")
    os._exit(0)  # children that still run are ended by who started them


def _taken(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    line, files, _, _ = socket.recv_fds(connection, LONGEST_LINE, 3)
    while line and not line.endswith(b"\n"):
        line += connection.recv(LONGEST_LINE)
    return (json.loads(line), files) if line else None


def _ended(child: int) -> int | None:
    found, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _become(asked: Mapping[str, Any], files: Sequence[int]) -> None:
    """Be a new process: session, files, folder, environment, priority and arguments."""
    gc.enable()
    os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
    for file in files:
        os.close(file)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    time.tzset()
    _open_streams()
    if asked["lower"]:
        os.nice(asked["lower"])
    sys.argv = [asked["program"], *asked["words"]]
    try:
        if asked["code"]:
            sys.argv[0] = "-c"
            exec(asked["code"], {"__name__": "__main__"})  # as `python -c` does
        else:
            runpy.run_module(asked["program"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise  # Python prints it
        _end(end.code or 0)
    _end(0)


def _open_streams() -> None:
    """Open input, output and errors as Python does at its start, on what they are now."""
    encoding, _, errors = os.environ.get("PYTHONIOENCODING", "").partition(":")
    encoding, errors = encoding or sys.stdout.encoding, errors or sys.stdout.errors or "strict"
    as_asked = {"encoding": encoding, "errors": errors, "closefd": False}
    sys.stdin = open(0, **as_asked)
    sys.stdout = open(1, "w", newline="\n", **as_asked)
    sys.stderr = open(2, "w", 1, newline="\n", **as_asked | {"errors": "backslashreplace"})
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr


def _end(status: int) -> None:
    """End as Python does, but without taking apart all modules, which takes a tenth of a second."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        sys.exit(status)  # Python says what is lost
    os._exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
    sys.exit()
