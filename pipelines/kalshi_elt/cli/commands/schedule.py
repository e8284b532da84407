"""`kalshi-elt schedule`: the files of a scheduler, filled in for this checkout."""

import argparse
from pathlib import Path

from kalshi_elt.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--every", required=True, metavar="TIME", help="how often: 5m, 1h, 1d")
    parser.add_argument(
        "--for",
        dest="scheduler",
        metavar="SCHEDULER",
        help="systemd, cron, github, docker or kubernetes; "
        "default: systemd where it runs this machine, else cron",
    )
    parser.add_argument("--user", metavar="NAME", help="for systemd: who runs it; default: you")
    parser.add_argument("--image", metavar="NAME", help="for docker and kubernetes: the image")
    parser.add_argument(
        "--to", metavar="FOLDER", help="write the files there, instead of printing them"
    )


def execute(arguments: argparse.Namespace) -> int:
    from kalshi_elt.job.schedule import default_scheduler, render, schedule_here, write

    schedule = schedule_here(arguments.every, arguments.user, arguments.image)
    files = render(arguments.scheduler or default_scheduler(), schedule)
    if arguments.to is not None:
        for path in write(files, Path(arguments.to)):
            print(f"wrote {path}")
    else:
        print("\n".join(files.values()), end="")
    return 0


COMMAND = Command(
    "schedule",
    "print the files that make a scheduler start `run` again and again",
    "Print the files that make a scheduler start `kalshi-elt run` again and again.",
    execute,
    add_arguments,
)
