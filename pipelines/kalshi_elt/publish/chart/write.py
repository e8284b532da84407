"""`kalshi-elt chart`: reads a chart's data, all of one moment, and writes its files."""

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
    """What the command's arguments ask for. `--since open` asks for all that has landed.

    Raises UsageError when a time can't be read.
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
    """The chart's data, all of one moment. Raises what read_chart raises."""
    with warehouse.snapshot() as connection:
        versions.check(connection, str(warehouse))
        return read_chart(connection, wanted)


def write(chart: Chart, to: Path | None, *, png: bool) -> list[Path]:
    """Write the page, and with `png` the picture beside it; returns their paths.

    Without `to` the page is named as the ticker, in the current folder. Raises UsageError when `to`
    is not the name of an HTML file, KalshiEltError when a file can't be written.
    """
    # importing them and bundling the script takes a second, so it is done only here
    from kalshi_elt.publish.chart.page import page_html
    from kalshi_elt.publish.chart.picture import picture

    page = to or Path(f"{file_name(chart.ticker)}.html")
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--to {page} is not an HTML file: give a name that ends with .html")
    written = [_written(page, page_html(chart).encode())]
    if png:
        written.append(_written(page.with_suffix(".png"), picture(chart)))
    return written


def _written(path: Path, content: bytes) -> Path:
    """Write a file, all of it or nothing; one that was there before is replaced."""
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
