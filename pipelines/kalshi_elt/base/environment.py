"""The environment of this process: what libraries read there is set for a time, and put back."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from kalshi_elt.base.paths import PROJECT_ROOT, dlt_data_folder


@contextmanager
def environment(variables: Mapping[str, str], *, without: Iterable[str] = ()) -> Iterator[None]:
    """Set `variables`, and remove those named in `without`, until the block ends.

    Of this process: everything in it sees them, other threads too.
    """
    before = dict(os.environ)
    for name in without:
        os.environ.pop(name, None)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def use_project_settings() -> None:
    """Let dlt read the project's `.dlt/`, and write its working files there, not into the home
    folder. Its own log is silenced: what goes wrong is said by the load's summary.

    To be called before dlt is imported, as dlt reads the variables then.
    """
    os.environ.setdefault("DLT_PROJECT_DIR", str(PROJECT_ROOT))
    os.environ.setdefault("DLT_DATA_DIR", str(dlt_data_folder()))
    logging.getLogger("dlt").setLevel(logging.CRITICAL)
