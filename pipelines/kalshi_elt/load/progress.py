"""What a person, or a log file, sees while a load is under way."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kalshi_elt.base.text import visible

SECONDS_BETWEEN_LINES = 10.0


class Reporter(Protocol):
    """Told of each finished request and the candles it brought."""

    def advance(self, candles: int) -> None: ...


class Log:
    """Lines of progress on standard error: text, or one JSON object a line."""

    def __init__(self, log_format: str) -> None:
        self._is_json = log_format == "json"

    def say(self, message: str, **fields: object) -> None:
        """Write one line. `fields` are for machines: they are in the JSON form alone."""
        if self._is_json:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            line = json.dumps({"time": now, "message": message, **fields}, default=str)
        else:
            line = visible(message)
        print(line, file=sys.stderr, flush=True)

    @contextmanager
    def requests(self, total: int) -> Iterator[Reporter]:
        """A reporter for `total` candle requests: a bar on a terminal, elsewhere a line every
        SECONDS_BETWEEN_LINES."""
        if self._is_json or not sys.stderr.isatty():
            yield _Lines(self, total)
            return
        columns = (
            TextColumn("fetching candles"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("requests, {task.fields[candles]:,} candles, {task.fields[pace]:,.0f}/s"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            yield _Bar(progress, total)


class _Bar:
    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("candles", total=total, candles=0, pace=0.0)
        self._candles = 0
        self._started = time.monotonic()

    def advance(self, candles: int) -> None:
        self._candles += candles
        pace = self._candles / max(time.monotonic() - self._started, 0.001)
        self._progress.update(self._task, advance=1, candles=self._candles, pace=pace)


class _Lines:
    def __init__(self, log: Log, total: int) -> None:
        self._log = log
        self._total = total
        self._done = self._candles = 0
        self._started = self._last = time.monotonic()

    def advance(self, candles: int) -> None:
        self._done += 1
        self._candles += candles
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = now
        seconds = now - self._started
        left = seconds / self._done * (self._total - self._done)
        self._log.say(
            f"{self._done:,} of {self._total:,} requests, {self._candles:,} candles, "
            f"{self._candles / seconds:,.0f}/s, {left:,.0f} s left",
            requests=self._done,
            requests_total=self._total,
            candles=self._candles,
            seconds_left=round(left, 1),
        )
