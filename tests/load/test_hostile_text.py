"""Everything from the API is data: no text breaks a statement, a path, a terminal or a page."""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from kalshi_elt.base.problems import Problem
from kalshi_elt.base.text import LONGEST_MESSAGE, visible
from kalshi_elt.cli.main import main
from kalshi_elt.kalshi.endpoints import (
    fetch_candles,
    fetch_named_events,
    fetch_named_markets,
    fetch_series,
    list_events,
)
from kalshi_elt.kalshi.records import (
    HISTORICAL,
    LIVE,
    Listing,
    MarketFound,
    WindowRow,
    unix_seconds,
)
from kalshi_elt.kalshi.request_plan import MAX_SINGLE_PERIODS, CandleRequest, Window, plan_requests
from kalshi_elt.kalshi.sanitize import DEEPEST, flatten, is_sanitized
from kalshi_elt.load.progress import Log
from simulator import Exchange, Simulator
from tests.conftest import Project
from tests.kalshi.test_client import client, http, scripted
from tests.support.landing import Landing, candle, event, land, market
from tests.support.landing import Window as LandedWindow

pytestmark = pytest.mark.one_server

QUOTES = "it's \"quoted\" \\ back\\\\slashed \\' %s %(a)s $1 $$ -- ; /* */ `"
JINJA = "{{ 7 * 7 }} {% raw %} {# #} ${HOME} #{1}"
TERMINAL = (
    "\x1b[2J\x1b]0;pwned\x07 line\nbreak\r\ttab \u202egnp.exe\u202c \u2066zero\u200bwidth\u2069"
)
MARKUP = "<script>alert(1)</script> <!-- </style> &amp;"
HOSTILE = f"{QUOTES} {JINJA} {TERMINAL} {MARKUP} \U0001f600"
TEN_MB = "a very long rule. " * 600_000

SERIES, EVENT = "KXSERIES", "KX'S\"ER\\IES-{{ 1 }}"
MARKETS = [
    f"{EVENT}-{suffix}"
    for suffix in ("'; drop table x; --", "%s\\", "\u202eRTL", "../../etc", "1,2", "\u202e" * 450)
]
"""The last two fit no list of tickers: one has a comma, one is 4 kB long in an address."""


NO_TESTS = {"DBT_RESOURCE_TYPES": "model"}
"""dbt builds models, and tests no data."""

BUILD = ("dbt", "run", "-s", "+candles", "+market_history", "+rejects")


def hostile_exchange() -> Exchange:
    """The seed's event with other keys and texts."""
    plain = Exchange.demo(events=0, seed_era="live")
    (series,), (question,) = plain.series.values(), plain.events.values()
    one = next(iter(plain.markets.values()))
    texts = dict.fromkeys(("title", "yes_sub_title", "no_sub_title", "subtitle"), HOSTILE)
    return Exchange(
        [replace(series, ticker=SERIES, title=HOSTILE, category=HOSTILE)],
        [replace(question, event_ticker=EVENT, series_ticker=SERIES, title=HOSTILE, era="live")],
        [
            replace(
                one,
                ticker=ticker,
                event_ticker=EVENT,
                series_ticker=SERIES,
                rules_primary=TEN_MB if number == 0 else HOSTILE,
                rules_secondary="NUL \x00 here",
                custom_strike={HOSTILE: HOSTILE},
                **texts,
            )
            for number, ticker in enumerate(MARKETS)
        ],
    )


@pytest.fixture
def project(raw_project: Project) -> Project:
    """Quicker to load into than one without tables, and no different."""
    return raw_project


@pytest.fixture
def hostile(project: Project) -> Iterator[Project]:
    with Simulator(hostile_exchange()) as simulator:
        yield Project(project.database_url, simulator, project.work)


def test_hostile_texts_land_and_are_typed_as_they_are(hostile: Project) -> None:
    """Twice, so that what is typed already is asked for by key, too."""
    for _ in range(2):
        loaded = hostile.must("load", "--event", EVENT, "--since", "1h", "--again")
        typed = hostile.must("transform", **NO_TESTS)
        assert_harmless(loaded.out + loaded.err + typed.out + typed.err)

    assert hostile.query("select event_ticker, series_ticker, title from kalshi.events") == [
        (EVENT, SERIES, HOSTILE)
    ]
    rows = hostile.query(
        "select market_ticker, title, yes_sub_title, rules_primary, rules_secondary, custom_strike "
        "from kalshi.markets"
    )
    assert sorted(rows) == sorted(
        (
            *(ticker, HOSTILE, HOSTILE, TEN_MB if number == 0 else HOSTILE),
            *("NUL \ufffd here", {HOSTILE: HOSTILE}),
        )
        for number, ticker in enumerate(MARKETS)
    )
    assert hostile.query("select distinct is_sanitized from kalshi_raw.markets") == [(True,)]
    assert_all_have_candles(hostile)
    assert hostile.query("select count(*) from kalshi.rejects") == [(0,)]


def assert_harmless(said: str) -> None:
    """Nothing but printable characters and the ends of lines."""
    assert said.replace("\n", "").isprintable()


def assert_all_have_candles(project: Project) -> None:
    found = project.query("select distinct market_ticker from kalshi.candles")
    assert sorted(found) == sorted((ticker,) for ticker in MARKETS)


def test_hostile_keys_of_late_parents_are_taken_up(hostile: Project) -> None:
    """Their keys become literals in the statements of the next build."""
    hostile.must("load", "--event", EVENT, "--since", "1h")
    events = hostile.query("delete from kalshi_raw.events returning to_jsonb(events)::text")
    hostile.must("transform", **NO_TESTS)
    assert hostile.query("select count(*) from kalshi.markets") == [(0,)]
    assert hostile.query("select count(*) > 0 from kalshi_ops.waiting") == [(True,)]
    for (row,) in events:
        hostile.query(
            "insert into kalshi_raw.events select * from "
            "jsonb_populate_record(null::kalshi_raw.events, %s::jsonb || %s::jsonb)",
            *(row, '{"_dlt_load_id": "late"}'),
        )
    hostile.query(
        "insert into kalshi_raw._dlt_loads (load_id, status, inserted_at) values ('late', 0, now())"
    )

    hostile.must("transform", **NO_TESTS, DBT_LOG_LEVEL_FILE="debug")

    assert hostile.query("select count(*) from kalshi.markets") == [(len(MARKETS),)]
    assert_all_have_candles(hostile)
    assert hostile.query("select count(*) from kalshi.rejects") == [(0,)]
    assert "\u202e" not in (hostile.work / "logs" / "dbt.log").read_text()


def test_keys_that_look_like_something_else_are_taken_up_like_any(project: Project) -> None:
    """dbt guesses the types of what it reads; such keys wait, are rejected, and come late."""
    tickers = ["null", "NULL", "true", "1.0", " ", "\\", "'", "\\'", "\t", "é😀"]
    rows = sorted((ticker,) for ticker in tickers)
    land(
        project,
        Landing(
            minute=2,
            events=[event("X")],
            markets=[market(ticker, ticker) for ticker in tickers],
            windows=[LandedWindow(ticker, [candle(1)]) for ticker in tickers],
        ),
    )
    project.must(*BUILD)
    assert project.query("select count(*) from kalshi.rejects") == [(2 * len(tickers),)]

    land(project, Landing(minute=3, events=[event(ticker) for ticker in tickers]))
    project.must(*BUILD)
    earlier = [market(ticker, ticker, status="initialized") for ticker in tickers]
    land(project, Landing(minute=1, markets=earlier))
    project.must(*BUILD)

    assert sorted(project.query("select market_ticker from kalshi.candles")) == rows
    history = "select market_ticker from kalshi.market_history where status = %s"
    assert sorted(project.query(history, "initialized")) == rows
    assert sorted(project.query(history, "active")) == rows
    assert project.query("select count(*) from kalshi.rejects") == [(0,)]


def test_a_backslash_ends_no_literal_whatever_the_server_takes_it_for(project: Project) -> None:
    database = project.database_url.rpartition("/")[2]
    project.query(f"alter database {database} set standard_conforming_strings = off")
    ticker = "\\'; drop table kalshi.events cascade; --"
    for number in (1, 2):
        land(
            project,
            Landing(
                minute=number,
                events=[event(f"E{number}")],
                markets=[market(ticker, "LATER")],
                windows=[LandedWindow(ticker, [candle(number)])],
            ),
        )
        project.must(*BUILD)

    assert project.query("select count(*) from kalshi.events") == [(2,)]


def test_what_a_person_sees_of_hostile_keys_is_harmless(hostile: Project) -> None:
    fault = hostile.simulator.faults.add("server_error", path="/markets/candlesticks")

    result = hostile.run("load", "--event", EVENT, "--since", "1h", SOURCES__KALSHI__ATTEMPTS="1")

    hostile.simulator.faults.remove(fault)
    assert result.status == 1
    assert "\\u202eRTL" in result.err
    assert_harmless(result.out + result.err)
    job = hostile.must("run", "--event", EVENT, **NO_TESTS)
    assert_harmless(job.out + job.err + hostile.must("status").out)
    # the docs show nothing of the data
    hostile.must("docs")
    page = (hostile.target / "docs" / "index.html").read_text()
    assert "alert(1)" not in page and "pwned" not in page


# Keys that no index can hold


def test_a_key_that_no_index_can_hold_is_a_reject(project: Project) -> None:
    long = "X" * 10_000_000
    markets = [market("M"), market(long), market("S", status=long), market("F", **{long: 1})]
    land(project, Landing(events=[event()], markets=markets))

    project.must(*BUILD)

    assert project.query("select market_ticker from kalshi.markets order by 1") == [("F",), ("M",)]
    assert project.query(
        "select left(reason, 10), right(reason, 22) from kalshi.rejects order by 1"
    ) == [
        ('status: "X', "re than 500 characters"),
        ('ticker: "X', " is too long for a key"),
    ]


# Paths and lists of tickers


@pytest.fixture
def hostile_simulator() -> Iterator[Simulator]:
    with Simulator(hostile_exchange()) as simulator:
        yield simulator


@pytest.mark.parametrize("ticker", [".", ".."])
def test_a_name_that_leads_elsewhere_is_refused_and_costs_no_other(
    hostile_simulator: Simulator, ticker: str
) -> None:
    """An HTTP client makes /events of /events/x/.. before it asks."""
    api = client(hostile_simulator.url)

    event_outcomes = list(fetch_named_events(api, [ticker, EVENT]))
    series_outcomes = list(fetch_series(api, [ticker, SERIES], most_single=5))
    request = CandleRequest((ticker,), 0, 600, 1, HISTORICAL)
    (candles,) = fetch_candles(api, request)

    assert {type(outcome) for outcome in event_outcomes} == {Listing, Problem}
    refused, row = series_outcomes
    for problem in (refused, candles):
        assert isinstance(problem, Problem) and "can't be asked for" in str(problem)
    assert not isinstance(row, Problem) and row.series_ticker == SERIES
    asked = {request.path for request in hostile_simulator.requests}
    assert asked == {"/events", f"/series/{SERIES}"}


def test_a_series_that_is_refused_costs_no_other(hostile_simulator: Simulator) -> None:
    hostile_simulator.faults.add("server_error", path="/series/BAD")
    api = client(hostile_simulator.url)

    refused, row = fetch_series(api, ["BAD", SERIES], most_single=5)

    assert isinstance(refused, Problem)
    assert not isinstance(row, Problem)


def test_a_ticker_with_a_comma_is_asked_for_by_itself_and_asks_for_no_other() -> None:
    plain = Exchange.demo(events=0, seed_era="live")
    one, two, *_ = plain.markets.values()
    comma = f"{one.ticker},{two.ticker}"
    plain.add_market(replace(one, ticker=comma, pace="lively"))
    now = int(plain.clock())
    with Simulator(plain) as simulator:
        api = client(simulator.url)
        (found,) = fetch_named_markets(api, [comma])
        assert list(fetch_named_markets(api, [comma], tier=HISTORICAL)) == []
        (window,) = fetch_candles(api, CandleRequest((comma,), now - 3_600, now, 1))
        (gone,) = fetch_candles(api, CandleRequest((f"{comma},X",), now - 3_600, now, 1))
        asked = [request.path for request in simulator.requests]

    assert isinstance(found, MarketFound) and found.row.market_ticker == comma
    assert isinstance(window, WindowRow) and (window.market_ticker, window.origin.tier) == (
        comma,
        LIVE,
    )
    expected = plain.candles(comma, 1, now - 3_599, now)
    assert len(json.loads(window.payload)) == len(expected) > 0
    assert isinstance(gone, Problem) and gone.missing == f"{comma},X"
    assert all("%2C" in path for path in asked)


def test_only_what_fits_a_list_shares_requests() -> None:
    """An address of 50 kB would be refused, and with it all that are asked for beside."""
    odd = ["A,B", "L" * 76, "\u202e" * 9]
    windows = [Window(ticker, 0, 600, 0, 600) for ticker in ("A", *odd, "B", "L" * 75)]

    plan = plan_requests(windows, 1)

    assert [(request.tickers, request.tier) for request in plan] == [
        (("A", "B", "L" * 75), LIVE),
        *(((ticker,), LIVE) for ticker in odd),
    ]


def test_what_is_asked_for_by_itself_keeps_to_the_cap_for_one_market() -> None:
    half = 60 * MAX_SINGLE_PERIODS

    plan = plan_requests([Window("A,B", 0, 2 * half, 0, 2 * half)], 1)

    assert [(request.start, request.end) for request in plan] == [(0, half), (half, 2 * half)]


# Deep nesting


def nested(levels: int, inner: str = "1") -> bytes:
    return ("[" * levels + inner + "]" * levels).encode()


def test_what_is_nested_too_deep_is_replaced_and_the_rest_is_kept() -> None:
    body = b'{"events":[{"title":"a","deep":' + nested(5_000) + b'},{"title":"]["}]}'

    with scripted(http("200 OK", body)) as server:
        answer = client(server.url).get("/events", {}, dict)

    first, second = answer["events"]
    assert (first["title"], second["title"]) == ("a", "][")
    deep = first["deep"]
    for _ in range(DEEPEST - 3):
        (deep,) = deep
    assert deep == "\ufffd"


def test_only_the_row_that_was_cut_says_so() -> None:
    body = b'{"events":[{"event_ticker":"A","deep":' + nested(5_000) + b'},{"event_ticker":"B"}]}'

    with scripted(http("200 OK", body)) as server:
        found = [one for one in list_events(client(server.url), {}) if isinstance(one, Listing)]

    rows = [listing.event for listing in found if listing.event]
    assert [(row.event_ticker, is_sanitized(row.payload)) for row in rows] == [
        ("A", True),
        ("B", False),
    ]


def test_what_is_not_cut_is_typed(project: Project) -> None:
    deep: Any = {}
    for _ in range(400):
        deep = {"deeper": [deep]}
    land(project, Landing(events=[event()], markets=[market(custom_strike=deep)]))

    project.must("dbt", "run", "-s", "+markets")

    assert project.query("select custom_strike from kalshi.markets") == [(deep,)]


@pytest.mark.parametrize("levels", [1, DEEPEST - 1, DEEPEST])
def test_what_is_not_too_deep_stays_as_it_is(levels: int) -> None:
    body = nested(levels, '"[[[ \\" ]]] {"')

    assert flatten(body) == body


def test_a_hundred_thousand_levels_take_no_time() -> None:
    started = time.monotonic()

    assert json.loads(flatten(nested(100_000)))
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("tail", ['"' + '\\"' * 2_000_000, '"' + "x" * 4_000_000, "]}" * 2_000_000])
def test_an_answer_that_was_cut_takes_no_time_either(tail: str) -> None:
    started = time.monotonic()

    flatten(b"[" * 2_000 + tail.encode())
    assert time.monotonic() - started < 5


# What else a text can do


def test_a_replacement_in_the_name_of_a_field_is_told_too() -> None:
    body = b'{"events":[{"event_ticker":"E","a\\u0000b":"\xef\xbf\xbd","markets":[]}]}'

    with scripted(http("200 OK", body)) as server:
        (found,) = list_events(client(server.url), {})

    assert isinstance(found, Listing) and found.event
    assert is_sanitized(found.event.payload)
    assert json.loads(found.event.payload) == {"event_ticker": "E", "a\ufffdb": "\ufffd"}


def test_a_replacement_character_of_kalshi_s_own_is_none() -> None:
    body = b'{"events":[{"a\xef\xbf\xbd":"\xef\xbf\xbd"}]}'

    with scripted(http("200 OK", body)) as server:
        (found,) = list_events(client(server.url), {})

    assert isinstance(found, Listing) and found.event
    assert not is_sanitized(found.event.payload)


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-14:00", "0002-01-01T00:00:00+14:00"])
def test_a_time_at_the_end_of_time_is_one_that_postgres_and_python_know(text: str) -> None:
    seconds = unix_seconds(text)

    assert seconds is not None
    assert datetime.fromtimestamp(seconds, UTC)


# What is shown


@pytest.mark.parametrize("arguments", [["status"], ["status", "--verbose"]])
def test_an_unexpected_error_is_harmless_too(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Errors of libraries quote what they choke on."""

    def choke(argv: object) -> argparse.Namespace:
        raise RuntimeError(TERMINAL)

    monkeypatch.setattr("kalshi_elt.cli.main.parse", choke)

    assert main(arguments) == 1

    said = capsys.readouterr().err
    assert "\\x1b[2J" in said
    assert_harmless(said)


def test_a_line_of_progress_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    for log_format in ("text", "json"):
        Log(log_format).say(HOSTILE, ticker=HOSTILE)

    lines = capsys.readouterr().err
    assert len(lines.splitlines()) == 2
    assert_harmless(lines)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("KXPRESPERSON-28: Größe 100 % — €", "KXPRESPERSON-28: Größe 100 % — €"),
        ("two\nlines\r\t", "two\\nlines\\r\\t"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\u202eb\u200bc\u2028d", "a\\u202eb\\u200bc\\u2028d"),
        ("\ud800", "\\ud800"),
    ],
)
def test_a_message_is_one_harmless_line(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_message_has_an_end() -> None:
    assert len(visible("x" * 10_000_000)) == LONGEST_MESSAGE
