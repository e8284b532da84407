"""The typed tables as files, Parquet or CSV, of one moment of the warehouse.

A second export into the same folder writes only files whose rows are new or changed, and removes
those whose rows are gone. Run again after a kill, an export goes on where that one stopped.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.base.errors import KalshiEltError
from kalshi_elt.base.text import count, size
from kalshi_elt.ops.lock import at_rest
from kalshi_elt.publish.export.files import CsvFormat, Format, PieceSplitter, RowWriter
from kalshi_elt.publish.export.folder import ExportFolder, PendingFile, open_folder
from kalshi_elt.publish.export.pieces import (
    NOT_EXPORTED,
    Piece,
    batches,
    read_pieces,
    select_pieces,
)
from kalshi_elt.warehouse.connection import Warehouse
from kalshi_elt.warehouse.queries import execute
from kalshi_elt.warehouse.tables import Table, read_tables

FORMATS = ("parquet", "csv")

SPELLING = "set timezone = 'UTC'; set datestyle = 'ISO'; set bytea_output = 'hex'"
"""Settings by which COPY spells values out in one way, whatever those of server and user are."""


@dataclass
class Exported:
    """What an export holds, and what was done for it."""

    folder: Path
    tables: int = 0
    written: int = 0
    """Files written; `unchanged` and `removed` are numbers of files, too."""
    unchanged: int = 0
    removed: int = 0
    rows: int = 0
    """Rows in all files, written or unchanged."""
    written_bytes: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        removed = f", {self.removed:,} removed" if self.removed else ""
        return (
            f"exported {count(self.tables, 'table')} with {count(self.rows, 'row')} to "
            f"{self.folder}: {count(self.written, 'file')} written ({size(self.written_bytes)}), "
            f"{self.unchanged:,} unchanged{removed} ({self.seconds:.1f} s)"
        )


def export(warehouse: Warehouse, folder: Path, file_format: str) -> Exported:
    """Write all tables and views of schema `kalshi` into `folder`, as `parquet` or `csv`.

    Raises UsageError when the folder holds something else, BusyError when another export writes to
    it, KalshiEltError when nothing is typed yet or a file can't be written.
    """
    started = time.monotonic()
    exported = Exported(folder)
    try:
        with _snapshot(warehouse) as connection:
            tables = [one for one in read_tables(connection) if one.name not in NOT_EXPORTED]
            if not tables:
                raise KalshiEltError(
                    "nothing is typed yet: run `make load && make transform` first"
                )
            make_format = _format(file_format)
            with open_folder(folder, file_format) as target:
                chosen = make_format(connection, tables)
                _Export(connection, target, exported, chosen).write_all(tables)
    except OSError as error:
        raise KalshiEltError(
            f"export: {error.strerror or error} ({error.filename or folder}); mend that and run it "
            "again: files that are whole are kept"
        ) from error
    exported.seconds = time.monotonic() - started
    return exported


def _format(name: str) -> Callable[[Connection, list[Table]], Format]:
    """What makes the format, once the folder is ours: for Parquet it reads the rows."""
    if name == CsvFormat.suffix:
        return lambda connection, tables: CsvFormat()
    # imported only here: it needs an extra, and takes a second
    from kalshi_elt.publish.export.parquet import ParquetFormat, oversized

    return lambda connection, tables: ParquetFormat(oversized(connection, tables))


@contextmanager
def _snapshot(warehouse: Warehouse) -> Iterator[Connection]:
    """A connection that sees one moment of the warehouse, and spells each value in one way."""
    with at_rest(warehouse), warehouse.snapshot() as connection:
        connection.set_client_encoding("UTF8")
        execute(connection, SPELLING)
        yield connection


class _Export:
    """One export under way: its connection and folder, and what was done so far."""

    def __init__(
        self, connection: Connection, target: ExportFolder, exported: Exported, chosen: Format
    ) -> None:
        self._connection, self._target, self._exported = connection, target, exported
        self._format = chosen
        self._pending: PendingFile | None = None

    def write_all(self, tables: list[Table]) -> None:
        names: set[str] = set()
        for table in tables:
            columns = {column.name: column.type for column in table.columns}
            self._target.tables[table.name] = columns
            pieces = read_pieces(self._connection, table)
            names |= {self._name(piece) for piece in pieces}
            self._write_changed(table, pieces)
            self._exported.tables += 1
            self._exported.rows += sum(piece.rows for piece in pieces)
        self._exported.removed = self._target.remove_all_but(names)
        self._target.save(is_complete=True)

    def _name(self, piece: Piece) -> str:
        return piece.path(self._format.suffix)

    def _write_changed(self, table: Table, pieces: list[Piece]) -> None:
        changed = [
            piece
            for piece in pieces
            if not self._target.holds(self._name(piece), piece.fingerprint)
        ]
        self._exported.unchanged += len(pieces) - len(changed)
        for batch in batches(changed):
            self._write(table, batch)

    def _write(self, table: Table, batch: list[Piece]) -> None:
        query = select_pieces(table, self._format.columns(table), batch)
        copy = sql.SQL("copy ({}) to stdout with (format csv)").format(query)

        def begin(piece: Piece) -> RowWriter:
            self._pending = PendingFile(self._target.path / self._name(piece))
            return self._format.writer(table, self._pending.file)

        def end(piece: Piece) -> None:
            assert self._pending is not None
            self._exported.written_bytes += self._target.commit(
                self._name(piece), self._pending, piece.rows, piece.fingerprint
            )
            self._exported.written += 1

        try:
            splitter = PieceSplitter(batch, begin, end)
            with self._connection.cursor() as cursor:
                cursor.copy_expert(copy, splitter)
            splitter.finish()
        finally:
            if self._pending is not None:
                self._pending.discard()
