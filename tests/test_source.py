"""Rows as CSV for COPY, and payloads that jsonb takes."""

import csv
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.records import EventRow, MarketRow, Origin, WindowRow
from pipelines.sanitize import is_sanitized, sanitize
from pipelines.source import CANDLESTICKS, EVENTS, MARKETS, RawTable, kalshi_source, write_csv

FETCHED = datetime(2026, 11, 22, 14, 30, 35, 123_456, tzinfo=UTC)
LOAD = "1795357835.7"


def origin(endpoint: str = "/events") -> Origin:
    return Origin(endpoint, "live", FETCHED)


def written(folder: Path, table: RawTable, rows: Iterable[Any]) -> list[dict[str, str]]:
    """Rows written and read back with Python's own CSV reader."""
    file = folder / "rows.csv"
    expected = list(rows)
    count = write_csv(file, table, iter(expected), LOAD)
    with file.open(encoding="utf-8", newline="") as lines:
        found = list(csv.DictReader(lines, strict=True))
    assert count == len(expected) == len(found)
    return found


# write_csv


def test_an_event_row_has_its_key_its_payload_and_where_it_came_from(tmp_path: Path) -> None:
    row = EventRow("KXPRESPERSON-28", b'{"title":"Who?"}', origin())

    assert written(tmp_path, EVENTS, [row]) == [
        {
            "event_ticker": "KXPRESPERSON-28",
            "payload": '{"title":"Who?"}',
            "is_sanitized": "f",
            "endpoint": "/events",
            "tier": "live",
            "fetched_at": "2026-11-22T14:30:35.123456+00:00",
            "_dlt_load_id": LOAD,
        }
    ]


def test_a_market_row_has_the_keys_of_market_and_event(tmp_path: Path) -> None:
    row = MarketRow("E-M", "E", b"{}", origin("/events/{event_ticker}"))

    (found,) = written(tmp_path, MARKETS, [row])

    assert (found["market_ticker"], found["event_ticker"]) == ("E-M", "E")
    assert found["endpoint"] == "/events/{event_ticker}"


def test_a_window_row_has_its_interval_and_its_bounds(tmp_path: Path) -> None:
    start = datetime(2026, 11, 21, 14, 30, tzinfo=UTC)
    end = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
    row = WindowRow("E-M", 1440, start, end, b"[]", origin("/markets/candlesticks"))

    (found,) = written(tmp_path, CANDLESTICKS, [row])

    assert found["market_ticker"] == "E-M"
    assert found["interval_min"] == "1440"
    assert datetime.fromisoformat(found["window_start"]) == start
    assert datetime.fromisoformat(found["window_end"]) == end
    assert found["payload"] == "[]"


def test_no_rows_make_a_file_with_a_header_alone(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"

    assert write_csv(file, EVENTS, [], LOAD) == 0

    columns = [str(column["name"]) for column in EVENTS.columns]
    assert file.read_text() == ",".join(columns) + "\n"


TEXTS = [
    pytest.param('say "hi"', id="quotes"),
    pytest.param('"', id="a quote alone"),
    pytest.param("a,b;c", id="commas"),
    pytest.param("two\nlines", id="line feed"),
    pytest.param("two\r\nlines", id="carriage return"),
    pytest.param(" a\t", id="blanks at both ends"),
    pytest.param("Bodø/Glimt\u2013José\u2019s 5°", id="letters of Europe"),
    pytest.param("大統領選挙 🗳️", id="letters beyond"),
    pytest.param("\\.", id="COPY's end of data"),
    pytest.param("\\N", id="COPY's NULL in text format"),
    pytest.param("back\\slash", id="backslash"),
    pytest.param("NULL", id="the word NULL"),
]


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_comes_back_as_it_went_in(tmp_path: Path, text: str) -> None:
    payload = json.dumps({"text": text}, ensure_ascii=False).encode()
    rows = [MarketRow(text, text, payload, origin(text)), MarketRow("M", "E", b"{}", origin())]

    first, second = written(tmp_path, MARKETS, rows)

    assert first["market_ticker"] == first["event_ticker"] == first["endpoint"] == text
    assert json.loads(first["payload"]) == {"text": text}
    assert second["market_ticker"] == "M"


def test_a_payload_of_several_lines_stays_one_row(tmp_path: Path) -> None:
    payload = b'{\n  "a": [\n    1,\r\n    "x, \\"y\\""\n  ]\n}'

    (found,) = written(tmp_path, EVENTS, [EventRow("E", payload, origin())])

    assert found["payload"].encode() == payload


def test_a_missing_key_is_an_empty_field_and_an_empty_text_a_quoted_one(tmp_path: Path) -> None:
    """Only the first is NULL to COPY, which Python's reader can't tell apart."""
    file = tmp_path / "rows.csv"
    rows = [MarketRow(None, None, b"{}", origin()), MarketRow("", None, b"{}", origin())]

    write_csv(file, MARKETS, rows, LOAD)

    _, missing, empty = file.read_bytes().splitlines()
    assert missing.startswith(b',,"{}",')
    assert empty.startswith(b'"",,"{}",')


def test_a_nul_in_a_key_is_replaced_as_text_can_not_hold_it(tmp_path: Path) -> None:
    (found,) = written(tmp_path, EVENTS, [EventRow("A\0B", b"{}", origin())])

    assert found["event_ticker"] == "A\ufffdB"


def test_a_payload_that_had_to_be_changed_is_marked(tmp_path: Path) -> None:
    changed = sanitize(rb'{"t":"a\u0000b"}')
    rows = [EventRow("A", changed, origin()), EventRow("B", rb'{"t":"\u00e9"}', origin())]

    found = written(tmp_path, EVENTS, rows)

    assert [row["is_sanitized"] for row in found] == ["t", "f"]


keys = st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # each example writes it anew
)
@given(rows=st.lists(st.tuples(keys, keys, st.text(), st.text()), max_size=8))
def test_whatever_the_rows_they_come_back(
    tmp_path: Path,
    rows: list[tuple[str | None, str | None, str, str]],
) -> None:
    payloads = [
        json.dumps([one, two], ensure_ascii=index % 2 == 0).encode()
        for index, (_, _, one, two) in enumerate(rows)
    ]
    found = written(
        tmp_path,
        MARKETS,
        [
            MarketRow(market, event, payload, origin())
            for (market, event, _, _), payload in zip(rows, payloads, strict=True)
        ],
    )

    assert [(row["market_ticker"], row["event_ticker"]) for row in found] == [
        (market or "", event or "") for market, event, _, _ in rows
    ]
    assert [row["payload"].encode() for row in found] == payloads


# sanitize


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param(rb'"\u0000"', rb'"\uFFFD"', id="NUL alone"),
        pytest.param(rb'"a\u0000b"', rb'"a\uFFFDb"', id="NUL within"),
        pytest.param(rb'"\u0000\u0000\u0000"', rb'"\uFFFD\uFFFD\uFFFD"', id="several NULs"),
        pytest.param(rb'{"\u0000":1}', rb'{"\uFFFD":1}', id="NUL in a key"),
        pytest.param(rb'"\\\u0000"', rb'"\\\uFFFD"', id="backslash, then NUL"),
        pytest.param(rb'"\\\\\u0000"', rb'"\\\\\uFFFD"', id="two backslashes, then NUL"),
        pytest.param(rb'"\n\u0000"', rb'"\n\uFFFD"', id="line feed, then NUL"),
        pytest.param(rb'"\ud83d"', rb'"\uFFFD"', id="high surrogate alone"),
        pytest.param(rb'"\ude00"', rb'"\uFFFD"', id="low surrogate alone"),
        pytest.param(rb'"\uD83D\n"', rb'"\uFFFD\n"', id="upper case, then another escape"),
        pytest.param(rb'"\ude00\ud83d"', rb'"\uFFFD\uFFFD"', id="surrogates in wrong order"),
        pytest.param(
            rb'"\ud83d\ud83d\ude00"', rb'"\uFFFD\ud83d\ude00"', id="high surrogate before a pair"
        ),
        pytest.param(
            rb'"\ud83d\ude00\ude00"', rb'"\ud83d\ude00\uFFFD"', id="low surrogate after a pair"
        ),
        pytest.param(
            rb'"\ud83d\\ude00"', rb'"\uFFFD\\ude00"', id="high surrogate before a backslash"
        ),
    ],
)
def test_what_jsonb_refuses_is_replaced(payload: bytes, expected: bytes) -> None:
    clean = sanitize(payload)

    assert clean == expected
    assert is_sanitized(clean)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"[]", id="no text"),
        pytest.param(b'{"a":"4.9"}', id="no escape"),
        pytest.param('"José 🗳"'.encode(), id="letters not escaped"),
        pytest.param(rb'"\"\\\/\b\f\n\r\t"', id="short escapes"),
        pytest.param(rb'"\u00e9\u0001\uffff"', id="other letters"),
        pytest.param(rb'"\\u0000"', id="escaped backslash before u0000"),
        pytest.param(rb'"\\\\u0000"', id="two escaped backslashes before u0000"),
        pytest.param(rb'"\\ud83d"', id="escaped backslash before ud83d"),
        pytest.param(rb'"\ud83d\ude00"', id="a pair"),
        pytest.param(rb'"\uD83D\uDE00\ud83d\ude00"', id="pairs"),
        pytest.param(rb'"\\\ud83d\ude00"', id="escaped backslash before a pair"),
        pytest.param(rb'"\udbff\udfff\ud800\udc00"', id="the last pair and the first"),
        pytest.param(rb'"\ud7ff\ue000"', id="letters beside the surrogates"),
        pytest.param(rb'"\ufffd"', id="U+FFFD that Kalshi sent, as a writer spells it"),
        pytest.param('"\ufffd"'.encode(), id="U+FFFD that Kalshi sent, not escaped"),
    ],
)
def test_what_jsonb_takes_is_left_alone(payload: bytes) -> None:
    assert sanitize(payload) == payload
    assert not is_sanitized(payload)


def test_text_that_looks_like_a_replacement_is_none() -> None:
    payload = json.dumps(r"the escape \uFFFD").encode()

    assert sanitize(payload) == payload
    assert not is_sanitized(payload)


def test_a_payload_without_escapes_is_not_even_copied() -> None:
    payload = b'{"end_period_ts":1795357800,"volume_fp":"4.00"}'

    assert sanitize(payload) is payload


def documents(text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """JSON values of any depth whose texts and keys are made by `text`."""
    plain = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | text
    )
    return st.recursive(
        plain,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
        max_leaves=12,
    )


pieces = st.sampled_from(["\\", "\\\\", "u0000", "\\u0000", "ud83d", "\\ud83d", "ude00", "😀", "é"])
"""What looks like the escapes in question but is none: in JSON each backslash is escaped."""

letters = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
good_texts = st.lists(pieces | letters, max_size=5).map("".join)

surrogates = st.sampled_from(["\ud83d", "\udbff", "\ud800", "\ude00", "\udc00", "\udfff"])
bad_texts = st.lists(pieces | surrogates | st.just("\0") | letters, max_size=7).map("".join)


@settings(deadline=None)
@given(value=documents(good_texts), is_escaped=st.booleans())
def test_no_json_without_nul_and_lone_surrogates_is_changed(value: Any, is_escaped: bool) -> None:
    payload = json.dumps(value, ensure_ascii=is_escaped).encode()

    assert sanitize(payload) == payload
    assert not is_sanitized(payload)


@settings(deadline=None)
@given(value=documents(bad_texts))
def test_the_result_is_json_that_any_strict_reader_takes(value: Any) -> None:
    payload = json.dumps(value).encode()

    clean = sanitize(payload)

    # msgspec refuses lone surrogates, as jsonb does
    msgspec.json.decode(clean)
    assert rb"\u0000" not in clean.replace(rb"\\", b"")
    assert is_sanitized(clean) == (clean != payload)
    assert sanitize(clean) == clean


@settings(deadline=None)
@given(text=bad_texts)
def test_every_other_letter_of_a_text_is_kept(text: str) -> None:
    in_utf_16 = text.replace("\0", "\ufffd").encode("utf-16-le", "surrogatepass")
    expected = in_utf_16.decode("utf-16-le", "replace")

    clean = sanitize(json.dumps(text).encode())

    assert json.loads(clean) == expected


# The source


@pytest.mark.parametrize(
    ("rows", "tables"),
    [
        pytest.param({}, set(), id="nothing"),
        pytest.param({"candlesticks": ()}, {"candlesticks"}, id="candles alone"),
        pytest.param({"events": (), "markets": ()}, {"events", "markets"}, id="events and markets"),
    ],
)
def test_only_tables_with_rows_given_are_part_of_a_load(
    rows: dict[str, Any], tables: set[str]
) -> None:
    assert set(kalshi_source(**rows).resources) == tables
