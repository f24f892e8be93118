"""Start a worker or beat: `python -m workers worker …` and `python -m workers beat …`.

`celery -A workers.app` has the same effect, but first imports Flower, a shell and other commands,
which takes a quarter of the start time; the local stack and the tests start many processes.
"""

import gc
import sys


def main(words: list[str]) -> None:
    """Run Celery's `worker` or `beat` command."""
    gc.disable()  # imported objects stay: collecting takes a tenth of the start time
    from workers.app import app  # first: it refuses wrong settings

    # isort: split

    from celery.bin.base import CLIContext
    from celery.bin.beat import beat
    from celery.bin.worker import worker

    gc.freeze()  # else all of it is looked through a moment later
    gc.enable()
    name, *options = words
    command = {"worker": worker, "beat": beat}[name]
    there = CLIContext(app=app, no_color=True, workdir=None)
    command.main(options, prog_name=f"workers {name}", obj=there, auto_envvar_prefix="CELERY")


if __name__ == "__main__":
    main(sys.argv[1:])
