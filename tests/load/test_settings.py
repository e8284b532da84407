"""Settings of a load: an argument, the environment, `.dlt/config.toml`, the default, in this order.

dlt resolves them; these tests hold it to that.
"""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

from kalshi_elt.base.errors import UsageError
from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.kalshi.selection import Selection
from kalshi_elt.load.configuration import load_settings
from kalshi_elt.load.settings import SETTINGS

ENVIRONMENT = "SOURCES__KALSHI__"
DEFAULTS: dict[str, object] = {
    "events": (),
    "markets": (),
    "series": (),
    "categories": (),
    "status": (),
    "min_volume": 0.0,
    "multivariate": False,
    "candles": True,
    "intervals": (1,),
    "since": None,
    "until": None,
    "again": False,
    "api_url": "https://external-api.kalshi.com/trade-api/v2",
    "rate": 8.0,
    "workers": 4,
    "attempts": 6,
    "timeout": 30.0,
    "wait": False,
    "dry_run": False,
    "log_format": "text",
    "requests_per_package": 50,
    "seconds_per_package": 10.0,
    "budget": None,
    "on_failure": None,
    "on_success": None,
}

EVENT = {"events": ["KXPRESPERSON-28"]}
SELECTING = ("events", "markets", "series", "categories")
LABELS = {one.name: one.label for one in SETTINGS}
"""How messages name the settings."""

WriteConfig = Callable[..., None]


@pytest.fixture(autouse=True)
def write_config(tmp_path: Path) -> Iterator[WriteConfig]:
    """A project of this test alone; call it to write lines of its `[sources.kalshi]`."""
    contexts = Container()[PluggableRunContext]
    (tmp_path / ".dlt").mkdir()

    def write(*lines: str) -> None:
        (tmp_path / ".dlt" / "config.toml").write_text("\n".join(("[sources.kalshi]", *lines)))
        contexts.reload_providers()

    with pytest.MonkeyPatch.context() as patch:
        for variable in os.environ:
            if variable == "KALSHI_API_URL" or variable.startswith("SOURCES__"):
                patch.delenv(variable)
        for name in DEFAULTS:
            patch.delenv(name.upper(), raising=False)
        patch.setenv("DLT_PROJECT_DIR", str(tmp_path))
        write()
        yield write
    contexts.reload_providers()


def refusal(arguments: dict[str, Any]) -> str:
    """The message with which settings are refused: one line."""
    with pytest.raises(UsageError) as error:
        load_settings(arguments)
    message = str(error.value)
    assert len(message.splitlines()) == 1, message
    assert error.value.exit_status == 2
    return message


# Precedence


def test_nothing_has_to_be_set() -> None:
    settings = load_settings({})

    assert asdict(settings) == DEFAULTS


SETTINGS = [
    # name, then its value and its spelling: in config.toml, in the environment, as an argument
    pytest.param("events", ("A",), '["A"]', ("B",), '["B"]', ("C",), id="events"),
    pytest.param("markets", ("A",), '["A"]', ("B",), '["B"]', ("C",), id="markets"),
    pytest.param("series", ("A",), '["A"]', ("B",), '["B"]', ("C",), id="series"),
    pytest.param("categories", ("A",), '["A"]', ("B",), '["B"]', ("C",), id="categories"),
    pytest.param("status", ("open",), '["open"]', ("all",), '["all"]', ("closed",), id="status"),
    pytest.param("min_volume", 1.5, "1.5", 2.5, "2.5", 3.5, id="min_volume"),
    pytest.param("multivariate", True, "true", False, "false", True, id="multivariate"),
    pytest.param("candles", False, "false", True, "true", False, id="candles"),
    pytest.param("again", True, "true", False, "false", True, id="again"),
    pytest.param("wait", True, "true", False, "false", True, id="wait"),
    pytest.param("dry_run", True, "true", False, "false", True, id="dry_run"),
    pytest.param("workers", 1, "1", 2, "2", 3, id="workers"),
    pytest.param("requests_per_package", 1, "1", 2, "2", 3, id="requests_per_package"),
    pytest.param("seconds_per_package", 1.5, "1.5", 2.5, "2.5", 3.5, id="seconds_per_package"),
    pytest.param("log_format", "json", '"json"', "text", "text", "json", id="log_format"),
    pytest.param("intervals", (60,), "[60]", (1440,), "[1440]", (1,), id="intervals"),
    pytest.param("since", "1h", '"1h"', "2h", "2h", "3h", id="since"),
    pytest.param("until", "1h", '"1h"', "2026-11-22", "2026-11-22", "3h", id="until"),
    pytest.param("api_url", "http://a", '"http://a"', "http://b", "http://b", "http://c", id="url"),
    pytest.param("rate", 1.5, "1.5", 2.5, "2.5", 3.5, id="rate"),
    pytest.param("attempts", 1, "1", 2, "2", 3, id="attempts"),
    pytest.param("timeout", 1.0, "1", 2.0, "2", 3.0, id="timeout"),
    pytest.param("budget", "1m", '"1m"', "2m", "2m", "3m", id="budget"),
    pytest.param(
        *("on_failure", "http://a", '"http://a"', "http://b", "http://b", "http://c"),
        id="on_failure",
    ),
    pytest.param(
        *("on_success", "http://a", '"http://a"', "http://b", "http://b", "http://c"),
        id="on_success",
    ),
]


@pytest.mark.parametrize(
    ("name", "in_config", "config", "in_environment", "environment", "argument"), SETTINGS
)
def test_an_argument_goes_before_the_environment_and_that_before_the_file(
    monkeypatch: pytest.MonkeyPatch,
    write_config: WriteConfig,
    name: str,
    in_config: object,
    config: str,
    in_environment: object,
    environment: str,
    argument: object,
) -> None:
    write_config(f"{name} = {config}")
    from_config = load_settings({})
    monkeypatch.setenv(ENVIRONMENT + name.upper(), environment)
    from_environment = load_settings({})
    given = list(argument) if isinstance(argument, tuple) else argument
    from_argument = load_settings({name: given})

    assert getattr(from_config, name) == in_config
    assert getattr(from_environment, name) == in_environment
    assert getattr(from_argument, name) == argument


def test_an_argument_that_is_none_was_not_given(write_config: WriteConfig) -> None:
    write_config('events = ["A"]', 'since = "7d"')

    settings = load_settings(dict.fromkeys(DEFAULTS))

    assert (settings.events, settings.since) == (("A",), "7d")


def test_the_projects_own_file_has_the_defaults_and_loads_the_presidential_event() -> None:
    contexts = Container()[PluggableRunContext]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLT_PROJECT_DIR", str(PROJECT_ROOT))
        contexts.reload_providers()
        settings = load_settings({})

    assert asdict(settings) == {**DEFAULTS, "events": ("KXPRESPERSON-28",)}


# KALSHI_API_URL


def test_kalshi_api_url_goes_before_dlts_own_variable_and_the_file(
    monkeypatch: pytest.MonkeyPatch, write_config: WriteConfig
) -> None:
    write_config('api_url = "http://from-the-file.test"')
    monkeypatch.setenv("SOURCES__KALSHI__API_URL", "http://from-dlts-variable.test")
    monkeypatch.setenv("KALSHI_API_URL", "http://from-ours.test")

    assert load_settings(EVENT).api_url == "http://from-ours.test"
    assert load_settings({**EVENT, "api_url": "http://x.test"}).api_url == "http://x.test"


def test_an_empty_kalshi_api_url_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALSHI_API_URL", "")

    assert load_settings(EVENT).api_url == "https://external-api.kalshi.com/trade-api/v2"


@pytest.mark.parametrize("slashes", ["", "/", "//"])
def test_slashes_at_the_end_of_the_url_make_no_difference(
    monkeypatch: pytest.MonkeyPatch, slashes: str
) -> None:
    monkeypatch.setenv("KALSHI_API_URL", "http://127.0.0.1:8000/trade-api/v2" + slashes)

    assert load_settings(EVENT).api_url == "http://127.0.0.1:8000/trade-api/v2"


# Tidying up


def test_what_is_named_twice_is_loaded_once_in_the_order_given() -> None:
    named = {name: ["B", "A", "B"] for name in SELECTING}

    settings = load_settings({**named, "intervals": [60, 1, 60], "status": ["open", "open"]})

    for name in SELECTING:
        assert getattr(settings, name) == ("B", "A")
    assert settings.intervals == (60, 1)
    assert settings.status == ("open",)


def test_blanks_around_a_ticker_are_no_part_of_it() -> None:
    assert load_settings({"events": ["B", " B "]}).events == ("B",)


def test_no_interval_means_minutes() -> None:
    assert load_settings({**EVENT, "intervals": []}).intervals == (1,)


# What is refused


@pytest.mark.parametrize("interval", [0, -1, 2, 5, 30, 1439, 10_080])
def test_an_interval_that_kalshi_has_not_is_refused(interval: int) -> None:
    message = refusal({**EVENT, "intervals": [1, interval]})

    assert message == f"--interval {interval} is not one of Kalshi's: choose 1, 60 or 1440"


@pytest.mark.parametrize("name", SELECTING)
@pytest.mark.parametrize(
    "named",
    [
        pytest.param([""], id="an empty name"),
        pytest.param(["  "], id="a blank name"),
        pytest.param(["KXPRESPERSON-28", ""], id="one of two is empty"),
    ],
)
def test_a_name_that_names_nothing_is_refused(name: str, named: list[str]) -> None:
    assert refusal({name: named}) == (
        f"{LABELS[name]} has an empty name: give one as in --event KXPRESPERSON-28"
    )


@pytest.mark.parametrize("status", ["active", "OPEN", "open,closed", "", "finalized"])
def test_a_status_that_kalshi_has_not_is_refused_with_the_right_ones(status: str) -> None:
    assert refusal({"status": ["open", status]}) == (
        f"--status {status} is not one of unopened, open, paused, closed, settled, all"
    )


def test_a_log_format_that_is_none_is_refused() -> None:
    assert refusal({"log_format": "xml"}) == "--log-format xml is not one of text, json"


@pytest.mark.parametrize("volume", [-1.0, -0.01, math.inf, math.nan])
def test_a_least_volume_below_zero_is_refused(volume: float) -> None:
    assert refusal({"min_volume": volume}) == "--min-volume must be 0 or more, and finite"


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("ftp://kalshi.test", id="another scheme"),
        pytest.param("kalshi.test/trade-api/v2", id="no scheme"),
        pytest.param("http:/kalshi.test", id="one slash"),
        pytest.param("http://", id="no host"),
        pytest.param("http://:8000", id="a port alone"),
        pytest.param("http://h:port/x", id="a port that is none"),
        pytest.param("http://h:99999/x", id="a port out of range"),
        pytest.param("http://[::1/x", id="a bracket not closed"),
        pytest.param("  ", id="blanks"),
    ],
)
def test_a_url_that_is_not_one_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("KALSHI_API_URL", url)

    message = refusal(EVENT)

    assert message.startswith("KALSHI_API_URL ")
    assert message.endswith(" is not an address: it begins with https://")


@pytest.mark.parametrize("name", ["on_failure", "on_success"])
def test_a_url_that_may_be_a_secret_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"KALSHI_{name.upper()}", "hooks.test/s3cr3t")

    message = refusal({})

    assert message == f"{LABELS[name]} is not an address: it begins with https://"


@pytest.mark.parametrize("name", ["seconds_per_package", "min_volume"])
def test_zero_is_enough_where_nothing_is_divided_by_it(name: str) -> None:
    assert getattr(load_settings({name: 0.0}), name) == 0

    assert refusal({name: -1.0}) == f"{LABELS[name]} must be 0 or more, and finite"


def test_a_message_names_a_setting_as_it_can_be_set() -> None:
    assert LABELS["events"] == "--event"
    assert LABELS["api_url"] == "KALSHI_API_URL"
    assert LABELS["attempts"] == "setting attempts"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("rate", "fast", id="rate: a word"),
        pytest.param("rate", "8,5", id="rate: decimal comma"),
        pytest.param("attempts", "2.5", id="attempts: half a try"),
        pytest.param("timeout", "30s", id="timeout: a unit"),
        pytest.param("intervals", "60", id="intervals: no list"),
        pytest.param("intervals", "[60", id="intervals: list not closed"),
        pytest.param("events", "KXPRESPERSON-28", id="events: no list"),
        pytest.param("workers", "many", id="workers: a word"),
        pytest.param("min_volume", "a lot", id="min_volume: a word"),
        pytest.param("multivariate", "perhaps", id="multivariate: neither yes nor no"),
    ],
)
def test_an_unreadable_variable_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(ENVIRONMENT + name.upper(), text)

    message = refusal({})

    assert message.startswith("settings ([sources.kalshi]): ")
    assert f"`{name}`" in message


@pytest.mark.parametrize("name", ["rate", "attempts", "timeout", "workers"])
@pytest.mark.parametrize("number", ["0", "-1"])
def test_a_number_that_is_not_more_than_zero_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, number: str
) -> None:
    monkeypatch.setenv(ENVIRONMENT + name.upper(), number)

    assert refusal({}) == f"{LABELS[name]} must be more than 0, and finite"


@pytest.mark.parametrize("name", ["rate", "timeout"])
@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_a_number_that_is_none_or_has_no_end_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, number: str
) -> None:
    monkeypatch.setenv(ENVIRONMENT + name.upper(), number)

    assert refusal({}) == f"{LABELS[name]} must be more than 0, and finite"


@pytest.mark.parametrize("name", SELECTING)
@pytest.mark.parametrize("value", ["[1]", '["A", null]', "[true]"])
def test_a_name_that_is_no_text_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(ENVIRONMENT + name.upper(), value)

    assert refusal({}).startswith(f"{LABELS[name]} ")


@pytest.mark.parametrize("value", ['[["A"]]', '[{"a": 1}]'])
def test_a_name_that_is_a_list_or_an_object_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("SOURCES__KALSHI__EVENTS", value)

    refusal({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout", "5"),
        ("rate", "3"),
        ("since", "1h"),
        ("events", '["A"]'),
        ("series", '["A"]'),
        ("status", '["closed"]'),
        ("status", "running"),
        ("workers", "99"),
        ("wait", "true"),
        ("multivariate", "true"),
        ("api_url", "http://elsewhere.test"),
    ],
)
def test_a_variable_of_another_program_is_none_of_ours(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name.upper(), value)

    assert getattr(load_settings({}), name) == DEFAULTS[name]
    assert os.environ[name.upper()] == value


# Selecting


def test_the_settings_make_the_selection() -> None:
    settings = load_settings(
        {
            "events": ["E"],
            "markets": ["M"],
            "series": ["S"],
            "categories": ["C"],
            "status": ["open", "closed"],
            "min_volume": 2.5,
            "multivariate": True,
        }
    )

    assert settings.selection() == Selection(
        events=("E",),
        markets=("M",),
        series=("S",),
        categories=("C",),
        statuses=frozenset({"open", "closed"}),
        narrows_named=True,
        min_volume=Decimal("2.5"),
        multivariate=True,
    )


def test_with_nothing_set_it_is_the_open_markets_of_the_whole_exchange() -> None:
    selection = load_settings({}).selection()

    assert selection == Selection(statuses=frozenset({"open"}))
    assert selection.is_everything
    assert not selection.narrows_named


@pytest.mark.parametrize("status", [["all"], ["open", "all"]])
def test_all_stands_for_every_status(status: list[str]) -> None:
    selection = load_settings({"status": status}).selection()

    assert selection.statuses == {"unopened", "open", "paused", "closed", "settled"}


@pytest.mark.parametrize(
    "argument",
    [
        {"events": ["E"]},
        {"markets": ["M"]},
        {"series": ["S"]},
        {"categories": ["C"]},
        {"status": ["open"]},
        {"min_volume": 5.0},
    ],
)
def test_who_selects_by_arguments_means_those_alone(
    write_config: WriteConfig, argument: dict[str, Any]
) -> None:
    write_config(*(f'{name} = ["FILE"]' for name in SELECTING))

    settings = load_settings(argument)

    assert {name: list(getattr(settings, name)) for name in SELECTING} == {
        name: argument.get(name, []) for name in SELECTING
    }


@pytest.mark.parametrize("argument", [{"rate": 5.0}, {"since": "7d"}, {"multivariate": True}])
def test_other_arguments_leave_the_files_selection_alone(
    write_config: WriteConfig, argument: dict[str, Any]
) -> None:
    write_config(*(f'{name} = ["FILE"]' for name in SELECTING))

    settings = load_settings(argument)

    assert all(getattr(settings, name) == ("FILE",) for name in SELECTING)


def test_a_status_in_the_file_narrows_what_arguments_name(write_config: WriteConfig) -> None:
    write_config('status = ["settled"]')

    selection = load_settings(EVENT).selection()

    assert selection.statuses == {"settled"}
    assert selection.narrows_named
