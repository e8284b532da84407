"""The settings are declared once; the files that name them say the same."""

import argparse
import tomllib
from dataclasses import fields

import pytest

from kalshi_elt.cli.settings_arguments import add_settings, given_settings
from kalshi_elt.load.settings import RECORDED, SECTIONS, SETTINGS, LoadSettings
from kalshi_elt.load.settings_texts import (
    CONFIG,
    REFERENCE,
    config_lines,
    current,
    reference,
    with_new,
)

LONGEST_LINE = 120


@pytest.mark.parametrize("path", [CONFIG, REFERENCE], ids=lambda path: path.name)
def test_the_files_are_as_make_settings_writes_them(path: object) -> None:
    stale = {file: text for file, text in current().items() if file.read_text() != text}

    assert path not in stale, "run `make settings`"


def test_every_setting_is_declared_with_a_meaning_and_a_section() -> None:
    assert [one.name for one in SETTINGS] == [one.name for one in fields(LoadSettings)]
    assert all(one.text and one.section in SECTIONS for one in SETTINGS)
    options = [one.option for one in SETTINGS if one.option]
    assert len(set(options)) == len(options)


def test_config_has_a_line_for_every_setting_but_the_dry_run() -> None:
    lines = [line.removeprefix("# ") for line in config_lines().splitlines() if " = " in line]

    assert [line.split(" = ")[0] for line in lines] == [
        one.name for one in SETTINGS if one.name != "dry_run"
    ]
    # also those that stand there as a comment can be taken as they are
    read = tomllib.loads("\n".join(lines))
    assert {type(read[one.name]) for one in SETTINGS if one.name in read and one.is_list} == {list}
    assert (read["since"], read["status"], read["rate"]) == ("24h", ["open"], 8.0)


def test_the_reference_has_a_row_for_every_setting_and_no_line_too_long() -> None:
    lines = reference().splitlines()
    rows = [line for line in lines if line.startswith("| `")]

    assert [row.split("`")[1] for row in rows] == [one.name for one in SETTINGS]
    assert "| `rate` | `--rate` | requests a second | `8` |" in rows
    assert "- Without `until`: now." in lines
    assert max(map(len, lines)) <= LONGEST_LINE


def test_what_stands_outside_the_marks_stays() -> None:
    text = "before\n# settings: begin\nold\n# settings: end\nafter\n"

    assert with_new(text, "new\n") == ("before\n# settings: begin\nnew\n# settings: end\nafter\n")
    with pytest.raises(ValueError, match="the marks"):
        with_new("no marks", "new\n")


@pytest.mark.parametrize(
    ("command", "not_its_own"),
    [("load", {"budget", "on_failure", "on_success"}), ("run", {"dry_run"})],
)
def test_a_command_has_an_argument_for_each_setting_that_is_its_own(
    command: str, not_its_own: set[str]
) -> None:
    parser = argparse.ArgumentParser()
    add_settings(parser, command)

    given = given_settings(parser.parse_args([]), command)

    assert set(given.values()) == {None}
    assert given.keys() == {one.name for one in SETTINGS if one.option} - not_its_own


def test_a_runs_record_keeps_what_decides_what_lands() -> None:
    kept = LoadSettings(events=("E",), since="2h", rate=1.0).recorded()

    assert kept.keys() == {one.name for one in RECORDED}
    assert (kept["events"], kept["since"], kept["intervals"]) == (("E",), "2h", (1,))
    assert kept.keys() == {
        *("events", "markets", "series", "categories", "status", "min_volume", "multivariate"),
        *("intervals", "since", "until", "candles", "again", "budget"),
    }
