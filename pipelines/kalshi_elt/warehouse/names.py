"""Names in the database that several modules use: schemas, tables, roles."""

RAW_SCHEMA = "kalshi_raw"
TYPED_SCHEMA = "kalshi"
OPS_SCHEMA = "kalshi_ops"
RAW_TABLES = ("series", "events", "markets", "candlesticks")
TYPED_TABLES = ("series", "events", "markets", "candles")

LOADER = "kalshi-elt load"
"""The application name of the connections through which dlt lands, by which `ops.lock` finds
them."""

LOADER_ROLE = "kalshi_loader"
TRANSFORMER_ROLE = "kalshi_transformer"
READER_ROLE = "kalshi_reader"
