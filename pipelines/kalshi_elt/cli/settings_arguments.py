"""The arguments of `load` and `run`, made from the settings' declarations."""

import argparse
from typing import Any

from kalshi_elt.load.setting import Setting, shown
from kalshi_elt.load.settings import SECTIONS, settings_of_command


def add_settings(parser: argparse.ArgumentParser, command: str) -> None:
    """The command's arguments, a group for each section. What is not given is None, which leaves
    the setting to the environment and the file."""
    for section in SECTIONS:
        settings = [one for one in settings_of_command(command) if one.section is section]
        if settings:
            group = parser.add_argument_group(section.title, section.note or None)
            for one in settings:
                _add(group, one)


def given_settings(arguments: argparse.Namespace, command: str) -> dict[str, Any]:
    """What the command line says of each setting; None where it says nothing."""
    return {one.name: getattr(arguments, one.name) for one in settings_of_command(command)}


def _add(group: argparse._ArgumentGroup, one: Setting) -> None:
    assert one.option is not None
    how: dict[str, Any] = {"dest": one.name, "help": _help(one).replace("%", "%%")}
    if one.is_flag:
        # the flag turns the default round
        group.add_argument(one.option, action="store_const", const=not one.default, **how)
        return
    placeholder = one.placeholder or one.option.removeprefix("--").upper()
    how |= {"type": one.kind, "metavar": placeholder}
    group.add_argument(one.option, action="append" if one.is_list else "store", **how)


def _help(one: Setting) -> str:
    parts = [one.option_text or one.text]
    if one.is_list:
        parts.append("may be given more than once")
    if one.unset or not (one.is_flag or one.default in (None, ())):
        parts.append(f"default: {one.unset or shown(one.default)}")
    return "; ".join(parts)
