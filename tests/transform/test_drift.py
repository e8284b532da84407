"""Fields that Kalshi adds or leaves out are found, and data that grows old is reported."""

import pytest

from tests.conftest import Project
from tests.support.landing import Landing, Window, candle, event, land, market

DAY = 24 * 60


@pytest.fixture
def project(raw_project: Project) -> Project:
    """A warehouse whose raw tables are empty."""
    return raw_project


def test_a_field_that_kalshi_adds_is_found_with_its_types_times_and_count(
    project: Project,
) -> None:
    land(
        project,
        Landing(
            events=[event(mood="calm")], markets=[market(legs={"side": 1}, custom_strike={"x": 1})]
        ),
        Landing(
            minute=5,
            events=[event(mood=None)],
            windows=[Window("M", [candle(1, price={"vwap": "0.1"})])],
        ),
    )

    assert "WARN" in _line(project, "field_drift_none_unknown", "+field_drift")
    assert project.query(
        "select entity, tier, field_path, json_types, seen_count, "
        "(extract(epoch from last_seen_at - first_seen_at) / 60)::int "
        "from kalshi.field_drift where not is_known order by 1, 3"
    ) == [
        ("candle", "live", "price.vwap", ["string"], 1, 0),
        ("event", "live", "mood", ["null", "string"], 2, 5),
        ("market", "live", "legs", ["object"], 1, 0),
        ("market", "live", "legs.side", ["number"], 1, 0),
    ]


def test_a_field_that_disappears_is_found_but_not_one_that_kalshi_gave_up(
    project: Project,
) -> None:
    historical = candle(1, volume="3.00", open_interest="1.00")
    land(
        project,
        Landing(
            events=[event(available_on_brokers=False)],
            markets=[market(tick_size=1, rules_primary="R", volume=12)],
            windows=[Window("M", [candle(1)])],
        ),
        Landing(tier="historical", windows=[Window("M", [historical], 60)]),
        Landing(minute=6 * DAY, events=[event()], markets=[market()]),
    )
    assert "WARN" not in _line(project, "field_drift_none_missing", "+field_drift")

    land(
        project,
        Landing(minute=8 * DAY, events=[event()], markets=[market()], windows=[Window("M", [])]),
        Landing(minute=8 * DAY + 1, windows=[Window("M", [candle(2)])]),
    )
    assert "WARN" in _line(project, "field_drift_none_missing", "+field_drift")
    assert project.query(
        "select entity, tier, field_path from kalshi.field_drift where is_missing"
    ) == [("market", "live", "rules_primary")]
    assert project.query(
        "select field_path, removed_on::text from kalshi.field_drift "
        "where removed_on is not null and tier = 'live' order by 1"
    ) == [
        ("available_on_brokers", "2026-09-10"),
        ("tick_size", "2026-05-07"),
        ("volume", "2026-03-12"),
    ]

    before = project.query("select to_jsonb(f) from kalshi.field_drift f order by 1")
    project.must("dbt", "run", "--full-refresh", "-s", "field_drift")
    assert project.query("select to_jsonb(f) from kalshi.field_drift f order by 1") == before


@pytest.mark.one_server
def test_old_data_warns_in_transform_as_in_source_freshness(project: Project) -> None:
    project.must("load", "--since", "1h")
    assert "WARN" not in _line(project, "raw_is_fresh", "raw_is_fresh")

    project.query(
        """
        update kalshi_ops.objects set last_seen_at = now() - interval '27 hours'
        where entity = 'market';
        update kalshi_raw.candlesticks set fetched_at = now() - interval '27 hours';
        """
    )

    assert "WARN 2" in _line(project, "raw_is_fresh", "raw_is_fresh")
    freshness = project.must("dbt", "source", "freshness").out
    assert "WARN freshness of kalshi_raw.markets" in freshness
    assert "WARN freshness of kalshi_raw.candlesticks" in freshness
    assert freshness.count("PASS freshness") == 3


@pytest.mark.one_server
def test_a_build_tests_new_candles_and_check_tests_all(project: Project) -> None:
    quotes = {"open_dollars": "0.9000", "high_dollars": "0.1000"}
    crossed = candle(1, yes_bid={**quotes, "low_dollars": "0.0500", "close_dollars": "0.0600"})
    land(
        project,
        Landing(events=[event()], markets=[market()], windows=[Window("M", [crossed, candle(2)])]),
    )
    assert "WARN 1" in _outcome("candles_low_to_high", project.must("transform").out)

    land(project, Landing(minute=70, windows=[Window("M", [candle(3)])]))
    out = project.must("transform").out
    assert "PASS" in _outcome("candles_low_to_high", out)
    assert "PASS" in _outcome("candles_key_unique", out)

    check = project.must("check").out
    assert "WARN 1 candles_low_to_high" in check
    assert "PASS candles_key_unique" in check
    assert "freshness of kalshi_raw.markets" in check


@pytest.mark.one_server
def test_keys_that_are_gone_fail_the_build(project: Project) -> None:
    land(project, Landing(events=[event()], markets=[market()], windows=[Window("M", [candle()])]))
    project.must("dbt", "run", "-s", "+candles")
    project.query("alter table kalshi.candles drop constraint fk_candles_market")

    with_tests = ("-s", "candles", "--indirect-selection", "cautious")
    result = project.run("dbt", "build", "--exclude-resource-type", "model", *with_tests)
    failed = project.run("dbt", "test", "-s", "candles_keys_enforced")

    assert (result.status, failed.status) == (1, 1)
    assert "failed: candles_keys_enforced;" in result.last_line
    project.must("transform", *with_tests)


def _line(project: Project, name: str, selection: str) -> str:
    """The line with a test's outcome in a build of so much."""
    out = project.must("transform", "-s", selection, "--indirect-selection", "cautious").out
    return _outcome(name, out)


def _outcome(name: str, out: str) -> str:
    """The line with a test's outcome in what dbt said."""
    lines = out.splitlines()
    (line,) = [line for line in lines if f" {name} ." in line and "START" not in line]
    return line
