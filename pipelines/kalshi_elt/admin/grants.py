"""`kalshi-elt grant`: roles that may do no more than they need."""

from pathlib import Path

import psycopg2

from kalshi_elt.base.errors import WarehouseError
from kalshi_elt.ops.lock import hold_lock
from kalshi_elt.warehouse.citus import let_nodes_log_in, server_said
from kalshi_elt.warehouse.connection import Warehouse
from kalshi_elt.warehouse.names import LOADER_ROLE, READER_ROLE, TRANSFORMER_ROLE
from kalshi_elt.warehouse.queries import execute

SCRIPT = Path(__file__).parent / "sql" / "grant.sql"


DONE = f"""\
{LOADER_ROLE} writes kalshi_raw, {TRANSFORMER_ROLE} reads it and writes kalshi, \
{READER_ROLE} reads kalshi and kalshi_ops.
They have no password; give them to users who can log in:
    grant {LOADER_ROLE}, {TRANSFORMER_ROLE} to the_user_of_the_job;
    grant {READER_ROLE} to an_analyst;
What members of the first two load and transform is owned by the roles, so these grants hold for \
all that is made later."""


def grant(warehouse: Warehouse) -> str:
    """Make the roles and give them the rights that they need; returns a text about what to do next.

    Raises WarehouseError when the user who logs in may not do that, BusyError while a load is under
    way.
    """
    with hold_lock(warehouse, wait=False, role=None) as connection:
        try:
            execute(connection, SCRIPT.read_text(encoding="utf-8"))
            let_nodes_log_in(connection)
        except psycopg2.errors.InsufficientPrivilege as error:
            raise WarehouseError(
                f"warehouse {warehouse}: {server_said(error)}: only a superuser, or the owner of "
                "the database with CREATEROLE, can grant"
            ) from error
    return DONE
