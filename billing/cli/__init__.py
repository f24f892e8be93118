"""The `billing` command: parse, call a service, print.

Exit codes: 0 done, 1 refused, 2 wrong usage; errors print one line on stderr. A traceback is never
printed. This module imports nothing heavy: a command loads what it needs.
"""

import gc
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

GARBAGE_THRESHOLD = 50_000


def run(words: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        code = _command(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _drop_output()  # the reader of our output has closed it
        return 1
    except Exception as error:  # noqa: BLE001 - every error is printed as one line
        from billing.cli import refusals

        with suppress(OSError):
            sys.stderr.write(f"billing: {refusals.one_line(error)}\n")
        _drop_output()
        return 1
    return code


def _drop_output() -> None:
    """Discard unwritten output; otherwise Python retries at exit and prints an error."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _command(words: Sequence[str]) -> int:
    from typer.exceptions import TyperException

    from billing.cli import program, usage
    from billing.domain.errors import InvalidValue

    if any(not word.isascii() and word != word.encode(errors="replace").decode() for word in words):
        raise InvalidValue("the arguments are not all UTF-8 text")
    command = program.of(words)
    try:
        code = command.main(list(words), prog_name=usage.PROGRAM, standalone_mode=False)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except TyperException as wrong:
        line = usage.one_line(command, words, wrong)
        if line:  # empty when help was requested and printed
            sys.stderr.write(f"billing: {line}\n")
        return usage.CODE
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the `billing` program."""
    # Modules and thousands of rows contain no garbage: collecting took a tenth of a short command's
    # time, and a quarter of an import's.
    gc.set_threshold(GARBAGE_THRESHOLD)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a name is no error
    sys.exit(run(sys.argv[1:]))
