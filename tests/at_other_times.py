"""Run the tests that look at the clock while it shows another time, by means of libfaketime.

    python -m tests.at_other_times             all of them at every moment (`make test-clocks`)
    python -m tests.at_other_times --quick     a few at one clock change: a minute, for CI

They are marked `clock`, the few `clock_change`. Further arguments go to pytest. The servers that
they start see the same time, as the library is passed on to every process. Needs the Debian package
`faketime`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

LIBRARIES = (
    "/usr/lib/*/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
    "/usr/local/lib/faketime/libfaketime.so.1",
)
"""Where packages and a build of one's own put it. Not the variant for threads: it takes a lock and
two system calls each time that somebody asks for the time, which makes the tests take twice as
long, and protects settings that are read only once here."""

PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")

SLEEP = """
import select
import time

# Python sleeps until a moment of the monotonic clock, which libfaketime 0.9.10 (Debian 12) gets
# wrong while that clock is left alone: "Invalid argument"
def sleep(seconds):
    select.select([], [], [], seconds)

time.sleep = sleep
"""
"""What Python imports before anything else."""


@dataclass(frozen=True)
class Moment:
    """A time at which something may go wrong, and the machine's time zone."""

    name: str
    at: str
    zone: str

    @property
    def seconds_from_now(self) -> int:
        return int(datetime.fromisoformat(self.at).timestamp() - time.time())


CLOCKS_GO_BACK = Moment("clocks go back", "2027-11-07T05:59:30Z", "America/New_York")
MOMENTS = (
    CLOCKS_GO_BACK,
    Moment("clocks go forward", "2027-03-14T06:59:30Z", "Asia/Kathmandu"),
    Moment("a month ends", "2026-11-30T23:58:00Z", "America/New_York"),
    Moment("a year ends", "2026-12-31T23:58:00Z", "Asia/Kathmandu"),
    Moment("a leap day", "2028-02-29T12:00:00Z", "America/New_York"),
)
"""After 2026-11-01, when what tests land themselves (tests/support/landing.py) happens."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them; returns 1 when a test failed at one of the moments, 2 without the library."""
    parser = argparse.ArgumentParser(prog="python -m tests.at_other_times", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="few tests, at one clock change")
    parser.add_argument("--moment", choices=[moment.name for moment in MOMENTS], help="one alone")
    options, for_pytest = parser.parse_known_args(arguments)
    found = [path for pattern in LIBRARIES for path in sorted(Path("/").glob(pattern[1:]))]
    if not found:
        print("there is no libfaketime here: apt-get install faketime", file=sys.stderr)
        return 2
    marked = "clock_change" if options.quick else "clock"
    moments: tuple[Moment, ...] = (CLOCKS_GO_BACK,) if options.quick else MOMENTS
    if options.moment:
        moments = tuple(moment for moment in MOMENTS if moment.name == options.moment)
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sitecustomize.py").write_text(SLEEP)
        for moment in moments:
            print(f"\n{moment.name}: {moment.at}, in {moment.zone}", flush=True)
            # one server shows what the time does; a `-k` among the arguments takes this one's place
            if subprocess.call(
                [*PYTEST, "-m", marked, "-k", "not postgres15", *for_pytest],
                env=_environment(moment, found[0], folder),
            ):
                failed.append(moment.name)
    print(f"\nfailed when {', '.join(failed)}" if failed else "\nall passed at every moment")
    return 1 if failed else 0


def _environment(moment: Moment, library: Path, folder: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
    return {
        **os.environ,
        "LD_PRELOAD": str(library),
        # so many seconds from the true time in each process, so that all agree
        "FAKETIME": f"{moment.seconds_from_now:+d}",
        # read once: else every ten seconds, beside other threads
        "FAKETIME_CACHE_DURATION": "1000000",
        # what measures how long something takes stays true, and so do the times of files, which
        # tell Python whether its compiled modules are still good
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
        "TZ": moment.zone,
        "PYTHONPATH": path,
    }


if __name__ == "__main__":
    sys.exit(main())
