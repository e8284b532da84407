"""dlt's Postgres destination, taught one more file format: ours (copy_file.py).

dlt imports only files whose format it knows, and none of those that it knows is COPY's binary one.
It documents no way to add a format, but it looks each up in two lists of its own, to which ours is
added when this module is imported. What is in a file is thereby said by its name, from the staging
folder to the load package, and a package is read again by it after a kill.
"""

from pathlib import Path
from typing import Final, cast

from dlt.common.data_writers.writers import ALL_WRITERS, FileWriterSpec, ImportFileWriter
from dlt.common.destination import (
    LOADER_FILE_FORMATS,
    DestinationCapabilitiesContext,
    PreparedTableSchema,
    TLoaderFileFormat,
)
from dlt.common.destination.client import HasFollowupJobs, LoadJob, RunnableLoadJob
from dlt.common.normalizers.naming import NamingConvention
from dlt.destinations import postgres
from dlt.destinations.impl.postgres.configuration import PostgresClientConfiguration
from dlt.destinations.impl.postgres.postgres import PostgresClient
from psycopg2 import sql

from kalshi_elt.load.landing.copy_file import is_binary, read_columns

FORMAT: Final = cast(TLoaderFileFormat, "pgcopy")
"""What dlt calls our files, and what their names end with."""

FORMER_FORMAT: Final = "csv"
"""What they were called up to 2026-11-28, when dlt's lists were left as they are; before 2026-11-27
files of that name were CSV indeed. Packages of both kinds may still be pending."""

READ_BYTES = 1 << 18
"""How much is sent at once. Each piece takes Python's lock once; dlt's own are 8 kB."""


class CopyFileWriter(ImportFileWriter):
    """Says what dlt has to know of a format: its name and suffix. It writes nothing itself."""

    @classmethod
    def writer_spec(cls) -> FileWriterSpec:
        return FileWriterSpec(
            FORMAT,
            # dlt looks up importable formats among those of writers for Python objects
            "object",
            file_extension=FORMAT,
            is_binary_format=True,
            supports_schema_changes="False",
        )


LOADER_FILE_FORMATS.add(FORMAT)
ALL_WRITERS.append(CopyFileWriter)


class postgres_binary(postgres):  # noqa: N801 - as dlt names its destinations
    """Takes files of FORMAT besides all that dlt's own Postgres destination takes."""

    def _raw_capabilities(self) -> DestinationCapabilitiesContext:
        capabilities = super()._raw_capabilities()
        capabilities.supported_loader_file_formats = [
            *(capabilities.supported_loader_file_formats or ()),
            FORMAT,
        ]
        return capabilities

    def capabilities(
        self,
        config: PostgresClientConfiguration | None = None,
        naming: NamingConvention | None = None,
    ) -> DestinationCapabilitiesContext:
        """Where no configuration is given, dlt looks one up in a hundred places. It does so some
        twenty times for each package, a fifth of the time that a small one takes, and in vain:
        nothing of what Postgres can do depends on it."""
        return super().capabilities(self.spec() if config is None else config, naming)

    @property
    def client_class(self) -> type[PostgresClient]:
        return BinaryCopyClient


class BinaryCopyClient(PostgresClient):
    """Makes our job for our files, whichever name they have."""

    def create_load_job(
        self, table: PreparedTableSchema, file_path: str, load_id: str, restore: bool = False
    ) -> LoadJob:
        if _is_ours(Path(file_path)):
            return BinaryCopyJob(file_path)
        return super().create_load_job(table, file_path, load_id, restore)


def _is_ours(path: Path) -> bool:
    suffix = path.suffix.removeprefix(".")
    if suffix != FORMER_FORMAT:
        return suffix == FORMAT
    with path.open("rb") as file:
        return is_binary(file)


class BinaryCopyJob(RunnableLoadJob, HasFollowupJobs):
    """COPY of one file, in one transaction."""

    _job_client: PostgresClient

    def run(self) -> None:
        client = self._job_client.sql_client
        with Path(self._file_path).open("rb") as file:
            statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(
                sql.SQL(client.make_qualified_table_name(self.load_table_name)),
                sql.SQL(", ").join(map(sql.Identifier, read_columns(file))),
            )
            with client.begin_transaction(), client.native_connection.cursor() as cursor:
                cursor.copy_expert(statement, file, READ_BYTES)
