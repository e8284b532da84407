"""Files for COPY read back, by the PostgreSQL documentation's description of the binary format."""

import io
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kalshi_elt.load.landing.copy_file import read_columns


def read_rows(file: Path, types: dict[str, str]) -> list[dict[str, Any]]:
    """The rows of a file, by column name. `types` are dlt's types of its columns. Fails when
    something follows after the rows."""
    with file.open("rb") as content:
        assert read_columns(content) == list(types)
        body = io.BytesIO(content.read())
    assert body.read(11) == b"PGCOPY\n\xff\r\n\0"
    assert _number(body, "!ii") == (0, 0)
    rows = []
    while (fields := _number(body, "!h")[0]) != -1:
        assert fields == len(types)
        rows.append({name: _value(body, kind) for name, kind in types.items()})
    assert body.read() == b""
    return rows


def _value(body: io.BytesIO, kind: str) -> Any:
    (length,) = _number(body, "!i")
    if length == -1:
        return None
    value = body.read(length)
    assert len(value) == length
    match kind:
        case "text":
            return value.decode()
        case "json":
            assert value[:1] == b"\x01"
            return value[1:]
        case "bigint":
            return struct.unpack("!q", value)[0]
        case "bool":
            return struct.unpack("!?", value)[0]
        case "timestamp":
            (microseconds,) = struct.unpack("!q", value)
            return datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    raise AssertionError(kind)


def _number(body: io.BytesIO, form: str) -> tuple[int, ...]:
    return struct.unpack(form, body.read(struct.calcsize(form)))
