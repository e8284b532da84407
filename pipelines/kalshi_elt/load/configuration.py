"""The settings in force: from the command line, the environment or `.dlt/config.toml`.

dlt resolves them, in its own order: an argument, the environment (`SOURCES__KALSHI__RATE=5`),
`.dlt/config.toml` under `[sources.kalshi]`; else it is the default that `load.settings` declares.
"""

import os
from collections.abc import Mapping
from dataclasses import make_dataclass
from typing import Any

from dlt.common.configuration import configspec, resolve_configuration
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.configuration.specs import BaseConfiguration

from kalshi_elt.base.environment import environment
from kalshi_elt.base.errors import UsageError, first_line
from kalshi_elt.load.setting import Setting
from kalshi_elt.load.settings import NAMES, SELECTING, SETTINGS, LoadSettings, checked

SECTIONS = ("sources", "kalshi")


def _type(one: Setting) -> Any:
    """As dlt reads it: absent where nobody set it."""
    kind: Any = one.kind
    return (list[kind] if one.is_list else kind) | None


CONFIGURATION: type[BaseConfiguration] = configspec(
    make_dataclass(
        "Configuration",
        [(one.name, _type(one), None) for one in SETTINGS],
        bases=(BaseConfiguration,),
    )
)
"""The settings as dlt knows them."""


def load_settings(arguments: Mapping[str, Any]) -> LoadSettings:
    """The settings in force, checked. Raises UsageError, naming the setting, on a wrong one."""
    explicit = {name: value for name, value in arguments.items() if value is not None}
    for one in SETTINGS:
        if one.variable and (value := os.environ.get(one.variable)):
            explicit.setdefault(one.name, value)
    # who selects by arguments means those alone, not the file's besides
    if explicit.keys() & SELECTING:
        explicit = {name: [] for name in NAMES} | explicit
    try:
        # dlt also reads variables without their section: RATE or STATUS of another program
        with environment({}, without={one.name.upper() for one in SETTINGS}):
            found = resolve_configuration(
                CONFIGURATION(), sections=SECTIONS, explicit_value=explicit or None
            )
    except ConfigurationException as error:
        raise UsageError(f"settings ([sources.kalshi]): {first_line(error)}") from error
    return checked({one.name: found[one.name] for one in SETTINGS})
