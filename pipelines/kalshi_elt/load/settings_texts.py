"""The settings' lines in `.dlt/config.toml` and `docs/settings.md`, made from their declarations.

`python -m kalshi_elt.load.settings_texts` (`make settings`) writes both files; a test fails when
one is stale. What stands outside the marks in them is written by hand and stays.
"""

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.load.setting import Section, Setting, shown
from kalshi_elt.load.settings import SECTIONS, SETTINGS

CONFIG = PROJECT_ROOT / ".dlt" / "config.toml"
REFERENCE = PROJECT_ROOT / "docs" / "settings.md"

MARKS = re.compile(r"^(# |<!-- )settings: begin(?: -->)?\n(.*?)^\1settings: end", re.M | re.S)

WIDTH = 100
WIDE = 118
"""Characters in a line: of code, of prose."""

TABLE_HEAD = "| setting | argument | meaning | default |\n|---|---|---|---|"


def config_lines() -> str:
    """What stands between the marks in `.dlt/config.toml`."""
    sections = ("\n".join(_config_section(section)) for section in SECTIONS)
    return "\n" + "\n\n".join(sections) + "\n"


def reference() -> str:
    """What stands between the marks in `docs/settings.md`."""
    return "\n\n".join("\n".join(_table(section)) for section in SECTIONS) + "\n"


def with_new(text: str, lines: str) -> str:
    """A file's text with `lines` between its marks."""
    found = MARKS.search(text)
    if found is None:
        raise ValueError("the marks `settings: begin` and `settings: end` are gone")
    return text[: found.start(2)] + lines + text[found.end(2) :]


def current() -> dict[Path, str]:
    """Each file with the text that it should have."""
    texts = {CONFIG: config_lines(), REFERENCE: reference()}
    return {
        path: with_new(path.read_text(encoding="utf-8"), lines) for path, lines in texts.items()
    }


def _settings(section: Section) -> list[Setting]:
    return [one for one in SETTINGS if one.section is section]


def _config_section(section: Section) -> Iterator[str]:
    yield f"## {section.title}"
    yield from _comment(section.note)
    for one in _settings(section):
        if one.has_line:
            unset = f"; unset: {one.unset}" if one.unset else ""
            yield from _comment(one.text + unset)
            if one.example is not None:
                yield f"# {one.name} = {_toml(one.example)}"
            else:
                yield f"{one.name} = {_toml(one.shipped or one.default)}"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, WIDTH - len("# "))]


def _toml(value: object) -> str:
    """JSON writes texts, numbers, booleans and lists as TOML does."""
    return json.dumps(value)


def _table(section: Section) -> Iterator[str]:
    note = f": {section.note}." if section.note else ""
    yield from textwrap.wrap(f"**{section.title}**{note}", WIDE)
    yield ""
    yield TABLE_HEAD
    for one in _settings(section):
        argument = f"`{one.option}`" if one.option else ""
        text = one.text + ("; repeatable" if one.is_list else "")
        cells = (f"`{one.name}`", argument, text, _shown_default(one))
        yield "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"
    unset = [f"- Without `{one.name}`: {one.unset}." for one in _settings(section) if one.unset]
    yield from ["", *unset] if unset else []


def _shown_default(one: Setting) -> str:
    """What holds where nobody sets it."""
    if one.unset:
        return "see below"
    value = one.shipped or one.default
    return "" if value in (None, ()) else f"`{shown(value)}`"


if __name__ == "__main__":
    for path, text in current().items():
        path.write_text(text, encoding="utf-8")
