"""`kalshi-elt schedule`: the files of `deploy/`, filled in for this checkout and an interval.

Each file is valid as it stands: every five minutes, a checkout in /opt/kalshi-elt. Filling one in
replaces what `DEFAULT` gives by what the schedule asked for gives, and nothing else.
"""

import getpass
import json
import os
import re
import shlex
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kalshi_elt.base.errors import KalshiEltError, UsageError
from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.base.times import MINUTE, parse_duration

HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY

TEMPLATES = PROJECT_ROOT / "deploy"
FILES = {
    "systemd": ("systemd/kalshi-elt.service", "systemd/kalshi-elt.timer"),
    "cron": ("cron/crontab",),
    "github": ("github/kalshi-elt.yml",),
    "docker": ("docker/compose.yml",),
    "kubernetes": ("kubernetes/cronjob.yaml",),
}
"""What is printed for each scheduler, in `deploy/`."""

USER = "kalshi"
"""The user of a schedule that root asks for: a run needs none of root's rights."""

IMAGE = "kalshi-elt:local"

LONGEST_BUDGET = 5 * HOUR
"""GitHub ends a job after six."""

GRACE = 10 * MINUTE
"""How long after its budget a run is taken to hang. It also covers GitHub's installing."""

GITHUB_SHORTEST = 5 * MINUTE

CRON_INTERVALS = (
    *(minutes * MINUTE for minutes in range(1, 60) if 60 % minutes == 0),
    *(hours * HOUR for hours in range(1, 24) if 24 % hours == 0),
    *(DAY, WEEK),
)
"""Cron goes by the clock, so it knows only intervals that go into an hour, a day or a week."""

START_MINUTE = 7
"""Longer intervals start at :07, as everybody else's jobs start at :00."""


@dataclass(frozen=True)
class Schedule:
    """How often a run starts, and what the schedulers have to know to start it."""

    every: int
    """Seconds, whole minutes."""
    program: Path
    """The console command, absolute."""
    checkout: Path
    user: str = USER
    image: str = IMAGE

    @property
    def budget(self) -> int:
        """Seconds that a run may take: four fifths of the interval, in whole minutes where it is
        five minutes or more."""
        fifths = self.every * 4 // 5
        whole = fifths // MINUTE * MINUTE
        return min(fifths if self.every < 5 * MINUTE else whole, LONGEST_BUDGET)

    @property
    def limit(self) -> int:
        """Seconds after which a run that hangs is ended, whole minutes."""
        return -(-(self.budget + GRACE) // MINUTE) * MINUTE

    @property
    def run(self) -> str:
        """The arguments of a run."""
        return f"run --budget {duration(self.budget)}"

    @property
    def pace(self) -> str:
        """The interval in the files' comments."""
        return f"every {duration(self.every)}"


DEFAULT = Schedule(
    every=5 * MINUTE,
    program=Path("/opt/kalshi-elt/.venv/bin/kalshi-elt"),
    checkout=Path("../.."),
)
"""What the files of `deploy/` say as they stand."""


def schedule_here(every: str, user: str | None = None, image: str | None = None) -> Schedule:
    """The schedule of this checkout. Raises UsageError on what no scheduler can be told."""
    program = Path(sysconfig.get_path("scripts")) / "kalshi-elt"
    for path in (program, PROJECT_ROOT):
        if not str(path).isprintable():
            raise UsageError(f"{str(path)!r} has control characters: move the checkout elsewhere")
    return Schedule(
        parse_interval(every),
        program,
        PROJECT_ROOT,
        _user(user) if user is not None else _caller(),
        _image(image) if image is not None else IMAGE,
    )


def parse_interval(text: str) -> int:
    """Seconds of an interval such as `5m`, `1h` or `1d`. Raises UsageError on anything else."""
    seconds = parse_duration("every", text)
    if seconds % MINUTE or seconds > WEEK:
        raise UsageError(f"--every {text}: give whole minutes, 1m to 7d, as in 5m, 1h or 1d")
    return seconds


def duration(seconds: int) -> str:
    """As `parse_duration` reads it, in the largest unit that fits: `90m`, `2h`."""
    units = (("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", 1))
    unit, size = next((unit, size) for unit, size in units if seconds % size == 0)
    return f"{seconds // size}{unit}"


def default_scheduler() -> str:
    """systemd where it runs this machine, else cron."""
    return "systemd" if Path("/run/systemd/system").is_dir() else "cron"


def render(scheduler: str, schedule: Schedule) -> dict[str, str]:
    """The scheduler's files, filled in, by their names. Raises UsageError when there is no such one
    or can't keep the interval."""
    if scheduler not in FILES:
        raise UsageError(f"--for {scheduler} is not one of {', '.join(FILES)}")
    values = VALUES[scheduler]
    filled = dict(zip(values(DEFAULT), values(schedule), strict=True))
    templates = {name: _template(name) for name in FILES[scheduler]}
    for default in filled:
        if not any(default in template for template in templates.values()):
            raise KalshiEltError(
                f"deploy/{scheduler} does not say {default!r} any more, so it can't be filled in; "
                "restore it, or edit a copy of it by hand"
            )
    return {Path(name).name: _replace(template, filled) for name, template in templates.items()}


def write(files: Mapping[str, str], folder: Path) -> list[Path]:
    """Write rendered files into `folder`; returns their paths. Never over the ones filled in."""
    if folder.resolve().is_relative_to(TEMPLATES):
        raise UsageError(f"--to {folder} has the files that are filled in: give another folder")
    paths = [folder / name for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise KalshiEltError(
                f"{path} can't be written: {error.strerror}; give --to a folder that you can write"
            ) from error
    return paths


def _template(name: str) -> str:
    try:
        return (TEMPLATES / name).read_text(encoding="utf-8")
    except OSError as error:
        raise KalshiEltError(
            f"deploy/{name} can't be read: {error.strerror}; restore it in {PROJECT_ROOT}"
        ) from error


def _replace(text: str, values: Mapping[str, str]) -> str:
    """All replaced in one pass, so that no value is looked for inside another."""
    longest_first = sorted(values, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), lambda hit: values[hit[0]], text)


# What each scheduler's files say of a schedule


def _systemd(schedule: Schedule) -> list[str]:
    return [
        schedule.pace,
        f"ExecStart={systemd_command(str(schedule.program))} {schedule.run}",
        f"TimeoutStartSec={schedule.limit // MINUTE}min",
        f"User={schedule.user}",
        _systemd_trigger(schedule.every),
        f"RandomizedDelaySec={min(schedule.every // 10, 5 * MINUTE)}s",
    ]


def _systemd_trigger(every: int) -> str:
    """By the calendar where it can say the interval, as only then a missed start is made up for;
    else from one start to the next, and after booting."""
    if every not in CRON_INTERVALS:
        return f"OnBootSec=1min\nOnUnitActiveSec={every // MINUTE}min"
    if every < HOUR:
        return f"OnCalendar=*:0/{every // MINUTE}"
    minute = f"{START_MINUTE:02}"
    if every < DAY:
        return f"OnCalendar=0/{every // HOUR}:{minute}"
    return f"OnCalendar={'Sun ' if every == WEEK else ''}*-*-* 00:{minute}"


def _cron(schedule: Schedule) -> list[str]:
    command = f"{cron_quoted(str(schedule.program))} {schedule.run}"
    return [schedule.pace, f"{_cron_times('cron', schedule.every)} {command} 2>&1"]


def _github(schedule: Schedule) -> list[str]:
    if schedule.every < GITHUB_SHORTEST:
        raise UsageError(
            f"--every {duration(schedule.every)}: GitHub starts a workflow every 5m at most; "
            "give 5m or longer, or another scheduler with --for"
        )
    return [
        schedule.pace,
        f'cron: "{_cron_times("github", schedule.every)}"',
        f"timeout-minutes: {schedule.limit // MINUTE}",
        schedule.run,
    ]


def _docker(schedule: Schedule) -> list[str]:
    return [
        schedule.pace,
        f"image: {schedule.image}",
        f"context: {compose_quoted(str(schedule.checkout))}",
        schedule.run,
        f"$$(({schedule.every} - $$(date +%s) % {schedule.every}))",
    ]


def _kubernetes(schedule: Schedule) -> list[str]:
    return [
        schedule.pace,
        f'schedule: "{_cron_times("kubernetes", schedule.every)}"',
        f"startingDeadlineSeconds: {schedule.every}",
        f"activeDeadlineSeconds: {schedule.limit}",
        f"image: {schedule.image}",
        schedule.run,
    ]


VALUES: Mapping[str, Callable[[Schedule], list[str]]] = {
    "systemd": _systemd,
    "cron": _cron,
    "github": _github,
    "docker": _docker,
    "kubernetes": _kubernetes,
}


def _cron_times(scheduler: str, every: int) -> str:
    """The five fields of a crontab line. Raises UsageError when they can't say the interval."""
    if every not in CRON_INTERVALS:
        near = [
            max(interval for interval in CRON_INTERVALS if interval < every),
            min(interval for interval in CRON_INTERVALS if interval > every),
        ]
        raise UsageError(
            f"--every {duration(every)}: {scheduler} goes by cron's fields, which can't say that; "
            f"give {' or '.join(map(duration, near))}, or --for systemd"
        )
    if every == MINUTE:
        return "* * * * *"
    if every < HOUR:
        return f"*/{every // MINUTE} * * * *"
    if every < DAY:
        return f"{START_MINUTE} {'*' if every == HOUR else f'*/{every // HOUR}'} * * *"
    return f"{START_MINUTE} 0 * * {'0' if every == WEEK else '*'}"


# Quoting


def systemd_command(program: str) -> str:
    """A program for `ExecStart=`. systemd puts no variables into its path, but into arguments."""
    if re.search(r"""["'\\]""", program):
        # systemd refuses a program with these in its path, a shell doesn't
        return f"""/bin/sh -c 'exec "$$0" "$$@"' {_systemd_quoted(program).replace("$", "$$")}"""
    return _systemd_quoted(program)


def _systemd_quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if re.search(r"""[\s"'\\;]""", word) else escaped


def cron_quoted(word: str) -> str:
    """A word for the shell in a crontab, where a bare `%` would end the line."""
    return r"\%".join(shlex.quote(part) for part in word.split("%"))


def compose_quoted(text: str) -> str:
    """A YAML string in a compose file, where `$` begins a variable."""
    return json.dumps(text, ensure_ascii=False).replace("$", "$$")


# The caller


def _caller() -> str:
    """Who asks for the schedule, or `kalshi` when that is root or has no name."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        return USER
    return USER if os.geteuid() == 0 or name == "root" else _user(name)


def _user(name: str) -> str:
    if name in ("root", "0"):
        raise UsageError(f"--user {name}: a run needs no root; name another user")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,30}", name):
        raise UsageError(f"--user {name!r} is not a valid user name: give one as in --user {USER}")
    return name


def _image(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9./:@_-]*", name):
        raise UsageError(
            f"--image {name!r} is not a valid image name: give one as in --image {IMAGE}"
        )
    return name
