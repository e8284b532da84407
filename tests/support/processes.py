"""Commands as processes of their own, which can be killed, without the seconds that imports take.

They are forked from a server that has imported dlt and dbt once: those take 4 s of each process,
more than the load of a test. tests/job/test_run.py and tests/load/test_kill.py start the command
as it is, too.
"""

import multiprocessing
import os
import resource
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from unittest.mock import patch

from kalshi_elt.cli.main import main

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        *("kalshi_elt.cli.main", "kalshi_elt.job.run", "kalshi_elt.publish.site.build"),
        *("kalshi_elt.publish.export.export", "kalshi_elt.admin.backup", __name__),
    ]
)


def start_command(
    arguments: Sequence[str],
    variables: Mapping[str, str],
    *,
    out: Path | str = os.devnull,
    err: Path | str = os.devnull,
    peak: Path | str = os.devnull,
    patches: Mapping[str, object] | None = None,
) -> ForkServerProcess:
    """`kalshi-elt` with these arguments and environment variables besides our own.

    What it says is added to the files `out` and `err`; its greatest memory, in kB, to `peak` when
    it ends well. `patches` are values to be patched in it, by name.
    """
    environment = {**os.environ, **variables}
    streams = (str(out), str(err), str(peak))
    process = CONTEXT.Process(
        target=_become, args=([*arguments], environment, streams, {**(patches or {})}), daemon=True
    )
    process.start()
    return process


def end_of(process: ForkServerProcess, seconds: float = 120) -> int:
    """Wait for it; returns its exit status, minus the signal where one killed it."""
    process.join(seconds)
    assert process.exitcode is not None, f"not within {seconds} s"
    return process.exitcode


def _become(
    arguments: list[str],
    environment: dict[str, str],
    streams: tuple[str, str, str],
    patches: dict[str, object],
) -> None:
    """Turn the forked process into the command. It never comes back."""
    os.environ.clear()
    os.environ.update(environment)
    out, err, peak = (os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for name in streams)
    os.dup2(out, 1)
    os.dup2(err, 2)
    # of an interrupt that comes outside of the command's own code
    status = 130
    try:
        with ExitStack() as stack:
            for name, value in patches.items():
                stack.enter_context(patch(name, value))
            status = main(arguments)
        if status == 0:
            os.write(peak, b"%d\n" % resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)
