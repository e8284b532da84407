"""Rows for the raw tables of schema `kalshi_raw`, as a source that dlt can land.

The rows are written to files ready for COPY, which dlt takes into its load package as they are
(`dlt.mark.with_file_import`): it has no values to normalize, and none becomes a Python object.
Measured with a million candles on one core: 52,800 candles a second land this way, and 5,100 when
dlt is given dicts (DECISIONS.md, 4).
"""

import itertools
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import dlt
from dlt.common.schema.typing import TColumnSchema
from dlt.extract import DltResource

from kalshi_elt.kalshi.records import EventRow, MarketRow, Origin, SeriesRow, WindowRow
from kalshi_elt.kalshi.sanitize import is_sanitized
from kalshi_elt.load.landing.copy_file import END, Value, field, jsonb_field, write_columns
from kalshi_elt.load.landing.copy_file import row as copy_row
from kalshi_elt.load.landing.destination import FORMAT

PAYLOAD_COLUMNS: list[TColumnSchema] = [
    {"name": "payload", "data_type": "json", "nullable": False},
    {"name": "is_sanitized", "data_type": "bool", "nullable": False},
    {"name": "endpoint", "data_type": "text", "nullable": False},
    {"name": "tier", "data_type": "text", "nullable": False},
    {"name": "fetched_at", "data_type": "timestamp", "nullable": False},
    {"name": "_dlt_load_id", "data_type": "text", "nullable": False},
]
"""What every raw table has, after its keys."""


STAGING = "staging"
"""Folder of files that are being written. What is in it when a load begins was left by a killed
one."""


FILE_BYTES = 32_000_000
"""Size at which a file is full. dlt copies several files of a package at the same time, so that the
server parses jsonb, which takes most of COPY's time, on more than one core. Each file takes dlt
30 ms: with files of half the size landing took 4 % longer. With files of twice the size all but one
core were idle at the end of a package, while its last file was copied."""

BUFFER_BYTES = 1 << 20
"""Bytes that are held before they are written. Measured: with Python's default of 8 kB a third of
the time of writing went into system calls."""


NO_TICKER = ""
"""The ticker in the row of a market object without a usable one. It can't be NULL, as Citus spreads
rows over its nodes by that column."""


@dataclass(frozen=True)
class RawTable:
    """A raw table: its name, its key columns, and how a row's keys are written."""

    name: str
    keys: list[TColumnSchema]
    key_values: Callable[[Any], tuple[Value, ...]]

    @property
    def columns(self) -> list[TColumnSchema]:
        return [*self.keys, *PAYLOAD_COLUMNS]


EVENTS = RawTable(
    "events",
    [{"name": "event_ticker", "data_type": "text"}],
    lambda row: (row.event_ticker,),
)
MARKETS = RawTable(
    "markets",
    [
        {"name": "market_ticker", "data_type": "text"},
        {"name": "event_ticker", "data_type": "text"},
    ],
    lambda row: (row.market_ticker or NO_TICKER, row.event_ticker),
)
SERIES = RawTable(
    "series",
    [{"name": "series_ticker", "data_type": "text"}],
    lambda row: (row.series_ticker,),
)
CANDLESTICKS = RawTable(
    "candlesticks",
    [
        {"name": "market_ticker", "data_type": "text", "nullable": False},
        {"name": "interval_min", "data_type": "bigint", "nullable": False},
        {"name": "window_start", "data_type": "timestamp", "nullable": False},
        {"name": "window_end", "data_type": "timestamp", "nullable": False},
    ],
    lambda row: (row.market_ticker, row.interval_min, row.window_start, row.window_end),
)


@dlt.source(name="kalshi", max_table_nesting=0)
def raw_rows_source(
    events: Iterable[EventRow] | None = None,
    markets: Iterable[MarketRow] | None = None,
    candlesticks: Iterable[WindowRow] | None = None,
    series: Iterable[SeriesRow] | None = None,
) -> list[DltResource]:
    """A dlt source of finished rows: each table that rows are given for is a resource.

    It fetches nothing itself. dlt keeps the schema of the tables in users' warehouses under the
    source's name, `kalshi`, which therefore stays.

    Args:
        events: rows of `kalshi_raw.events`, read once, while dlt extracts. Without any rows the
            table is made; with None it is not part of the load.
        markets: rows of `kalshi_raw.markets`.
        candlesticks: rows of `kalshi_raw.candlesticks`.
        series: rows of `kalshi_raw.series`.
    """
    given: tuple[tuple[RawTable, Iterable[Any] | None], ...] = (
        (SERIES, series),
        (EVENTS, events),
        (MARKETS, markets),
        (CANDLESTICKS, candlesticks),
    )
    return [_resource(table, rows) for table, rows in given if rows is not None]


def _resource(table: RawTable, rows: Iterable[Any]) -> DltResource:
    @dlt.resource(
        name=table.name,
        write_disposition="append",
        columns=table.columns,
        max_table_nesting=0,
        # a payload that differs from what was seen so far is normal: it is jsonb
        schema_contract="evolve",
    )
    def resource() -> Iterator[Any]:
        load_id = dlt.current.load_package_state()["load_id"]
        with tempfile.TemporaryDirectory(dir=_staging_folder()) as folder:
            remaining = iter(rows)
            piece: Iterable[Any] = remaining
            for number in itertools.count():
                file = Path(folder) / f"{table.name}.{number}.{FORMAT}"
                count = write_rows(file, table, piece, load_id, FILE_BYTES)
                # the first file is handed over even without rows: it makes the table
                yield dlt.mark.with_file_import(str(file), FORMAT, count)
                if (first := next(remaining, None)) is None:
                    break
                piece = itertools.chain((first,), remaining)

    return resource


def _staging_folder() -> str:
    """The folder STAGING in dlt's working folder. It is on the same file system as the load
    package, so dlt can take over a file by a link, without copying it."""
    folder = Path(dlt.current.pipeline().working_dir) / STAGING
    folder.mkdir(exist_ok=True)
    return str(folder)


def write_rows(
    file: Path,
    table: RawTable,
    rows: Iterable[Any],
    load_id: str,
    most_bytes: float = math.inf,
) -> int:
    """Write rows as Postgres' COPY reads them until there are no more, or the file has
    `most_bytes`. Returns how many were written."""
    count = size = 0
    names = [str(column["name"]) for column in table.columns]
    with file.open("wb", buffering=BUFFER_BYTES) as out:
        write_columns(out, names)
        for row in rows:
            line = copy_row(
                len(names),
                *map(field, table.key_values(row)),
                jsonb_field(row.payload),
                field(is_sanitized(row.payload)),
                _origin(row.origin, load_id),
            )
            out.write(line)
            count += 1
            size += len(line)
            if size >= most_bytes:
                break
        out.write(END)
    return count


@lru_cache(maxsize=16)
def _origin(origin: Origin, load_id: str) -> bytes:
    """The values of the last four columns, which all rows of an answer share: to make them for each
    row took a fifth of the time of writing."""
    values = (origin.endpoint, origin.tier, origin.fetched_at, load_id)
    return b"".join([field(value) for value in values])
