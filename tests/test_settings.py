"""Settings of a load: an argument, the environment, `.dlt/config.toml`, the default, in this order.

dlt resolves them; these tests hold it to that.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

from pipelines.errors import UsageError
from pipelines.settings import load_settings

ENVIRONMENT = "SOURCES__KALSHI__"
NAMES = ("events", "intervals", "since", "until", "api_url", "rate", "attempts", "timeout")

EVENT = {"events": ["KXPRESPERSON-28"]}
"""The one argument without which there is nothing to load."""

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
        for name in NAMES:
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


def test_only_an_event_has_to_be_named() -> None:
    settings = load_settings(EVENT)

    assert {name: settings[name] for name in NAMES} == {
        "events": ["KXPRESPERSON-28"],
        "intervals": [1],
        "since": None,
        "until": None,
        "api_url": "https://external-api.kalshi.com/trade-api/v2",
        "rate": 8.0,
        "attempts": 6,
        "timeout": 30.0,
    }


SETTINGS = [
    # name, then its value and its spelling: in config.toml, in the environment, as an argument
    pytest.param("events", ["A"], '["A"]', ["B"], '["B"]', ["C"], id="events"),
    pytest.param("intervals", [60], "[60]", [1440], "[1440]", [1], id="intervals"),
    pytest.param("since", "1h", '"1h"', "2h", "2h", "3h", id="since"),
    pytest.param("until", "1h", '"1h"', "2026-11-22", "2026-11-22", "3h", id="until"),
    pytest.param("api_url", "http://a", '"http://a"', "http://b", "http://b", "http://c", id="url"),
    pytest.param("rate", 1.5, "1.5", 2.5, "2.5", 3.5, id="rate"),
    pytest.param("attempts", 1, "1", 2, "2", 3, id="attempts"),
    pytest.param("timeout", 1.0, "1", 2.0, "2", 3.0, id="timeout"),
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
    others = {} if name == "events" else EVENT

    write_config(f"{name} = {config}")
    from_config = load_settings(others)
    monkeypatch.setenv(ENVIRONMENT + name.upper(), environment)
    from_environment = load_settings(others)
    from_argument = load_settings({**others, name: argument})

    assert from_config[name] == in_config
    assert from_environment[name] == in_environment
    assert from_argument[name] == argument


def test_an_argument_that_is_none_was_not_given(write_config: WriteConfig) -> None:
    write_config('events = ["A"]', 'since = "7d"')

    settings = load_settings({"events": None, "intervals": None, "since": None, "until": None})

    assert (settings.events, settings.since) == (["A"], "7d")


def test_the_projects_own_file_loads_the_presidential_event() -> None:
    root = Path(__file__).resolve().parent.parent
    contexts = Container()[PluggableRunContext]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLT_PROJECT_DIR", str(root))
        contexts.reload_providers()
        settings = load_settings({})

    assert settings.events == ["KXPRESPERSON-28"]
    assert settings.intervals == [1]
    assert settings.api_url == "https://external-api.kalshi.com/trade-api/v2"


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
    settings = load_settings({"events": ["B", "A", " B "], "intervals": [60, 1, 60]})

    assert settings.events == ["B", "A"]
    assert settings.intervals == [60, 1]


def test_no_interval_means_minutes() -> None:
    assert load_settings({**EVENT, "intervals": []}).intervals == [1]


# What is refused


@pytest.mark.parametrize("interval", [0, -1, 2, 5, 30, 1439, 10_080])
def test_an_interval_that_kalshi_has_not_is_refused(interval: int) -> None:
    message = refusal({**EVENT, "intervals": [1, interval]})

    assert message == f"--interval {interval} is none of Kalshi's: choose 1, 60 or 1440"


@pytest.mark.parametrize(
    "events",
    [
        pytest.param(None, id="none named anywhere"),
        pytest.param([], id="an empty list"),
        pytest.param([""], id="an empty ticker"),
        pytest.param(["  "], id="a blank ticker"),
        pytest.param(["KXPRESPERSON-28", ""], id="one of two is empty"),
    ],
)
def test_without_an_event_there_is_nothing_to_load(events: list[str] | None) -> None:
    assert refusal({"events": events}) == (
        "nothing to load: name an event, as in --event KXPRESPERSON-28"
    )


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("ftp://kalshi.test", id="another scheme"),
        pytest.param("kalshi.test/trade-api/v2", id="no scheme"),
        pytest.param("http:/kalshi.test", id="one slash"),
        pytest.param("http://", id="no host"),
        pytest.param("  ", id="blanks"),
    ],
)
def test_a_url_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("KALSHI_API_URL", url)

    message = refusal(EVENT)

    assert message.startswith("KALSHI_API_URL ")
    assert message.endswith("must begin with https:// or http://")


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
    ],
)
def test_an_unreadable_variable_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(ENVIRONMENT + name.upper(), text)

    message = refusal({} if name == "events" else EVENT)

    assert message.startswith("settings ([sources.kalshi]): ")
    assert f"`{name}`" in message


@pytest.mark.parametrize("name", ["rate", "attempts", "timeout"])
@pytest.mark.parametrize("number", ["0", "-1"])
def test_a_number_that_is_not_more_than_zero_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, number: str
) -> None:
    monkeypatch.setenv(ENVIRONMENT + name.upper(), number)

    assert refusal(EVENT) == f"setting {name} must be more than 0"


@pytest.mark.xfail(strict=True, raises=pytest.fail.Exception, reason="settings._check: nan > 0")
def test_a_rate_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES__KALSHI__RATE", "nan")

    refusal(EVENT)


@pytest.mark.xfail(strict=True, raises=AttributeError, reason="settings._check: no type check")
def test_a_ticker_that_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES__KALSHI__EVENTS", "[1]")

    refusal({})


@pytest.mark.parametrize("name", ["timeout", "rate", "since", "events"])
@pytest.mark.xfail(strict=True, reason="settings: dlt also reads the bare name")
def test_a_variable_of_another_program_is_none_of_ours(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    expected = load_settings(EVENT)[name]
    values = {"timeout": "5", "rate": "3", "since": "1h", "events": '["A"]'}

    monkeypatch.setenv(name.upper(), values[name])

    arguments = {} if name == "events" else EVENT
    assert load_settings(arguments)[name] == expected
