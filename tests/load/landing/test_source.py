"""Rows as files for COPY."""

import csv
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kalshi_elt.kalshi.records import EventRow, MarketRow, Origin, SeriesRow, WindowRow
from kalshi_elt.kalshi.sanitize import sanitize
from kalshi_elt.load.landing.copy_file import is_binary
from kalshi_elt.load.landing.destination import FORMER_FORMAT
from kalshi_elt.load.landing.lander import Lander
from kalshi_elt.load.landing.source import (
    CANDLESTICKS,
    EVENTS,
    MARKETS,
    NO_TICKER,
    SERIES,
    RawTable,
    raw_rows_source,
    write_rows,
)
from tests.conftest import Project
from tests.support.copy_reader import read_rows
from tests.support.landing import Landing, land, land_through_dlt

FETCHED = datetime(2026, 11, 22, 14, 30, 35, 123_456, tzinfo=UTC)
LOAD = "1795357835.7"


def origin(endpoint: str = "/events") -> Origin:
    return Origin(endpoint, "live", FETCHED)


def written(folder: Path, table: RawTable, rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Rows written and read back: texts, numbers and times as Python's, payloads as bytes."""
    file = folder / "rows"
    expected = list(rows)
    count = write_rows(file, table, iter(expected), LOAD)
    found = read_rows(file, {str(one["name"]): str(one["data_type"]) for one in table.columns})
    assert count == len(expected) == len(found)
    return found


# write_rows


def test_an_event_row_has_its_key_its_payload_and_where_it_came_from(tmp_path: Path) -> None:
    row = EventRow("KXPRESPERSON-28", b'{"title":"Who?"}', origin())

    assert written(tmp_path, EVENTS, [row]) == [
        {
            "event_ticker": "KXPRESPERSON-28",
            "payload": b'{"title":"Who?"}',
            "is_sanitized": False,
            "endpoint": "/events",
            "tier": "live",
            "fetched_at": FETCHED,
            "_dlt_load_id": LOAD,
        }
    ]


def test_a_market_row_has_the_keys_of_market_and_event(tmp_path: Path) -> None:
    row = MarketRow("E-M", "E", b"{}", origin("/events/{event_ticker}"))

    (found,) = written(tmp_path, MARKETS, [row])

    assert (found["market_ticker"], found["event_ticker"]) == ("E-M", "E")
    assert found["endpoint"] == "/events/{event_ticker}"


def test_a_series_row_has_its_own_key_alone(tmp_path: Path) -> None:
    row = SeriesRow("KXPRESPERSON", b'{"ticker":"KXPRESPERSON"}', origin("/series"))

    (found,) = written(tmp_path, SERIES, [row])

    assert found["series_ticker"] == "KXPRESPERSON"
    assert found["payload"] == b'{"ticker":"KXPRESPERSON"}'
    assert found["endpoint"] == "/series"
    assert "event_ticker" not in found


def test_a_row_of_the_historical_tier_says_so(tmp_path: Path) -> None:
    row = MarketRow("E-M", "E", b"{}", Origin("/historical/markets", "historical", FETCHED))

    (found,) = written(tmp_path, MARKETS, [row])

    assert (found["endpoint"], found["tier"]) == ("/historical/markets", "historical")


def test_a_window_row_has_its_interval_and_its_bounds(tmp_path: Path) -> None:
    start = datetime(2026, 11, 21, 14, 30, tzinfo=UTC)
    end = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
    row = WindowRow("E-M", 1440, start, end, b"[]", origin("/markets/candlesticks"))

    (found,) = written(tmp_path, CANDLESTICKS, [row])

    assert found["market_ticker"] == "E-M"
    assert found["interval_min"] == 1440
    assert (found["window_start"], found["window_end"]) == (start, end)
    assert found["payload"] == b"[]"


def test_no_rows_make_a_file_without_rows(tmp_path: Path) -> None:
    assert written(tmp_path, EVENTS, []) == []


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

    assert found["payload"] == payload


def test_a_missing_key_is_null_and_an_empty_text_is_none(tmp_path: Path) -> None:
    rows = [MarketRow("M", None, b"{}", origin()), MarketRow("M", "", b"{}", origin())]

    assert [row["event_ticker"] for row in written(tmp_path, MARKETS, rows)] == [None, ""]


@pytest.mark.parametrize("ticker", [None, ""])
def test_a_market_without_a_ticker_has_an_empty_one(tmp_path: Path, ticker: str | None) -> None:
    """A cluster spreads rows by it, so it can't be NULL."""
    (found,) = written(tmp_path, MARKETS, [MarketRow(ticker, "E", b"{}", origin())])

    assert found["market_ticker"] == NO_TICKER


def test_a_nul_in_a_key_is_replaced_as_text_can_not_hold_it(tmp_path: Path) -> None:
    (found,) = written(tmp_path, EVENTS, [EventRow("A\0B", b"{}", origin())])

    assert found["event_ticker"] == "A\ufffdB"


def test_a_payload_that_had_to_be_changed_is_marked(tmp_path: Path) -> None:
    changed = sanitize(rb'{"t":"a\u0000b"}')
    rows = [EventRow("A", changed, origin()), EventRow("B", rb'{"t":"\u00e9"}', origin())]

    found = written(tmp_path, EVENTS, rows)

    assert [row["is_sanitized"] for row in found] == [True, False]


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
        (market or NO_TICKER, event) for market, event, _, _ in rows
    ]
    assert [row["payload"] for row in found] == payloads


def test_a_full_file_ends_after_the_row_that_filled_it(tmp_path: Path) -> None:
    rows = iter([EventRow(f"E{number}", b"{}", origin()) for number in range(3)])

    counts = [write_rows(tmp_path / "rows", EVENTS, rows, LOAD, 1) for _ in range(4)]

    assert counts == [1, 1, 1, 0]


# The source


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_a_load_of_several_files_has_every_row_once(
    project: Project, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr("kalshi_elt.load.landing.source.FILE_BYTES", 1)

    land_through_dlt(project, Landing(markets=[{"ticker": f"M{number}"} for number in range(rows)]))

    assert project.query("select market_ticker from kalshi_raw.markets order by 1") == [
        (f"M{number}",) for number in range(rows)
    ]
    assert project.query("select count(distinct _dlt_load_id) from kalshi_raw.markets") == [
        (min(rows, 1),)
    ]


def write_csv(
    file: Path, table: RawTable, rows: Iterable[MarketRow], load_id: str, _: float
) -> int:
    """As the first versions wrote market rows: with a header, times and numbers as texts."""
    names = [str(column["name"]) for column in table.columns]
    found = list(rows)
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(names)
        for row in found:
            keys = (row.market_ticker, row.event_ticker, row.payload.decode(), "f")
            source = row.origin
            writer.writerow((*keys, source.endpoint, source.tier, source.fetched_at, load_id))
    return len(found)


@pytest.mark.parametrize(
    "write",
    [pytest.param(write_csv, id="CSV"), pytest.param(write_rows, id="binary with the name of CSV")],
)
def test_a_package_that_an_earlier_version_left_pending_lands(
    project: Project, write: Callable[..., int]
) -> None:
    land(project)
    with (
        patch("kalshi_elt.load.landing.source.FORMAT", FORMER_FORMAT),
        patch("kalshi_elt.load.landing.source.write_rows", write),
        patch("dlt.pipeline.pipeline.Pipeline.load", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        land_through_dlt(project, Landing(markets=[{"ticker": "OLD", "title": 'a "b"'}]))
    (pending,) = project.warehouse().work_folder.rglob("new_jobs/markets.*")
    assert pending.suffix == ".csv"

    assert Lander(project.warehouse()).recover() == 1
    land_through_dlt(project, Landing(markets=[{"ticker": "NEW"}]))

    assert project.query(
        "select market_ticker, payload ->> 'title' from kalshi_raw.markets order by 1"
    ) == [("NEW", None), ("OLD", 'a "b"')]


def test_the_files_of_a_package_are_named_for_what_they_are(project: Project) -> None:
    land(project)
    with (
        patch("dlt.pipeline.pipeline.Pipeline.load", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        land_through_dlt(project, Landing(markets=[{"ticker": "M"}]))

    (pending,) = project.warehouse().work_folder.rglob("new_jobs/markets.*")
    assert pending.suffix == ".pgcopy"
    with pending.open("rb") as file:
        assert is_binary(file)


@pytest.mark.parametrize(
    ("rows", "tables"),
    [
        pytest.param({}, set(), id="nothing"),
        pytest.param({"candlesticks": ()}, {"candlesticks"}, id="candles alone"),
        pytest.param({"events": (), "markets": ()}, {"events", "markets"}, id="events and markets"),
        pytest.param({"series": ()}, {"series"}, id="series alone"),
    ],
)
def test_only_tables_with_rows_given_are_part_of_a_load(
    rows: dict[str, Any], tables: set[str]
) -> None:
    assert set(raw_rows_source(**rows).resources) == tables
