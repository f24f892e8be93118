"""Start a worker or the beat: `python -m workers worker …` and `python -m workers beat …`.

`celery -A workers.app` does the same, but first imports Flower, a shell and other commands, which
takes a quarter of the start time; the local stack and the tests start many processes.
"""

import gc
import sys


def main(words: list[str]) -> None:
    """Run Celery's `worker` or `beat` command."""
    gc.disable()  # what is imported stays: looking through it again and again is a tenth of it
    from workers.app import app  # first: it refuses mistaken settings

    # isort: split

    from celery.bin.base import CLIContext
    from celery.bin.beat import beat
    from celery.bin.worker import worker

    gc.enable()
    name, *options = words
    command = {"worker": worker, "beat": beat}[name]
    there = CLIContext(app=app, no_color=True, workdir=None)
    command.main(options, prog_name=f"workers {name}", obj=there, auto_envvar_prefix="CELERY")


if __name__ == "__main__":
    main(sys.argv[1:])
