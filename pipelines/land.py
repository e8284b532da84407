"""Landing rows in `kalshi_raw` through dlt, and settling what an earlier load left behind."""

from collections.abc import Iterator
from contextlib import contextmanager

import dlt
from dlt.destinations.impl.postgres.configuration import PostgresCredentials
from dlt.extract import DltSource
from dlt.pipeline.exceptions import PipelineStepFailed
from psycopg2.extensions import connection as Connection  # noqa: N812

from pipelines.errors import WarehouseError, first_line
from pipelines.source import kalshi_source
from pipelines.warehouse import RAW_SCHEMA, RAW_TABLES, Warehouse


class Lander:
    """Lands sources in one warehouse, one load package each."""

    def __init__(self, warehouse: Warehouse) -> None:
        warehouse.work_folder.mkdir(parents=True, exist_ok=True)
        self._pipeline = dlt.pipeline(
            pipeline_name="kalshi",
            destination=dlt.destinations.postgres(
                credentials=_credentials(warehouse),
                # a unique index on raw rows would make a repeated package fail for ever
                create_indexes=False,
            ),
            dataset_name=RAW_SCHEMA,
            pipelines_dir=str(warehouse.work_folder),
        )

    def settle(self) -> int:
        """Land what an interrupted load left pending; returns the number of packages.

        dlt ignores new data, and reports success, while a package is pending.
        """
        pending = len(self._pipeline.list_normalized_load_packages())
        with _one_line_errors():
            while self._pipeline.has_pending_data:
                self._pipeline.run()
        return pending

    def adopt_orphans(self, connection: Connection) -> int:
        """Finish loads whose rows are in but of which dlt lost the record; returns how many.

        A load killed together with its working folder leaves committed files under a load id that
        `_dlt_loads` never names. Each of their rows is whole, so they count like any other.
        """
        with connection.cursor() as cursor:
            cursor.execute("select to_regclass(%s) is not null", [f"{RAW_SCHEMA}._dlt_loads"])
            if cursor.fetchone() == (False,):
                return 0
            tables = " union all ".join(
                DISTINCT_LOADS.format(schema=RAW_SCHEMA, table=table)
                for table in RAW_TABLES
                if _exists(connection, table)
            )
            cursor.execute(
                f"""
                insert into {RAW_SCHEMA}._dlt_loads (load_id, schema_name, status, inserted_at)
                select distinct load_id, 'kalshi', 0, now() from ({tables}) as landed
                where load_id is not null
                except
                select load_id, 'kalshi', 0, now() from {RAW_SCHEMA}._dlt_loads
                """
            )
            return cursor.rowcount

    def land(self, source: DltSource) -> None:
        """Land a source as one package. All of its rows are in, or WarehouseError is raised."""
        with _one_line_errors():
            info = self._pipeline.run(source, loader_file_format="csv")
            info.raise_on_failed_jobs()

    def create_tables(self, connection: Connection) -> None:
        """Make the raw tables, with their indexes and compression, unless they are there."""
        if all(_exists(connection, table) for table in RAW_TABLES):
            return
        self.land(kalshi_source(series=(), events=(), markets=(), candlesticks=()))
        _tune_tables(connection)


DISTINCT_LOADS = """
(with recursive loads as (
    select min(_dlt_load_id) as load_id from {schema}.{table}
    union all
    select (select min(_dlt_load_id) from {schema}.{table} where _dlt_load_id > loads.load_id)
    from loads where loads.load_id is not null
) select load_id from loads)
"""
"""The load ids of a table, one index look-up each instead of reading every row."""


def _exists(connection: Connection, table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("select to_regclass(%s) is not null", [f"{RAW_SCHEMA}.{table}"])
        (found,) = cursor.fetchone() or (False,)
    return bool(found)


def _tune_tables(connection: Connection) -> None:
    """An index by load makes typing one load quick; lz4 packs and unpacks faster than pglz."""
    with connection.cursor() as cursor:
        cursor.execute("select 'lz4' = any(enumvals) from pg_settings where name = %s", [TOAST])
        (has_lz4,) = cursor.fetchone() or (False,)
        for table in RAW_TABLES:
            cursor.execute(
                f"create index if not exists idx_{table}_dlt_load_id "
                f"on {RAW_SCHEMA}.{table} (_dlt_load_id)"
            )
            if has_lz4:
                cursor.execute(
                    f"alter table {RAW_SCHEMA}.{table} alter column payload set compression lz4"
                )


TOAST = "default_toast_compression"


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
    credentials.query = {
        **warehouse.parameters,
        **({"host": warehouse.host} if is_socket else {}),
    }
    credentials.resolve()
    return credentials


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except PipelineStepFailed as error:
        raise WarehouseError(
            f"landing failed at dlt's step `{error.step}`: {_root_cause(error)}; what "
            "landed before is kept, and the next load lands the rest"
        ) from error


def _root_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)
