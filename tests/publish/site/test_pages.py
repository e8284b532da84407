"""The site's pages, from made-up data: formats, names of files, hostile texts, rules, the index."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from kalshi_elt.base.paths import file_name
from kalshi_elt.publish.site import pages
from kalshi_elt.publish.site.content import (
    CalibrationRow,
    CandleCount,
    Event,
    EventLine,
    Market,
    Mover,
    Quality,
    Run,
    SiteData,
    Source,
)

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>\"'{{ 7 * 7 }}\u202egnp\x1b[2J&amp;"


def line(ticker: str = "KXWHO-28", **values: Any) -> EventLine:
    made = EventLine(
        ticker=ticker,
        title="Who wins?",
        category="Elections",
        markets=1,
        open_markets=1,
        volume_24h=Decimal("12.50"),
        volume=Decimal("1234567.00"),
        leader="Ada",
        probability=Decimal("0.345"),
        leader_result=None,
        mover=Mover("KXWHO-28-ADA", "Ada", Decimal("0.345"), Decimal("-0.015"), Decimal(3)),
    )
    return replace(made, **values)


def market(name: str = "Ada", **values: Any) -> Market:
    made = Market(
        ticker="KXWHO-28-ADA",
        name=name,
        status="active",
        probability=Decimal("0.345000"),
        yes_bid=Decimal("0.340000"),
        yes_ask=Decimal("0.350000"),
        last_price=None,
        change_24h=Decimal("0.020000"),
        volume_24h=Decimal("12.50"),
        volume=Decimal("1234567.00"),
        open_interest=None,
        close_time=datetime(2028, 11, 7, tzinfo=UTC),
        result=None,
        rules_primary=f"If {name} wins, yes.",
        rules_secondary="The same for all.",
        is_primary_cut=False,
        is_secondary_cut=False,
        fetched_at=NOW,
    )
    return replace(made, **values)


def event(**values: Any) -> Event:
    made = Event(
        line=line(),
        sub_title=None,
        series_ticker="KXWHO",
        series_title=None,
        mutually_exclusive=True,
        sources=(),
        fetched_at=NOW,
        markets=(market(),),
    )
    return replace(made, **values)


def data(*lines: EventLine, **values: Any) -> SiteData:
    made = SiteData(
        moment=NOW,
        newest_data=NOW - timedelta(minutes=7),
        newest_answer=NOW - timedelta(minutes=2),
        lines=lines,
        candles=(CandleCount(1, 43819, False), CandleCount(60, 1_000_000, True)),
        settled=(),
        calibration=(),
        quality=Quality((), (), 0, (), (), ()),
        selected=tuple(one.ticker for one in lines),
    )
    return replace(made, **values)


def site(found: SiteData | None = None) -> pages.Site:
    return pages.Site(found or data(line()), has_docs=True)


class Texts(HTMLParser):
    """The elements of a page, its attributes, and what stands between."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def parsed(html: str) -> Texts:
    texts = Texts()
    texts.feed(html)
    texts.close()
    return texts


def plain(text: str) -> str:
    """With the dashes and spaces of a keyboard."""
    return re.sub(r"\s+", " ", re.sub("[\N{EN DASH}\N{MINUS SIGN}]", "-", text))


def text_of(html: str) -> str:
    return plain(" ".join(parsed(html).said))


# Formats


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0.345000", "34.5 %"),
        ("0.34", "34.0 %"),
        ("0.0015", "0.15 %"),
        ("0.000001", "0.0001 %"),
        ("1.000000", "100.0 %"),
        ("0", "0.0 %"),
        (None, "-"),
    ],
)
def test_a_price_is_an_exact_probability(value: str | None, said: str) -> None:
    assert plain(pages.percent(None if value is None else Decimal(value))) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [("0.02", "▲ +2.0"), ("-0.0505", "▼ -5.05"), ("0.000000", "0.0"), (None, "-")],
)
def test_a_change_has_a_sign_and_an_arrow(value: str | None, said: str) -> None:
    shown = pages.change(None if value is None else Decimal(value))

    assert plain(Markup(shown).striptags()) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Decimal("1234567.00"), "1,234,567"),
        (Decimal("12.50"), "12.50"),
        (Decimal("0.07"), "0.07"),
        (Decimal(0), "0"),
        (43819, "43,819"),
        (Decimal("12345678901234567890.12"), "12,345,678,901,234,567,890.12"),
        (None, "-"),
    ],
)
def test_counts_are_exact(value: Decimal | int | None, said: str) -> None:
    assert plain(pages.number(value)) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (9e5, "10 days"),
    ],
)
def test_durations_are_in_the_unit_that_suits(seconds: float, said: str) -> None:
    assert pages.duration(timedelta(seconds=seconds)) == said


# Hostile texts


def test_hostile_texts_are_text() -> None:
    evil = event(
        line=line(title=HOSTILE, category=HOSTILE, leader=HOSTILE),
        sub_title=HOSTILE,
        series_title=HOSTILE,
        sources=(Source(HOSTILE, "javascript:alert(1)"), Source(HOSTILE, 'https://x.test/"><b>')),
        markets=(
            market(HOSTILE, status=HOSTILE, result=HOSTILE, rules_primary=HOSTILE),
            market(f"2 {HOSTILE}", rules_primary=f"2 {HOSTILE}"),
        ),
    )
    evil_site = site(data(evil.line))

    for html in (evil_site.event(evil, None), evil_site.front(), evil_site.events()):
        page = parsed(html)
        assert page.tags.count("script") == 2
        assert "b" not in page.tags
        assert all("alert" not in (value or "") for _, value in page.attributes)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", html)
        assert "{{ 7 * 7 }}" in text_of(html)
        assert "<script>alert(1)</script>" in text_of(html)


@pytest.mark.parametrize(
    ("url", "is_safe"),
    [
        ("https://www.bls.gov/cps/", True),
        ("http://example.com", True),
        ("javascript:alert(1)", False),
        (" javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("//example.com", False),
        ("https:example", False),
        ("https://[", False),
        ("file:///etc/passwd", False),
        ("https://x.test/\u202e", False),
        ("https://x.test/a b", False),
        (None, False),
    ],
)
def test_only_addresses_of_the_web_are_links(url: str | None, is_safe: bool) -> None:
    assert pages.safe_url(url) == (url if is_safe else None)


def test_an_unknown_name_in_a_template_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        pages.environment().from_string("{{ nothing }}").render()


# Pages


def test_the_front_page_says_what_is_there_and_how_fresh() -> None:
    said = text_of(site().front())

    assert "43,819" in said
    assert "≈ 1,000,000" in said
    assert "fresh Candles reach to 2026-11-25 08:53 UTC, 7 min ago" in said
    assert "Who wins? Ada ▼ -1.5 34.5" in said


def test_old_data_is_called_stale() -> None:
    old = data(line(), newest_data=NOW - timedelta(hours=2, seconds=1))

    assert "stale Candles reach to" in text_of(site(old).front())
    assert "stale Candles reach to" in text_of(site(old).quality())


def test_an_empty_warehouse_says_so_and_how_to_load() -> None:
    empty = pages.Site(data(newest_data=None, newest_answer=None, candles=()), has_docs=False)

    said = text_of(empty.front())
    assert "The warehouse is empty." in said
    assert "make load && make transform" in said
    for html in (empty.events(), empty.calibration(), empty.quality()):
        assert "docs/index.html" not in html
    assert "No settled market" in text_of(empty.calibration())
    assert "No run of the job yet" in text_of(empty.quality())


def test_an_event_without_a_page_is_named_without_a_link() -> None:
    html = site(data(line("KXA", title="Here"), line("KXB", title="There"), selected=("KXA",)))

    front = html.front()
    assert '<a href="events/KXA.html"><bdi>Here</bdi></a>' in front
    assert "KXB.html" not in front
    assert "There" in front


def test_an_events_page_has_its_markets_and_leads_to_kalshi() -> None:
    html = site().event(event(), Markup("<figure data-chart></figure>"))

    said = text_of(html)
    assert "Ada 34.5 % 34.0 % 35.0 % ▲ +2.0 12.50 1,234,567 - 2028-11-07 00:00 active -" in said
    assert 'href="https://kalshi.com/markets/kxwho-28"' in html
    assert "../assets/charts.js" in html
    assert "charts.js" not in site().event(event(), None)


def test_a_side_of_the_book_without_orders_has_no_price() -> None:
    empty = market(yes_bid=Decimal("0.000000"), yes_ask=Decimal("1.000000"), probability=None)

    assert "Ada - - - " in text_of(site().event(event(markets=(empty,)), None))


def test_rules_that_are_the_same_stand_once() -> None:
    three = tuple(market(name) for name in ("Ada", "Bob", "Cyd"))

    primary, secondary = pages.rules_of(three)

    assert [one.markets for one in primary] == [("Ada",), ("Bob",), ("Cyd",)]
    assert [(one.text, one.markets) for one in secondary] == [
        ("The same for all.", ("Ada", "Bob", "Cyd"))
    ]
    assert "All 3 markets" in text_of(site().event(event(markets=three), None))


def test_rules_that_are_too_many_are_cut_and_say_so() -> None:
    many = tuple(market(f"M{one}", rules_primary=f"{one} " + "x" * 2000) for one in range(200))

    html = site().event(event(markets=many), None)

    assert len(html.encode()) < 400_000
    assert html.count("Cut here; the whole text is in") == 200


def test_calibration_is_a_table_and_a_picture() -> None:
    row = CalibrationRow(
        24,
        Decimal("0.3"),
        Decimal("0.4"),
        12,
        Decimal("0.345678"),
        Decimal("0.416667"),
        Decimal("0.193259"),
        Decimal("0.680493"),
        Decimal("0.213000"),
    )
    html = site(data(line(), calibration=(row,))).calibration()

    said = text_of(html)
    assert "30 % to 40 % 12 34.6 % 41.7 % 19.3 % 68.0 % 0.213" in said
    assert 'class="dot" cx="83.0" cy="140.0"' in html


def test_runs_are_listed_with_what_they_did() -> None:
    killed = Run(7, NOW, None, "killed", None, None, None, None, "<b>lost</b>")
    done = Run(
        *(6, NOW - timedelta(seconds=9), NOW, "succeeded"),
        {"candles": 5},
        {"a": 1, "b": 2},
        0,
        1,
        None,
    )
    found = data(line(), quality=Quality((), (), 0, (), (), (killed, done)))

    said = text_of(site(found).quality())
    assert "killed The last run, 7," in said
    assert "7 2026-11-25 09:00 - killed - - - - <b>lost</b>" in said
    assert "6 2026-11-25 08:59 9 s succeeded 5 3 0 1 -" in said


# The search's index


def test_the_index_has_all_events() -> None:
    found = data(
        line("KXA"),
        line("a/b", title=None, category=None, probability=None),
        line("KXC"),
        selected=("KXA", "a/b"),
    )

    script = pages.search_index(found)

    index = json.loads(script.removeprefix("window.kalshiSearch = ").removesuffix(";\n"))
    assert index == {
        "categories": ["Elections"],
        "events": [
            ["KXA", "Who wins?", 0, 1, "34.5"],
            ["a/b", "", -1, file_name("a/b"), ""],
            ["KXC", "Who wins?", 0, 0, "34.5"],
        ],
    }


def test_the_index_is_no_markup() -> None:
    script = pages.search_index(data(line(title="</script><script>alert(1)</script>\u2028")))

    assert "<" not in script
    assert "\u2028" not in script


def test_the_index_of_5000_events_stays_small() -> None:
    many = [
        line(f"KXSERIES{n}-26NOV25", title=f"Will number {n} be {'so ' * 30}") for n in range(5000)
    ]

    assert len(pages.search_index(data(*many)).encode()) < 1_000_000


# dbt's docs


def test_the_docs_may_request_nothing() -> None:
    html = pages.docs('<head><meta charset="utf-8"><use xlink:href="{{ icon }}"></use>')

    assert "default-src 'none'" in html
    assert '<use ng-attr-xlink:href="{{ icon }}">' in html
