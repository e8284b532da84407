"""Files ready for COPY: a line of column names, then rows in Postgres' binary COPY format.

A payload goes into the binary format as it is. In CSV each of its quotes would have to be doubled
here, and found and halved again by the server, which took a quarter of the time of landing on
either side (docs/performance.md).
"""

import struct
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import IO, BinaryIO

Value = str | int | bool | datetime | None

START = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
"""Signature, no flags, no header extension (PostgreSQL documentation, COPY, Binary Format)."""

END = struct.pack("!h", -1)

NULL = struct.pack("!i", -1)

JSONB_VERSION = b"\x01"

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""The moment from which Postgres counts its times, in microseconds."""

_COUNT = struct.Struct("!h")
_LENGTH = struct.Struct("!i")
_BIGINT = struct.Struct("!iq")
_BOOLEAN = struct.Struct("!i?")


def write_columns(file: BinaryIO, names: Iterable[str]) -> None:
    """Write what a file begins with: the line of column names, and COPY's own header."""
    file.write(",".join(names).encode() + b"\n" + START)


def read_columns(file: IO[bytes]) -> list[str]:
    """Read the column names off a file's first line. What follows from there is for COPY."""
    return file.readline().decode().rstrip("\n").split(",")


def is_binary(file: IO[bytes]) -> bool:
    """Whether a file is one of ours, and not CSV, which earlier versions wrote: ours have COPY's
    binary header after the first line. The file must be at its beginning, and is left elsewhere."""
    file.readline()
    return file.read(len(START)) == START


def row(count: int, *fields: bytes) -> bytes:
    """A row of `count` fields. Each of the given texts may be several fields in one."""
    return _COUNT.pack(count) + b"".join(fields)


def field(value: Value) -> bytes:
    """A field of type text, bigint, boolean or timestamptz: its length, then its value.

    A NUL, which text can't hold, becomes U+FFFD.
    """
    if value is None:
        return NULL
    if isinstance(value, str):
        text = value.replace("\x00", "\ufffd").encode()
        return _LENGTH.pack(len(text)) + text
    if isinstance(value, datetime):
        return _BIGINT.pack(8, _microseconds(value))
    if isinstance(value, bool):
        return _BOOLEAN.pack(1, value)
    return _BIGINT.pack(8, value)


def jsonb_field(payload: bytes) -> bytes:
    """A field of type jsonb: its version, then JSON as text, which the server parses."""
    return _LENGTH.pack(len(payload) + 1) + JSONB_VERSION + payload


@lru_cache(maxsize=64)
def _microseconds(moment: datetime) -> int:
    """Microseconds since EPOCH. Kept for some moments, as the rows of an answer share their
    times."""
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
