"""New processes that need not import again what each of them would import first.

A parent imports the given modules and nothing else. For each start it forks a child, which gets an
environment, arguments and code as `python -c` would, and ends as a program does. The parent runs no
test code, and has no threads and no connections.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

from tests.waits import Lines

Start = Callable[[Sequence[str], Mapping[str, str]], "CompletedProcess[str]"]
CHILD_SECONDS = 60.0

_PARENT = """
import gc, importlib, json, os, sys
gc.disable()
for name in sys.argv[2:]:
    importlib.import_module(name)
gc.freeze()
print("ready", flush=True)
for line in sys.stdin:
    words, environment, files = json.loads(line)
    child = os.fork()
    if not child:
        gc.enable()
        os.setsid()
        for number, file in enumerate([os.devnull, *files]):
            os.dup2(os.open(file, os.O_RDWR), number)
        os.environ.clear()
        os.environ.update(environment)
        code, sys.argv = sys.argv[1], ["-c", *words]
        exec(code, {"__name__": "__main__"})
        sys.exit()
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@contextmanager
def forking(code: str, modules: Sequence[str], path: str) -> Iterator[Start]:
    """Give a function that runs the code in a new process, with arguments and environment."""
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, code, *modules],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert parent.stdin is not None
    assert parent.stdout is not None
    said, starts = Lines(parent.stdout), 0
    into = parent.stdin

    def start(words: Sequence[str], environment: Mapping[str, str]) -> CompletedProcess[str]:
        nonlocal starts
        starts += 1
        with TemporaryDirectory() as folder:
            out, error = Path(folder, "out"), Path(folder, "error")
            out.touch()
            error.touch()
            asked = [list(words), dict(environment), [str(out), str(error)]]
            into.write(json.dumps(asked) + "\n")
            into.flush()
            said.await_line(
                lambda _: len(said.lines) > starts, f"{words} ended", seconds=CHILD_SECONDS
            )
            status = int(said.lines[starts].removeprefix("ended "))
            return CompletedProcess(list(words), status, out.read_text(), error.read_text())

    try:
        said.await_line(lambda line: line == "ready", "the modules", seconds=CHILD_SECONDS)
        yield start
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.wait(10)
        said.await_end(10)
        into.close()
        parent.stdout.close()
