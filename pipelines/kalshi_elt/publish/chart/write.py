"""`kalshi-elt chart`: reads the chart's data at one moment and writes its files."""

import os
from pathlib import Path

from kalshi_elt.base.errors import KalshiEltError, UsageError
from kalshi_elt.base.paths import LONGEST_NAME, file_name
from kalshi_elt.base.times import parse_range
from kalshi_elt.ops import versions
from kalshi_elt.publish.chart.data import Chart, Wanted, read_chart
from kalshi_elt.warehouse.connection import Warehouse


def wanted_of(
    ticker: str,
    since: str | None,
    until: str | None,
    now: float,
    *,
    interval: int | None = None,
    top: int = 12,
) -> Wanted:
    """What the arguments ask for; raises UsageError on times that are none.

    `--since open` is the whole of what has landed.
    """
    found = parse_range(since, until, now)
    return Wanted(
        ticker,
        since=None if since is None else found.since or 0,
        until=None if until is None else found.until,
        interval=interval,
        top=top,
    )


def read(warehouse: Warehouse, wanted: Wanted) -> Chart:
    """What is to be drawn, all of one moment. Raises what read_chart raises."""
    with warehouse.snapshot() as connection:
        versions.check(connection, str(warehouse))
        return read_chart(connection, wanted)


def write(chart: Chart, to: Path | None, *, png: bool) -> list[Path]:
    """Write the page, and the picture beside it; returns their paths.

    Raises UsageError when `to` is no name for a page, KalshiEltError when it can't be written.
    """
    # a second to import and to bundle: only here
    from kalshi_elt.publish.chart.page import page_html
    from kalshi_elt.publish.chart.picture import picture

    page = to or Path(f"{file_name(chart.ticker)}.html")
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--to {page} names no HTML file: give one that ends with .html")
    written = [_written(page, page_html(chart).encode())]
    if png:
        written.append(_written(page.with_suffix(".png"), picture(chart)))
    return written


def _written(path: Path, content: bytes) -> Path:
    """Write a file, all of it or none; one that was there is replaced."""
    part = path.with_name(f".{path.name[:LONGEST_NAME]}.{os.getpid()}.part")
    try:
        try:
            part.write_bytes(content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise KalshiEltError(
            f"{path} can't be written: {error.strerror}; give --to a file in a folder that you "
            "can write"
        ) from error
    return path
