"""What a setting is: one declaration, from which arguments, files, records and texts follow."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from kalshi_elt.base.errors import UsageError

Check = Callable[[str, Any], Any]
"""Takes how messages name the setting, and its value; returns the value tidied up. Raises
UsageError on a wrong one."""


@dataclass(frozen=True)
class Section:
    """Settings that belong together."""

    title: str
    note: str = ""
    is_recorded: bool = False
    """Whether a run's record keeps its settings."""


@dataclass(frozen=True)
class Setting:
    """All that is to be known of one setting: an annotation of a dataclass's field."""

    text: str
    """What it means, in a few words."""
    section: Section
    option: str | None = None
    """The argument that sets it."""
    option_text: str | None = None
    """What the argument means, where that differs from what the setting means."""
    only: str | None = None
    """The one command that has the argument; None: both `load` and `run`."""
    placeholder: str | None = None
    """What stands for the value in a command's help; without one the option's own name."""
    unset: str | None = None
    """What holds where it is not set, and the default does not say it."""
    example: object = None
    """The value of a line that stands in .dlt/config.toml as a comment."""
    shipped: object = None
    """The value in .dlt/config.toml, where that is not the default."""
    has_line: bool = True
    """Whether .dlt/config.toml has a line for it."""
    variable: str | None = None
    """A short environment variable, besides dlt's own SOURCES__KALSHI__..."""
    is_recorded: bool = False
    """Whether a run's record keeps it, also where it does not keep the section's others."""
    check: Check | None = None

    # `settings_of` reads these off the field itself
    name: str = ""
    kind: type = str
    """The type of the value, or of each value of a list."""
    is_list: bool = False
    default: object = None

    @property
    def label(self) -> str:
        """How messages name it."""
        return self.option or self.variable or f"setting {self.name}"

    @property
    def is_flag(self) -> bool:
        return self.kind is bool

    def checked(self, value: object) -> object:
        """A given value, tidied up. Raises UsageError, naming the setting, on a wrong one."""
        if self.is_list and isinstance(value, Iterable):
            value = tuple(value)
        return value if self.check is None else self.check(self.label, value)


def settings_of(declaring: type) -> tuple[Setting, ...]:
    """The settings that a dataclass declares, in its order."""
    hints = get_type_hints(declaring, include_extras=True)
    return tuple(_declared(hints[one.name], one.name, one.default) for one in fields(declaring))


def _declared(hint: Any, name: str, default: object) -> Setting:
    kind, declared = get_args(hint)
    kinds = get_args(kind)
    found: Setting = replace(
        declared,
        name=name,
        # `str` of `str`, of `str | None` and of `tuple[str, ...]`
        kind=kinds[0] if kinds else kind,
        is_list=get_origin(kind) is tuple,
        default=default,
    )
    return found


def shown(value: object) -> str:
    """A value for people: without quotes, and a whole number as one; a list with commas."""
    if isinstance(value, tuple):
        return ", ".join(map(shown, value))
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) else str(value)


# Checks


def names(label: str, value: tuple[object, ...]) -> tuple[str, ...]:
    """Each name once, without blanks around it."""
    found = [name.strip() if isinstance(name, str) else "" for name in value]
    if not all(found):
        raise UsageError(f"{label} has an empty name: give one as in --event KXPRESPERSON-28")
    return tuple(dict.fromkeys(found))


def each_of(choices: Iterable[object], said: str | None = None) -> Check:
    """Each value once, and each is a choice."""
    one = one_of(choices, said)

    def check(label: str, value: tuple[object, ...]) -> tuple[object, ...]:
        return tuple(dict.fromkeys(one(label, given) for given in value))

    return check


def one_of(choices: Iterable[object], said: str | None = None) -> Check:
    allowed = tuple(choices)
    known = said or ", ".join(map(str, allowed))

    def check(label: str, value: object) -> object:
        if value not in allowed:
            raise UsageError(f"{label} {value} is not one of {known}")
        return value

    return check


def above_zero(label: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise UsageError(f"{label} must be more than 0, and finite")
    return value


def zero_or_more(label: str, value: float) -> float:
    if not 0 <= value < math.inf:
        raise UsageError(f"{label} must be 0 or more, and finite")
    return value


def address(label: str, value: str) -> str:
    """An http(s) URL, without slashes at its end."""
    if not _is_address(value):
        raise UsageError(f"{label} {value!r} is not an address: it begins with https://")
    return value.rstrip("/")


def secret_address(label: str, value: str) -> str:
    """An http(s) URL that no message shows."""
    if not _is_address(value):
        raise UsageError(f"{label} is not an address: it begins with https://")
    return value


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
