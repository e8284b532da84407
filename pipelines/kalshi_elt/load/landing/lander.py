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
from kalshi_elt.warehouse.queries import exists

PIPELINE = "kalshi"

SCHEMAS = "schemas"
EXTRACTED = Path("normalize", NormalizeStorage.EXTRACTED_FOLDER)
NEW, NORMALIZED, LOADED = (Path("load", name) for name in ("new", "normalized", "loaded"))

REFUSED = "refused"
"""Folder of packages that Postgres refuses."""

FOLDERS = (EXTRACTED, NEW, NORMALIZED, LOADED)
"""What dlt makes at the first start of a pipeline, and misses ever after when that was killed."""


def _mend_folders(working: Path) -> None:
    """Undo what a kill at the wrong moment leaves, and dlt stumbles over ever after."""
    for folder in FOLDERS:
        (working / folder).mkdir(parents=True, exist_ok=True)
    # dlt deletes an extracted package once it has normalized it, file by file; it can't read what
    # is left of one, and can't normalize one again
    for package in (working / EXTRACTED).glob("*/"):
        is_normalized = any((working / to / package.name).exists() for to in (NORMALIZED, LOADED))
        if is_normalized or not (package / "schema.json").exists():
            shutil.rmtree(package)
    # dlt writes a schema under a name without a suffix, then renames it; it reads all it finds
    for file in (working / SCHEMAS).glob("*"):
        if not file.suffix:
            file.unlink()
    # at the first start dlt notes a schema's name before it writes the schema, and never starts
    # again without it; without a state it starts anew
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

        dlt ignores new data, and reports success, while a package is pending.
        """
        pending = len(self._pipeline.list_normalized_load_packages())
        while self._pipeline.has_pending_data:
            self._run(None)
        self._clean()
        return pending

    def _clean(self) -> None:
        """Remove what is of no use any more: files of loads that were killed while they fetched,
        hundreds of MB each, and dlt's notes of packages that landed, ten files each."""
        working = Path(self._pipeline.working_dir)
        shutil.rmtree(working / STAGING, ignore_errors=True)
        for package in (working / LOADED).glob("*/"):
            shutil.rmtree(package, ignore_errors=True)
        # dlt extracts into folders of random names and moves what is whole to this one
        for folder in (working / "normalize").glob("*/"):
            if folder.name != NormalizeStorage.EXTRACTED_FOLDER:
                shutil.rmtree(folder, ignore_errors=True)

    def has_landed(self, connection: Connection) -> bool:
        """Whether the raw schema holds any load; it does not when somebody dropped it."""
        return exists(connection, RAW_SCHEMA, "_dlt_loads")

    def adopt_orphans(self, connection: Connection) -> int:
        """Finish loads whose rows are in but of which dlt lost the record; returns how many.

        A load killed together with its working folder leaves committed files under a load id that
        `_dlt_loads` never names. Each of their rows is whole, so they count like any other.
        """
        tables = [table for table in RAW_TABLES if exists(connection, RAW_SCHEMA, table)]
        if not tables or not self.has_landed(connection):
            return 0
        with connection.cursor() as cursor:
            cursor.execute(OLDEST_OF_LATE, {"looked_at": LATE_LOADS_LOOKED_AT})
            (since,) = cursor.fetchone() or ("",)
            landed = " union ".join(
                f"select _dlt_load_id from {RAW_SCHEMA}.{table} where _dlt_load_id > %(since)s"
                for table in tables
            )
            cursor.execute(
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
            return cursor.rowcount

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
        """Move pending packages aside: one that can never land would block all others."""
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
        # also when the load that made them was killed before
        lay_out(connection)


LATE_LOADS_LOOKED_AT = 100
"""Only the last package of a load can have lost its record, and the next load looks."""

OLDEST_OF_LATE = f"""
select case when count(*) = %(looked_at)s then min(load_id) else '' end
from (
    select load_id from {RAW_SCHEMA}._dlt_loads
    order by inserted_at desc
    limit %(looked_at)s
) as late
"""
"""The least id of the loads that finished last, found by their index: there are two million a year
with a job of every minute. While there are fewer, all are late."""


def _index(table: str) -> str:
    return f"idx_{table}_dlt_load_id"


def _tune_tables(connection: Connection) -> None:
    """An index by load makes typing one load quick; lz4 packs and unpacks faster than pglz. Rows
    are only ever added, so they are frozen when first vacuumed, and never written again."""
    with connection.cursor() as cursor:
        cursor.execute("select 'lz4' = any(enumvals) from pg_settings where name = %s", [TOAST])
        (has_lz4,) = cursor.fetchone() or (False,)
        # by which the loads of late are found
        cursor.execute(
            "create index if not exists idx_dlt_loads_inserted_at "
            f"on {RAW_SCHEMA}._dlt_loads (inserted_at)"
        )
        for table in RAW_TABLES:
            cursor.execute(
                f"create index if not exists {_index(table)} on {RAW_SCHEMA}.{table} (_dlt_load_id)"
            )
            cursor.execute(f"alter table {RAW_SCHEMA}.{table} set ({APPEND_ONLY})")
            if has_lz4:
                cursor.execute(
                    f"alter table {RAW_SCHEMA}.{table} alter column payload set compression lz4"
                )


TOAST = "default_toast_compression"

APPEND_ONLY = (
    "autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_freeze_min_age = 0, "
    "toast.autovacuum_freeze_min_age = 0"
)


def _credentials(warehouse: Warehouse) -> PostgresCredentials:
    """dlt's form of the connection. It insists on a password and reads a socket's folder from the
    query, as a bare folder can't stand where a URL has its host."""
    is_socket = warehouse.host.startswith("/")
    credentials = PostgresCredentials()
    credentials.username = warehouse.user
    credentials.password = warehouse.password or "none-needed"
    credentials.host = "localhost" if is_socket else warehouse.host
    credentials.port = warehouse.port
    credentials.database = warehouse.dbname
    # in which texts stand in the files
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
