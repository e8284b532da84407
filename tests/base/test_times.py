"""`--since` and `--until`: which stretch of time two texts ask for."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_elt.base.errors import UsageError
from kalshi_elt.base.times import TimeRange, parse_range

MINUTE, HOUR, DAY = 60, 3_600, 86_400

NOW = datetime(2026, 11, 22, 14, 30, 35, 700_000, tzinfo=UTC).timestamp()
"""35.7 seconds into a minute."""
LAST_MINUTE = int(datetime(2026, 11, 22, 14, 30, tzinfo=UTC).timestamp())


@pytest.fixture(autouse=True, scope="module")
def another_time_zone() -> Iterator[None]:
    """A time without a zone is in UTC, whatever the machine's own time zone is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


def seconds(text: str) -> int:
    """Unix seconds of a time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def test_without_arguments_each_market_goes_on_until_the_last_whole_minute() -> None:
    found = parse_range(None, None, NOW)

    assert found == TimeRange(None, LAST_MINUTE)
    assert found.goes_on
    assert not found.is_life


def test_without_since_it_is_the_24_hours_before_until() -> None:
    found = parse_range(None, "2026-11-20T06:00Z", NOW)

    assert found == TimeRange(seconds("2026-11-19T06:00"), seconds("2026-11-20T06:00"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2026-11-20", "2026-11-20T00:00", id="date: midnight UTC"),
        pytest.param("2026-11-20T06:15", "2026-11-20T06:15", id="time without zone: UTC"),
        pytest.param("2026-11-20 06:15", "2026-11-20T06:15", id="blank instead of T"),
        pytest.param("2026-11-20T06:15:30", "2026-11-20T06:15:30", id="seconds"),
        pytest.param("2026-11-20T06:15:30.75Z", "2026-11-20T06:15:30", id="fraction, cut"),
        pytest.param("2026-11-20T06:15Z", "2026-11-20T06:15", id="Z"),
        pytest.param("2026-11-20T06:15-05:00", "2026-11-20T11:15", id="zone west of UTC"),
        pytest.param("2026-11-20T06:15+05:30", "2026-11-20T00:45", id="zone east of UTC"),
        pytest.param("  2026-11-20  ", "2026-11-20T00:00", id="blanks around it"),
    ],
)
def test_a_moment_is_an_iso_date_or_time(text: str, expected: str) -> None:
    assert parse_range(text, None, NOW).since == seconds(expected)
    assert parse_range("2026-11-01", text, NOW).until == seconds(expected)


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        pytest.param("90m", 90 * MINUTE, id="minutes"),
        pytest.param("24h", 24 * HOUR, id="hours"),
        pytest.param("7d", 7 * DAY, id="days"),
        pytest.param("2w", 14 * DAY, id="weeks"),
        pytest.param("24H", 24 * HOUR, id="upper case"),
        pytest.param(" 24h ", 24 * HOUR, id="blanks around it"),
    ],
)
def test_a_moment_is_how_long_ago(text: str, ago: int) -> None:
    assert parse_range(text, None, NOW).since == int(NOW) - ago
    assert parse_range("2020-01-01", text, NOW).until == int(NOW) - ago


@pytest.mark.parametrize("text", ["open", "OPEN", " open "])
def test_since_open_leaves_the_beginning_to_the_market(text: str) -> None:
    found = parse_range(text, None, NOW)

    assert found == TimeRange(None, LAST_MINUTE, is_life=True)
    assert not found.goes_on
    assert parse_range(text, "7d", NOW) == TimeRange(None, int(NOW) - 7 * DAY, is_life=True)


@pytest.mark.parametrize(
    ("since", "until"),
    [
        pytest.param("7d", None, id="since"),
        pytest.param(None, "1h", id="until"),
        pytest.param("7d", "1h", id="both"),
        pytest.param("open", None, id="since open"),
    ],
)
def test_who_names_a_time_gets_that_range_whatever_came_before(
    since: str | None, until: str | None
) -> None:
    assert not parse_range(since, until, NOW).goes_on


@pytest.mark.parametrize(
    "until",
    [
        pytest.param(None, id="not given"),
        pytest.param("2026-11-22T14:30:20Z", id="in the running minute"),
        pytest.param("2026-11-22T15:00Z", id="later today"),
        pytest.param("2030-01-01", id="years ahead"),
        pytest.param("0m", id="now"),
    ],
)
def test_it_never_reaches_past_the_last_whole_minute(until: str | None) -> None:
    assert parse_range("7d", until, NOW).until == LAST_MINUTE


def test_on_a_whole_minute_that_minute_is_over() -> None:
    assert parse_range(None, None, float(LAST_MINUTE)).until == LAST_MINUTE


@pytest.mark.parametrize(
    ("since", "until"),
    [
        pytest.param("2026-11-21", "2026-11-20", id="since after until"),
        pytest.param("2026-11-20", "2026-11-20", id="since is until"),
        pytest.param("1h", "2h", id="less long ago than until"),
        pytest.param("2026-12-24", None, id="since in the future"),
        pytest.param("0m", None, id="since now: its minute is not over"),
    ],
)
def test_a_since_that_is_not_before_until_is_refused(since: str, until: str | None) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_range(since, until, NOW)

    message = str(refusal.value)
    assert message.startswith(f"--since {since} ")
    assert "is not before --until" in message
    assert "give an earlier --since or a later --until" in message
    assert len(message.splitlines()) == 1


RUBBISH = [
    pytest.param("yesterday", id="a word"),
    pytest.param("24", id="a number without unit"),
    pytest.param("24x", id="an unknown unit"),
    pytest.param("-24h", id="a negative time ago"),
    pytest.param("1.5h", id="a fraction of an hour"),
    pytest.param("24h 7d", id="two times ago"),
    pytest.param("2026-13-01", id="a 13th month"),
    pytest.param("2026-02-30", id="a 30th of February"),
    pytest.param("22.11.2026", id="a German date"),
    pytest.param("11/22/2026", id="an American date"),
    pytest.param("1795357800", id="Unix seconds"),
    pytest.param("2026-11-22T25:00", id="a 25th hour"),
    pytest.param("two\nlines", id="two lines"),
]


@pytest.mark.parametrize("text", RUBBISH)
def test_rubbish_is_refused_with_the_options_name_and_a_way_out(text: str) -> None:
    with pytest.raises(UsageError) as since:
        parse_range(text, None, NOW)
    with pytest.raises(UsageError) as until:
        parse_range("7d", text, NOW)

    for option, refusal in (("--since", since), ("--until", until)):
        message = str(refusal.value)
        assert message.startswith(f"{option} {text!r} ")
        assert "ISO date or time (2026-11-22, 2026-11-22T14:30Z)" in message
        assert "how long ago (90m, 24h, 7d)" in message
        assert len(message.splitlines()) == 1


def test_only_since_may_be_open_and_its_refusal_says_so() -> None:
    with pytest.raises(UsageError) as since:
        parse_range("opened", None, NOW)
    with pytest.raises(UsageError) as until:
        parse_range("7d", "open", NOW)

    assert "`open`" in str(since.value)
    assert "`open`" not in str(until.value)


@pytest.mark.parametrize(
    ("since", "until"),
    [
        pytest.param("1h", "999999w", id="until before year 1"),
        pytest.param("9999-12-31T23:59-05:00", None, id="since after year 9999"),
    ],
)
def test_times_beyond_the_calendar_are_refused_like_all_others(
    since: str, until: str | None
) -> None:
    with pytest.raises(UsageError):
        parse_range(since, until, NOW)


moments = st.datetimes(datetime(2021, 1, 1), datetime(2031, 1, 1), timezones=st.just(UTC))
zones = st.integers(-12 * 60, 14 * 60).map(lambda minutes: timedelta(minutes=minutes))


@settings(deadline=None)
@given(now=moments, since=moments, until=moments, zone=zones)
def test_every_range_is_what_was_asked_for_and_over_by_now(
    now: datetime, since: datetime, until: datetime, zone: timedelta
) -> None:
    local = since + zone
    text = local.replace(tzinfo=None).isoformat() + offset(zone)
    last_minute = int(now.timestamp()) // MINUTE * MINUTE
    end = min(int(until.timestamp()), last_minute)
    start = int(since.timestamp())

    try:
        found = parse_range(text, until.isoformat(), now.timestamp())
    except UsageError:
        assert start >= end
    else:
        assert found == TimeRange(start, end)
        assert start < end <= now.timestamp()


def offset(zone: timedelta) -> str:
    """A distance from UTC as ISO 8601 writes it."""
    minutes = int(zone.total_seconds()) // MINUTE
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
