"""Whatever goes wrong: one clear line, the right exit status, and what landed stays."""

import threading
import time
from collections.abc import Iterator

import pytest

from simulator import Exchange, Simulator
from tests.conftest import Project, Result

pytestmark = pytest.mark.one_server

SEED = "KXPRESPERSON-28"
NOBODY_LISTENS = "http://127.0.0.1:9/trade-api/v2"
FEW_TRIES = {"SOURCES__KALSHI__ATTEMPTS": "2", "SOURCES__KALSHI__TIMEOUT": "0.3"}


@pytest.fixture
def project(raw_project: Project) -> Project:
    """Quicker to load into than one without tables, and no different."""
    return raw_project


@pytest.fixture
def faulty(project: Project) -> Iterator[Project]:
    """A project whose Kalshi the test may break."""
    with Simulator(Exchange.demo()) as simulator:
        yield Project(project.database_url, simulator, project.work)


def raw_events(project: Project) -> int:
    return int(project.query("select count(*) from kalshi_raw.events")[0][0])


def assert_one_clear_line(result: Result, status: int, *words: str) -> None:
    assert result.status == status, result
    assert "Traceback" not in result.out + result.err
    lines = [line for line in result.err.splitlines() if line.startswith("kalshi-elt: ")]
    assert len(lines) == 1, result.err
    assert result.last_line == lines[0]
    for word in words:
        assert word in lines[0]


def test_an_unknown_event_is_named_and_the_others_land(project: Project) -> None:
    result = project.run("load", "--event", "KXNOSUCH-1", "--event", SEED, "--since", "1h")

    assert_one_clear_line(result, 1, "KXNOSUCH-1", "404", "check the ticker")
    assert raw_events(project) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--series", "KXNOSUCH"), ("series KXNOSUCH", "404")),
        (("--category", "elections"), ("category elections", "capitals")),
        (("--market", "KXNOSUCH-1"), ("market KXNOSUCH-1", "unknown")),
    ],
)
def test_any_name_that_kalshi_does_not_know_is_named(
    project: Project, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert_one_clear_line(project.run("load", *arguments), 1, *words)


def test_no_network_names_the_demo(project: Project) -> None:
    project.must("load", "--since", "1h")

    result = project.run("load", KALSHI_API_URL=NOBODY_LISTENS, **FEW_TRIES)

    assert_one_clear_line(result, 1, NOBODY_LISTENS, "Connection refused", "make demo")
    assert raw_events(project) == 1


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("server_error", ("500", "internal server error")),
        ("unavailable", ("503",)),
        ("html", ("not JSON", "<!DOCTYPE html>")),
        ("truncated_json", ("not JSON",)),
        ("cut_body", ("broke off",)),
        ("hang", ("no answer in 0.3 s",)),
        ("rate_limited", ("429", "too many requests")),
        ("reset", ("broke off",)),
    ],
)
def test_an_api_that_gives_no_usable_answer_is_named_with_its_answer(
    faulty: Project, kind: str, words: tuple[str, ...]
) -> None:
    faulty.simulator.faults.add(kind, path="/events")  # type: ignore[arg-type]

    result = faulty.run("load", **FEW_TRIES)

    assert_one_clear_line(result, 1, "after 2 tries", *words)


def test_what_failed_once_lands_all_the_same(faulty: Project) -> None:
    for kind in ("rate_limited", "unavailable", "html", "cut_body"):
        faulty.simulator.faults.add(kind, count=1)

    result = faulty.run("load", "--since", "1h")

    assert result.status == 0


def test_candles_that_fail_leave_the_listing_and_the_next_load_completes(faulty: Project) -> None:
    fault = faulty.simulator.faults.add("server_error", path="/markets/candlesticks")

    failed = faulty.run("load", "--since", "1h", **FEW_TRIES)

    assert failed.status == 1
    assert f"candles of {SEED}-" in failed.last_line
    assert faulty.query("select count(*) from kalshi_raw.markets") == [(10,)]
    assert faulty.query("select count(*) from kalshi_raw.candlesticks") == [(0,)]
    faulty.simulator.faults.remove(fault)
    faulty.must("load", "--since", "1h")
    assert faulty.query("select count(*) from kalshi_raw.candlesticks") == [(10,)]


def test_an_api_that_goes_away_midway_costs_only_what_was_not_yet_fetched(
    faulty: Project,
) -> None:
    simulator = faulty.simulator
    hang = simulator.faults.add("hang", path="/markets/candlesticks", after=1, seconds=5)

    def go_away_with_the_second_request() -> None:
        while not hang.hits:
            time.sleep(0.01)
        simulator.stop()

    threading.Thread(target=go_away_with_the_second_request, daemon=True).start()
    result = faulty.run(
        "load", "--since", "4d", SOURCES__KALSHI__ATTEMPTS="2", SOURCES__KALSHI__WORKERS="1"
    )

    assert_one_clear_line(result, 1, "candles not yet fetched", "make demo")
    asked = len(simulator.requests.all("/markets/candlesticks"))
    windows = faulty.query("select count(distinct window_end) from kalshi_raw.candlesticks")
    assert 0 < windows[0][0] <= asked


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--interval", "5"), ("--interval 5", "1, 60 or 1440")),
        (("--interval", "hourly"), ("--interval", "hourly")),
        (("--since", "2026-02-01", "--until", "2026-01-01"), ("--since", "not before")),
        (("--since", "yesterday"), ("yesterday", "24h")),
        (("--event", ""), ("--event",)),
        (("--evnt", SEED), ("--evnt", "--help")),
    ],
)
def test_wrong_usage_is_status_2(
    project: Project, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert_one_clear_line(project.run("load", *arguments), 2, *words)


@pytest.mark.parametrize(
    ("url", "status", "words"),
    [
        ("mysql://localhost/kalshi", 2, ("postgresql://",)),
        ("postgresql://kalshi@127.0.0.1:9/kalshi", 1, ("DATABASE_URL", "refused")),
        ("postgresql://kalshi@[broken/kalshi", 2, ("DATABASE_URL",)),
    ],
)
def test_a_wrong_database_url_is_named(
    project: Project, url: str, status: int, words: tuple[str, ...]
) -> None:
    for command in ("load", "transform", "status"):
        assert_one_clear_line(project.run(command, DATABASE_URL=url), status, *words)


def test_a_missing_database_is_named(project: Project) -> None:
    url = project.database_url.rpartition("/")[0] + "/no_such"

    result = project.run("load", DATABASE_URL=url)

    assert_one_clear_line(result, 1, "DATABASE_URL", '"no_such" does not exist')


def test_text_from_the_api_is_only_data_and_what_jsonb_refuses_is_shown_replaced(
    faulty: Project,
) -> None:
    texts = {
        "GNEWS": "NUL \x00, half \ud800 of a pair \U0001f600",
        "AOCA": "Robert'); drop table kalshi.markets; --",
        "PBUT": '50 % \\ "quoted"',
    }
    for name, text in texts.items():
        faulty.simulator.exchange.change_market(f"{SEED}-{name}", title=text)

    faulty.must("load", "--since", "1h")
    faulty.must("dbt", "run", "-s", "+markets")

    typed = dict(faulty.query("select market_ticker, title from kalshi.markets"))
    assert {name: typed[f"{SEED}-{name}"] for name in texts} == {
        **texts,
        "GNEWS": "NUL \ufffd, half \ufffd of a pair \U0001f600",
    }
    assert faulty.query("select market_ticker from kalshi_raw.markets where is_sanitized") == [
        (f"{SEED}-GNEWS",)
    ]


def test_a_package_left_pending_lands_before_the_next_one(faulty: Project) -> None:
    """dlt would otherwise ignore the new data and report success."""
    faulty.must("load", "--since", "1h")
    faulty.query("alter table kalshi_raw.markets add constraint broken check (false) not valid")
    faulty.simulator.exchange.change_market(f"{SEED}-GNEWS", title="First change")
    failed = faulty.run("load", "--since", "1h")
    assert_one_clear_line(failed, 1, "landing failed", "broken")
    faulty.query("alter table kalshi_raw.markets drop constraint broken")
    faulty.simulator.exchange.change_market(f"{SEED}-GNEWS", title="Second change")

    result = faulty.must("load", "--since", "1h")

    assert "left pending" in result.err
    assert faulty.query(
        "select payload ->> 'title' from kalshi_raw.markets where market_ticker = %s "
        "order by fetched_at",
        f"{SEED}-GNEWS",
    ) == [("Who will win the next presidential election?",), ("First change",), ("Second change",)]
