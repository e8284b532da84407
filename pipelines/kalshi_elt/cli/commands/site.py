"""`kalshi-elt site`: the warehouse as a static site."""

import argparse
from pathlib import Path

from kalshi_elt.base.errors import UsageError
from kalshi_elt.base.times import now, parse_moment
from kalshi_elt.cli.command import Command, the_warehouse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to",
        default="site",
        metavar="DIR",
        help="a new folder, or the folder of a site; default: site",
    )
    parser.add_argument(
        "--event",
        action="append",
        dest="events",
        default=[],
        metavar="EVENT",
        help="an event that gets a page, by its ticker; may be given more than once; "
        "default: the most traded ones",
    )
    parser.add_argument(
        "--events",
        type=int,
        dest="most",
        default=200,
        metavar="N",
        help="how many of the most traded events get a page; default: 200",
    )
    parser.add_argument(
        "--since", metavar="TIME", help="where charts begin: an ISO date or time, or how long ago"
    )
    parser.add_argument(
        "--no-docs",
        action="store_false",
        dest="has_docs",
        help="leave out the dbt docs, which take ten seconds and a role that may read all schemas",
    )


def execute(arguments: argparse.Namespace) -> int:
    # jinja2 and dbt take a second to import: only here
    from kalshi_elt.publish.site.build import Wish, write_site

    if arguments.most < 1:
        raise UsageError(f"--events {arguments.most}: give 1 or more")
    since = arguments.since
    wish = Wish(
        events=arguments.events,
        most=arguments.most,
        since=None if since is None else parse_moment("since", since, now()),
        has_docs=arguments.has_docs,
    )
    print(write_site(the_warehouse(), Path(arguments.to), wish))
    return 0


COMMAND = Command(
    "site",
    "write the warehouse as a static website with charts",
    "Write the warehouse as a static website with charts, which any web server or folder can hold.",
    execute,
    add_arguments,
)
