"""What a person sees while a load runs: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 10.0


class Reporter(Protocol):
    """Told of each finished request and the candles it brought."""

    def advance(self, candles: int) -> None: ...


class _Bar:
    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("candles", total=total, candles=0)
        self._candles = 0

    def advance(self, candles: int) -> None:
        self._candles += candles
        self._progress.update(self._task, advance=1, candles=self._candles)


class _Lines:
    def __init__(self, total: int) -> None:
        self._total = total
        self._done = self._candles = 0
        self._last = time.monotonic()

    def advance(self, candles: int) -> None:
        self._done += 1
        self._candles += candles
        if time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            say(f"{self._done} of {self._total} requests, {self._candles:,} candles")


@contextmanager
def reporting(requests: int) -> Iterator[Reporter]:
    """A reporter for a load of that many candle requests. Writes to standard error."""
    if not sys.stderr.isatty():
        yield _Lines(requests)
        return
    columns = (
        TextColumn("fetching candles"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("requests, {task.fields[candles]:,} candles"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bar(progress, requests)


def say(line: str) -> None:
    """One plain line of progress."""
    print(line, file=sys.stderr, flush=True)
