"""All that knows Postgres: connection, embedded server, client programs, tables, sizes, Citus."""
