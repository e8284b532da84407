"""Landing rows in `kalshi_raw` through dlt, and settling what an earlier load left behind."""

from collections.abc import Iterator
from contextlib import contextmanager

import dlt
from dlt.destinations.impl.postgres.configuration import PostgresCredentials
from dlt.extract import DltSource
from dlt.pipeline.exceptions import PipelineStepFailed
from psycopg2.extensions import connection as Connection  # noqa: N812

from pipelines.errors import WarehouseError, first_line
from pipelines.warehouse import RAW_SCHEMA, RAW_TABLES, Warehouse


class Lander:
    """Lands sources in one warehouse, one load package each."""

    def __init__(self, warehouse: Warehouse) -> None:
        warehouse.work_folder.mkdir(parents=True, exist_ok=True)
        self._warehouse = warehouse
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

    def land(self, source: DltSource) -> None:
        """Land a source as one package. All of its rows are in, or WarehouseError is raised."""
        with _one_line_errors():
            info = self._pipeline.run(source, loader_file_format="csv")
            info.raise_on_failed_jobs()

    def tune(self) -> None:
        """Index and compress the raw tables, once they exist."""
        with self._warehouse.connect() as connection:
            _tune_tables(connection)


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
