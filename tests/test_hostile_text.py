"""Everything from the API is data: no text breaks a statement, a path, a terminal or a page."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pipelines.sanitize import DEEPEST, LONGEST_MESSAGE, flatten, is_sanitized, visible
from tests.conftest import Project
from tests.landing import Landing, event, land, market
from tests.simulator import Exchange, Simulator
from tests.test_api import client, http, scripted

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
    f"{EVENT}-{suffix}" for suffix in ("'; drop table x; --", "%s\\", "\u202eRTL", "../../etc")
]


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
def hostile(project: Project) -> Iterator[Project]:
    with Simulator(hostile_exchange()) as simulator:
        yield Project(project.database_url, simulator, project.work)


def test_hostile_texts_land_and_are_typed_as_they_are(hostile: Project) -> None:
    """Twice, so that what is typed already is asked for by key, too."""
    for _ in range(2):
        hostile.must("load", "--event", EVENT, "--since", "1h", "--again")
        hostile.must("transform")

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
    assert hostile.query("select count(distinct market_ticker) from kalshi.candles") == [(4,)]
    assert hostile.query("select count(*) from kalshi.rejects") == [(0,)]


def test_hostile_keys_of_late_parents_are_taken_up(hostile: Project) -> None:
    """Their keys become literals in the statements of the next build."""
    hostile.must("load", "--event", EVENT, "--since", "1h")
    events = hostile.query("delete from kalshi_raw.events returning to_jsonb(events)::text")
    hostile.must("transform")
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

    hostile.must("transform")

    assert hostile.query("select count(*) from kalshi.markets") == [(4,)]
    assert hostile.query("select count(distinct market_ticker) from kalshi.candles") == [(4,)]
    assert hostile.query("select count(*) from kalshi.rejects") == [(0,)]


def test_what_a_person_sees_of_hostile_keys_is_harmless(hostile: Project) -> None:
    fault = hostile.simulator.faults.add("server_error", path="/markets/candlesticks")

    result = hostile.run("load", "--event", EVENT, "--since", "1h", SOURCES__KALSHI__ATTEMPTS="1")

    hostile.simulator.faults.remove(fault)
    assert result.status == 1
    assert "\\u202eRTL" in result.err
    said = (result.out + result.err).replace("\n", "")
    assert said.isprintable()
    hostile.must("run", "--event", EVENT)
    assert hostile.must("status").out.replace("\n", "").isprintable()


def test_the_docs_page_shows_nothing_of_the_data(hostile: Project) -> None:
    hostile.must("run", "--event", EVENT, "--since", "1h")

    hostile.must("docs")

    page = (hostile.work / "target" / "docs" / "index.html").read_text()
    assert "alert(1)" not in page and "pwned" not in page


# Keys that no index can hold


def test_a_key_that_no_index_can_hold_is_a_reject(project: Project) -> None:
    long = "X" * 10_000_000
    markets = [market("M"), market(long), market("S", status=long), market("F", **{long: 1})]
    land(project, Landing(events=[event()], markets=markets))

    project.must("transform")

    assert project.query("select market_ticker from kalshi.markets order by 1") == [("F",), ("M",)]
    assert project.query(
        "select left(reason, 10), right(reason, 22) from kalshi.rejects order by 1"
    ) == [
        ('status: "X', "re than 500 characters"),
        ('ticker: "X', " is too long for a key"),
    ]


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
    assert is_sanitized(flatten(body))


@pytest.mark.parametrize("levels", [1, DEEPEST - 1, DEEPEST])
def test_what_is_not_too_deep_stays_as_it_is(levels: int) -> None:
    body = nested(levels, '"[[[ \\" ]]] {"')

    assert flatten(body) == body


def test_a_hundred_thousand_levels_take_no_time() -> None:
    started = time.monotonic()

    assert json.loads(flatten(nested(100_000)))
    assert time.monotonic() - started < 1


# What is shown


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
