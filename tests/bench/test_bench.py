"""The benchmarks: their exchange answers as the loader asks, and each of them runs small."""

import io
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from bench.__main__ import main
from bench.day import Day
from bench.exchange import MINUTE, TAPES, Exchange, Size
from bench.measure import Finished, Series, alternate, cpu_seconds, peak_mb, run_pipeline
from bench.scale import exponent
from bench.server import BenchServer, Stats
from kalshi_elt.cli.main import main as elt
from tests.conftest import Project
from tests.support import quick_dbt

SIZE = Size(markets=200, events=20, series=7, all_series=30, candles_a_day=60)
NOW = int(time.time()) // MINUTE * MINUTE
DAY = 24 * 60 * MINUTE


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """dbt in this process as quick as in other tests; benchmarks read what it writes of a run."""
    quick_dbt.install()
    monkeypatch.setenv("DBT_WRITE_JSON", "true")


@pytest.fixture(scope="module")
def exchange() -> Iterator[BenchServer]:
    with BenchServer(SIZE, now=NOW) as running:
        yield running


def batch(server: BenchServer, tickers: list[str], minutes: int) -> dict[str, list[int]]:
    """The ends of the candles of the last minutes, by market."""
    url = (
        f"{server.url}/markets/candlesticks?market_tickers={','.join(tickers)}"
        f"&start_ts={NOW - minutes * MINUTE + 1}&end_ts={NOW}&period_interval=1"
    )
    with urlopen(url) as answer:
        markets = json.load(answer)["markets"]
    return {
        market["market_ticker"]: [candle["end_period_ts"] for candle in market["candlesticks"]]
        for market in markets
    }


def test_an_exchange_day_has_the_intended_number_of_candles_whenever_it_begins() -> None:
    exchange = Exchange(SIZE, now=NOW)
    assert exchange.candles_a_day() == SIZE.markets * SIZE.candles_a_day

    for start in (NOW, NOW + 7_777 * MINUTE):
        found = [exchange.candles(n, start + 1, start + DAY) for n in range(SIZE.markets)]
        assert sum(part.candles for part in found) == exchange.candles_a_day()
        assert sum(len(json.loads(b"[%s]" % part.body)) for part in found[:TAPES]) == 60 * TAPES


def test_windows_tile() -> None:
    exchange = Exchange(SIZE, now=NOW)
    whole = exchange.candles(3, NOW - DAY + 1, NOW)
    middle = NOW - DAY // 3
    halves = exchange.candles(3, NOW - DAY + 1, middle), exchange.candles(3, middle + 1, NOW)
    assert b",".join(half.body for half in halves) == whole.body


def test_the_same_seed_gives_the_same_exchange_and_another_one_another() -> None:
    one, same, other = (Exchange(SIZE, now=NOW, seed=seed) for seed in (1, 1, 2))
    assert one.market(7) == same.market(7) != other.market(7)
    assert one.candles(7, NOW - DAY, NOW) == same.candles(7, NOW - DAY, NOW)
    assert one.candles(7, NOW - DAY, NOW) != other.candles(7, NOW - DAY, NOW)


def test_objects_are_json_of_realistic_size() -> None:
    exchange = Exchange(SIZE, now=NOW)
    event = json.loads(exchange.event(3, nested=True))
    assert [market["event_ticker"] for market in event["markets"]] == [event["event_ticker"]] * 10
    assert 1_700 < len(exchange.market(0)) < 2_500
    assert 800 < len(exchange.series(0)) < 1_500
    assert json.loads(exchange.series(29))["ticker"] == "KXBENCH00029"


def test_every_market_belongs_to_one_event_whatever_the_size() -> None:
    exchange = Exchange(Size().part(0.003), now=NOW)
    size = exchange.size
    listed = [market for event in range(size.events) for market in exchange.markets_of(event)]
    assert listed == list(range(size.markets))


def test_a_batch_is_what_was_asked_for(exchange: BenchServer) -> None:
    known = Exchange(SIZE, now=NOW)
    found = batch(exchange, [known.tickers[0], "UNKNOWN", known.tickers[1]], 1_440)

    assert list(found) == known.tickers[:2]
    for ends in found.values():
        assert ends == sorted(ends)
        assert NOW - DAY < min(ends) <= max(ends) <= NOW


@pytest.mark.parametrize(("tickers", "minutes"), [(101, 1), (100, 101), (7, 1_429)])
def test_caps_are_enforced(exchange: BenchServer, tickers: int, minutes: int) -> None:
    known = Exchange(SIZE, now=NOW)
    with pytest.raises(HTTPError, match="400"):
        batch(exchange, known.tickers[:tickers], minutes)


def test_what_the_caps_allow_is_answered(exchange: BenchServer) -> None:
    assert len(batch(exchange, Exchange(SIZE, now=NOW).tickers[:100], 100)) == 100


def test_after_the_quiet_begins_there_are_no_candles() -> None:
    exchange = Exchange(SIZE, now=NOW, quiet_from=NOW)
    assert exchange.candles(0, NOW - DAY + 1, NOW).candles > 0
    assert exchange.candles(0, NOW + 1, NOW + DAY).candles == 0


@pytest.mark.slow
@pytest.mark.one_server
@pytest.mark.clock
def test_a_load_brings_the_exchange_to_the_last_candle(
    project: Project, exchange: BenchServer
) -> None:
    address = {"KALSHI_API_URL": exchange.url}
    project.must("load", "--status", "open", "--since", "24h", **address)
    known = Exchange(SIZE, now=NOW)

    assert project.query("select count(*) from kalshi_raw.events") == [(SIZE.events,)]
    assert project.query("select count(*) from kalshi_raw.markets") == [(SIZE.markets,)]
    assert project.query("select count(*) from kalshi_raw.series") == [(SIZE.series,)]
    assert project.query(
        "select sum(jsonb_array_length(payload)) from kalshi_raw.candlesticks"
    ) == [(known.candles_a_day(),)]


@pytest.mark.one_server
def test_a_load_of_one_event(project: Project, exchange: BenchServer) -> None:
    event = Exchange(SIZE, now=NOW).event_ticker(5)
    result = project.must("load", "--event", event, KALSHI_API_URL=exchange.url)
    assert "landed 1 event, 10 markets" in result.out


def test_runs_alternate_and_all_values_are_kept() -> None:
    order: list[str] = []

    def kind(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = alternate({"a": lambda: kind("a"), "b": lambda: kind("b")}, 3, say=lambda _: None)

    assert order == ["a", "b"] * 3
    assert (found["a"].values, found["b"].values) == ([1, 3, 5], [2, 4, 6])
    assert Series("x", [3, 1, 2]).median == 2


def test_a_process_is_measured(exchange: BenchServer) -> None:
    assert cpu_seconds(exchange.pid) > 0
    assert peak_mb(exchange.pid) > 5
    assert peak_mb(2**22 + 1) == 0
    child = run_pipeline(["load", "--help"], os.environ)
    assert child.seconds > 0 and child.cpu_seconds > 0
    assert child.peak_mb > 5
    assert "--since" in child.output


def test_the_exponent_is_fitted() -> None:
    assert exponent([1, 2, 4, 8], [3, 6, 12, 24]) == pytest.approx(1)
    assert exponent([1, 2, 4], [1, 4, 16]) == pytest.approx(2)


def in_this_process(arguments: Sequence[str], environment: Mapping[str, str]) -> Finished:
    """A command of the pipeline without the seconds that a child's imports and tests take."""
    given = ["dbt", "run", "-s", "+candles"] if arguments[0] == "transform" else arguments
    out = io.StringIO()
    started = time.monotonic()
    with patch.dict(os.environ, environment), redirect_stdout(out), redirect_stderr(io.StringIO()):
        assert elt(given) == 0, out.getvalue()[-3000:]
    return Finished(time.monotonic() - started, 0, 0, out.getvalue())


def verdicts(name: str, *options: str) -> list[str]:
    """Run a benchmark; the names of the figures that it judged."""
    out = io.StringIO()
    with redirect_stdout(out):
        assert main([name, *options]) == 0
    return re.findall(VERDICT, out.getvalue(), re.MULTILINE)


VERDICT = r"^(\S.*): [\d.,-]+ .+ \| target [<>]= [\d.]+ \| (?:met|MISSED)$"


@pytest.mark.slow
def test_landing_runs() -> None:
    assert verdicts("landing", "--part", "0.001", "--rounds", "1") == [
        "landing, rows at hand",
        "landing, through HTTP",
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_transform_runs() -> None:
    assert verdicts("transform", "--candles", "6000", "--rounds", "1") == ["transform"]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_transform_of_an_increment_runs() -> None:
    options = ("--rounds", "1", "--increment", "600", "--big", "20000")
    assert verdicts("transform", "--candles", "6000", *options) == [
        "increment of 600 on 20,000 against 6,000"
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_day_runs() -> None:
    with patch("bench.workspace.run_pipeline", in_this_process):
        found = verdicts("day", "--part", "0.0005")
    assert found == [
        "load against Kalshi's pace",
        "day, 0.0005 of it",
        "memory of the loader",
        "memory of dbt",
        "storage kalshi_raw.candlesticks",
        "storage kalshi.candles",
    ]


def test_scale_fits_what_it_measured() -> None:
    def measured(database: object, size: Size, rate: str) -> Day:
        step = Finished(size.markets / 50, 0, 0, "")
        return Day(size.markets, 0, step, step, 0, 0, 0, Stats(0, 0, 0))

    with patch("bench.scale.measure", measured), patch("bench.scale.server"):
        assert verdicts("scale", "--unit", "0.002", "--units", "1", "2", "4") == [
            "scale of load",
            "scale of transform",
        ]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_quiet_runs() -> None:
    with patch("bench.workspace.run_pipeline", in_this_process):
        found = verdicts("quiet", "--part", "0.0005", "--rounds", "1", "--big", "6000")
    assert found == [
        "quiet run, both",
        "quiet run, dbt",
        "quiet run, 6,000 candles in the warehouse, both",
        "quiet run, 6,000 candles in the warehouse, dbt",
        "quiet run, load: big against small",
        "quiet run, transform: big against small",
        "quiet run, both: big against small",
    ]
