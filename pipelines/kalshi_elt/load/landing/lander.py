"""Landing rows in `kalshi_raw` through dlt, and recovering what an earlier load left behind."""

import json
import shutil
from pathlib import Path

import dlt
import psycopg2
from dlt.common.storages import NormalizeStorage
from dlt.destinations.impl.postgres.configuration import PostgresCredentials
from dlt.extract import DltSource
from dlt.pipeline.exceptions import PipelineStepFailed
from dlt.pipeline.pipeline import Pipeline
from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.base.errors import RefusedError, WarehouseError
from kalshi_elt.load.landing.destination import postgres_binary
from kalshi_elt.load.landing.source import STAGING, raw_rows_source
from kalshi_elt.warehouse.citus import lay_out, server_said
from kalshi_elt.warehouse.connection import Warehouse
from kalshi_elt.warehouse.names import LOADER, LOADER_ROLE, RAW_SCHEMA, RAW_TABLES
from kalshi_elt.warehouse.queries import execute, execute_all, exists, select

PIPELINE = "kalshi"

SCHEMAS = "schemas"
EXTRACTED = Path("normalize", NormalizeStorage.EXTRACTED_FOLDER)
NEW, NORMALIZED, LOADED = (Path("load", name) for name in ("new", "normalized", "loaded"))

REFUSED = "refused"
"""Folder, in dlt's working folder, of packages that Postgres refuses."""

FOLDERS = (EXTRACTED, NEW, NORMALIZED, LOADED)
"""Folders that dlt makes at the first start of a pipeline alone. Killed before it has made all of
them, it fails at every later start."""


def _mend_folders(working: Path) -> None:
    """Mend what a kill at the wrong moment leaves in dlt's working folder, and what would make dlt
    fail at every later start."""
    for folder in FOLDERS:
        (working / folder).mkdir(parents=True, exist_ok=True)
    # once it has normalized an extracted package, dlt deletes it file by file. A kill in between
    # leaves a package that it can neither read any more nor normalize again
    for package in (working / EXTRACTED).glob("*/"):
        is_normalized = any((working / to / package.name).exists() for to in (NORMALIZED, LOADED))
        if is_normalized or not (package / "schema.json").exists():
            shutil.rmtree(package)
    # dlt writes a schema to a file without a suffix and then renames it, but reads all files that
    # it finds, also one that a kill left half written
    for file in (working / SCHEMAS).glob("*"):
        if not file.suffix:
            file.unlink()
    # at the first start dlt notes a schema's name in its state before it writes the schema. When a
    # kill came in between, it fails for want of the schema; without a state it starts anew
    state = working / Pipeline.STATE_FILE
    names = json.loads(state.read_text())["schema_names"] if state.exists() else []
    if not all((working / SCHEMAS / f"{name}.schema.json").exists() for name in names):
        state.unlink()


class Lander:
    """Lands sources in one warehouse, one load package each."""

    def __init__(self, warehouse: Warehouse) -> None:
        _mend_folders(warehouse.work_folder / PIPELINE)
        self._pipeline = dlt.pipeline(
            pipeline_name=PIPELINE,
            destination=postgres_binary(
                destination_name="postgres",
                credentials=_credentials(warehouse.acting_as(LOADER_ROLE)),
                # a unique index on raw rows would make a repeated package fail for ever
                create_indexes=False,
            ),
            dataset_name=RAW_SCHEMA,
            pipelines_dir=str(warehouse.work_folder),
        )

    def recover(self) -> int:
        """Land what an interrupted load left pending; returns the number of packages.

        To be done before anything else is landed: while a package is pending, dlt lands that one,
        ignores the new data, and reports success. Raises what `land` does.
        """
        pending = len(self._pipeline.list_normalized_load_packages())
        while self._pipeline.has_pending_data:
            self._run(None)
        self._clean()
        return pending

    def _clean(self) -> None:
        """Remove what is of no use any more: files of loads that were killed while they fetched,
        hundreds of MB each, and dlt's notes on packages that landed, ten files each."""
        working = Path(self._pipeline.working_dir)
        shutil.rmtree(working / STAGING, ignore_errors=True)
        for package in (working / LOADED).glob("*/"):
            shutil.rmtree(package, ignore_errors=True)
        # dlt extracts into folders with random names beside this one, and moves a package to it
        # once it is whole
        for folder in (working / "normalize").glob("*/"):
            if folder.name != NormalizeStorage.EXTRACTED_FOLDER:
                shutil.rmtree(folder, ignore_errors=True)

    def has_landed(self, connection: Connection) -> bool:
        """Whether anything ever landed. False also when somebody dropped the raw schema."""
        return exists(connection, RAW_SCHEMA, "_dlt_loads")

    def adopt_orphans(self, connection: Connection) -> int:
        """Name loads in `_dlt_loads` whose rows have landed but which it does not have; returns how
        many.

        dlt commits the files of a package one by one and names its load last. When a load is killed
        in between and its working folder is lost, too, the package can't be finished. The rows that
        have landed are whole, so they are made to count like all others.
        """
        tables = [table for table in RAW_TABLES if exists(connection, RAW_SCHEMA, table)]
        if not tables or not self.has_landed(connection):
            return 0
        ((since,),) = select(connection, OLDEST_OF_LATE, {"looked_at": LATE_LOADS_LOOKED_AT})
        landed = " union ".join(
            f"select _dlt_load_id from {RAW_SCHEMA}.{table} where _dlt_load_id > %(since)s"
            for table in tables
        )
        return execute(
            connection,
            f"""
            insert into {RAW_SCHEMA}._dlt_loads (load_id, schema_name, status, inserted_at)
            select landed._dlt_load_id, 'kalshi', 0, now()
            from ({landed}) as landed
            where
                not exists (
                    select from {RAW_SCHEMA}._dlt_loads
                    where _dlt_loads.load_id = landed._dlt_load_id
                )
            """,
            {"since": since},
        )

    def land(self, source: DltSource) -> None:
        """Land a source as one package: all of its rows are in when this returns.

        Raises RefusedError when Postgres refuses a value, WarehouseError when it can't be reached
        or used: then the package is pending and lands with the next load.
        """
        self._run(source)

    def _run(self, source: DltSource | None) -> None:
        try:
            info = self._pipeline.run(source)
            if info is not None:
                info.raise_on_failed_jobs()
        except PipelineStepFailed as error:
            cause = _root_cause(error)
            if isinstance(cause, KeyboardInterrupt):
                raise cause from error
            if isinstance(cause, psycopg2.DataError):
                folder = self._set_aside()
                raise RefusedError(
                    f"Postgres refuses a value ({server_said(cause)}); the package's files are "
                    f"kept in {folder}"
                ) from error
            raise WarehouseError(
                f"landing failed at dlt's step `{error.step}`: {server_said(cause)}; what landed "
                "before is kept, and the next load lands the rest"
            ) from error

    def _set_aside(self) -> Path:
        """Move the pending package to the folder REFUSED, and return that. A package that can never
        land would block all others."""
        working = Path(self._pipeline.working_dir)
        aside = working / REFUSED
        aside.mkdir(exist_ok=True)
        for package in (working / NORMALIZED).iterdir():
            package.rename(aside / package.name)
        return aside

    def create_tables(self, connection: Connection) -> None:
        """Make the raw tables, with their indexes and compression, unless they are there."""
        needed = (*RAW_TABLES, *map(_index, RAW_TABLES))
        if not all(exists(connection, RAW_SCHEMA, table) for table in needed):
            self.land(raw_rows_source(series=(), events=(), markets=(), candlesticks=()))
            _tune_tables(connection)
        # every time, as the load that made the tables may have been killed before it came to this
        lay_out(connection)


LATE_LOADS_LOOKED_AT = 100
"""How many of the newest loads are looked through for orphans. One would do, as only the last
package of a load can have lost its record, and the next load already looks for it."""

OLDEST_OF_LATE = f"""
select case when count(*) = %(looked_at)s then min(load_id) else '' end
from (
    select load_id from {RAW_SCHEMA}._dlt_loads
    order by inserted_at desc
    limit %(looked_at)s
) as late
"""
"""The least id among the loads that finished last, or an empty text while there are not so many
yet. An index finds them: a job of every minute makes two million loads a year."""


def _index(table: str) -> str:
    return f"idx_{table}_dlt_load_id"


def _tune_tables(connection: Connection) -> None:
    """Give the raw tables an index by load, by which typing finds the rows of new loads; the
    compression lz4, which is quicker than pglz both ways, where the server has it; and settings by
    which rows are frozen when they are first vacuumed: they never change, so they need not be
    written again for that later."""
    # by this index adopt_orphans and coverage find the loads that finished last
    statements = [
        "create index if not exists idx_dlt_loads_inserted_at "
        f"on {RAW_SCHEMA}._dlt_loads (inserted_at)"
    ]
    has_lz4 = (True,) in select(connection, HAS_LZ4)
    for table in RAW_TABLES:
        name = f"{RAW_SCHEMA}.{table}"
        statements += [
            f"create index if not exists {_index(table)} on {name} (_dlt_load_id)",
            f"alter table {name} set ({APPEND_ONLY})",
            *([f"alter table {name} alter column payload set compression lz4"] if has_lz4 else []),
        ]
    execute_all(connection, statements)


HAS_LZ4 = """
select 'lz4' = any(enumvals) from pg_settings
where name = 'default_toast_compression'
"""

APPEND_ONLY = (
    "autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_freeze_min_age = 0, "
    "toast.autovacuum_freeze_min_age = 0"
)


def _credentials(warehouse: Warehouse) -> PostgresCredentials:
    """The connection in dlt's form. dlt insists on a password, also where the server asks for none.
    It makes a URL of all this, in which the folder of a socket can't be the host, so that is given
    in the URL's query."""
    is_socket = warehouse.host.startswith("/")
    credentials = PostgresCredentials()
    credentials.username = warehouse.user
    credentials.password = warehouse.password or "none-needed"
    credentials.host = "localhost" if is_socket else warehouse.host
    credentials.port = warehouse.port
    credentials.database = warehouse.dbname
    # the encoding of texts in our files
    credentials.client_encoding = "utf8"
    credentials.query = {
        **warehouse.parameters,
        "application_name": LOADER,
        **({"host": warehouse.host} if is_socket else {}),
    }
    credentials.resolve()
    return credentials


def _root_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
