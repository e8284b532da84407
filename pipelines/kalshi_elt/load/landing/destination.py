"""dlt's Postgres destination, which copies our binary files too (copy_file.py)."""

from pathlib import Path
from typing import Final

from dlt.common.destination import PreparedTableSchema
from dlt.common.destination.client import HasFollowupJobs, LoadJob, RunnableLoadJob
from dlt.destinations import postgres
from dlt.destinations.impl.postgres.postgres import PostgresClient
from psycopg2 import sql

from kalshi_elt.load.landing.copy_file import is_binary, read_columns

FORMAT: Final = "csv"
"""What dlt calls a file for COPY; it has no name for binary ones, and knows no other than its
own."""

READ_BYTES = 1 << 18
"""How much is sent at once. Each piece takes Python's lock once; dlt's own are 8 kB."""


class postgres_binary(postgres):  # noqa: N801 - as dlt names its destinations
    """Takes files of `FORMAT` as what they are: ours, or CSV that an earlier version left."""

    @property
    def client_class(self) -> type[PostgresClient]:
        return BinaryCopyClient


class BinaryCopyClient(PostgresClient):
    """Makes our job for our files."""

    def create_load_job(
        self, table: PreparedTableSchema, file_path: str, load_id: str, restore: bool = False
    ) -> LoadJob:
        if file_path.endswith(f".{FORMAT}"):
            with Path(file_path).open("rb") as file:
                if is_binary(file):
                    return BinaryCopyJob(file_path)
        return super().create_load_job(table, file_path, load_id, restore)


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
