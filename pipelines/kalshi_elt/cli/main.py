"""The command line, `kalshi-elt`: a command in, an exit status out.

Exit status 0: done. 1: something asked for could not be done, the last lines say what and why.
2: wrong usage or settings. 3: another load or run is under way on the warehouse.
"""

import sys
import traceback
from collections.abc import Sequence

from kalshi_elt.base.environment import use_project_settings
from kalshi_elt.base.errors import KalshiEltError
from kalshi_elt.base.extras import missing_extra
from kalshi_elt.base.text import visible
from kalshi_elt.cli.parser import parse


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    verbose = "--verbose" in (sys.argv if argv is None else argv)
    use_project_settings()
    try:
        command, arguments = parse(argv)
        return command.execute(arguments)
    except KalshiEltError as error:
        return _fail(str(error), error.exit_status, verbose)
    except KeyboardInterrupt:
        return _fail("interrupted; what landed is kept, run it again to go on", 130, verbose)
    except BrokenPipeError:
        return 1
    except Exception as error:
        if needed := missing_extra(error):
            return _fail(needed, 1, verbose)
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return _fail(f"unexpected {reason}; --verbose shows where", 1, verbose)


def _fail(message: str, status: int, verbose: bool) -> int:
    if verbose:
        # errors of libraries quote what the API sent
        for line in traceback.format_exc().splitlines():
            print(visible(line), file=sys.stderr)
    print(f"kalshi-elt: {visible(message)}", file=sys.stderr)
    return status
