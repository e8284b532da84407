"""Values in Postgres' binary COPY format: the server reads each as what it was."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO

import psycopg2
import pytest
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from kalshi_elt.load.landing.copy_file import (
    END,
    Value,
    field,
    is_binary,
    jsonb_field,
    read_columns,
    row,
    write_columns,
)
from tests.conftest import Project

FAR = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.fixture
def cursor(project: Project) -> Iterator[Cursor]:
    connection = psycopg2.connect(project.database_url)
    with connection.cursor() as cursor:
        cursor.execute("set client_encoding to 'utf8'; set timezone to 'UTC'")
        yield cursor
    connection.close()


def copied(cursor: Cursor, kind: str, *fields: bytes) -> list[object]:
    """What the server makes of fields of that type."""
    cursor.execute(f"create temporary table found (number serial, value {kind})")
    file = BytesIO()
    write_columns(file, ["value"])
    file.write(b"".join(row(1, one) for one in fields) + END)
    file.seek(0)
    (name,) = read_columns(file)
    cursor.copy_expert(f"copy found ({name}) from stdin (format binary)", file)
    cursor.execute("select value from found order by number")
    return [value for (value,) in cursor.fetchall()]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        pytest.param("text", ["", "KX-28", 'a "b", c\n\\.', "大統領 🗳️", None, "\\N"], id="text"),
        pytest.param("bigint", [0, -1, 1440, 2**63 - 1, None], id="bigint"),
        pytest.param("boolean", [True, False, None], id="boolean"),
        pytest.param(
            "timestamptz",
            [
                datetime(2026, 11, 22, 14, 30, 35, 123_456, tzinfo=UTC),
                datetime(2000, 1, 1, tzinfo=UTC),
                datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
                datetime(1970, 1, 1, tzinfo=UTC),
                datetime(2026, 3, 8, 2, 30, tzinfo=timezone(timedelta(hours=-5))),
                FAR,
                None,
            ],
            id="timestamptz",
        ),
    ],
)
def test_a_value_is_read_as_it_was(cursor: Cursor, kind: str, values: list[Value]) -> None:
    assert copied(cursor, kind, *map(field, values)) == values


def test_a_nul_becomes_the_replacement_character(cursor: Cursor) -> None:
    assert copied(cursor, "text", field("A\0B")) == ["A\ufffdB"]


def test_a_payload_keeps_the_spelling_of_its_numbers(cursor: Cursor) -> None:
    payload = b'{"a": 0.0600, "b": 12345678901234567890.123456789, "c": "\\u00e9\xc3\xa9"}'

    (found,) = copied(cursor, "jsonb", jsonb_field(payload))

    cursor.execute("select value::text from found")
    assert cursor.fetchall() == [('{"a": 0.0600, "b": 12345678901234567890.123456789, "c": "éé"}',)]
    assert found == {"a": 0.06, "b": 12345678901234567890.123456789, "c": "éé"}


def test_a_payload_that_is_no_json_is_refused_as_data(cursor: Cursor) -> None:
    with pytest.raises(psycopg2.DataError, match="invalid input syntax for type json"):
        copied(cursor, "jsonb", jsonb_field(b"{"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"", False, id="nothing"),
        pytest.param(b"a,b\n", False, id="CSV without rows"),
        pytest.param(b'a,b\n"1","PGCOPY"\n', False, id="CSV"),
        pytest.param(b"a,b\nPGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\xff\xff", True, id="ours"),
    ],
)
def test_our_files_are_told_from_csv(content: bytes, expected: bool) -> None:
    assert is_binary(BytesIO(content)) is expected
