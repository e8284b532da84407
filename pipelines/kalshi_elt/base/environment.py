"""The environment of this process: what libraries read there is set for a time, and put back."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from kalshi_elt.base.paths import PROJECT_ROOT, dlt_data_folder


@contextmanager
def environment(variables: Mapping[str, str], *, without: Iterable[str] = ()) -> Iterator[None]:
    """`variables` are set, and those named in `without` are absent, for the time of the block."""
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
    """Let dlt read the project's `.dlt/`, write nothing into the home folder, and log nothing
    that the summary says better. To be called before dlt is imported."""
    os.environ.setdefault("DLT_PROJECT_DIR", str(PROJECT_ROOT))
    os.environ.setdefault("DLT_DATA_DIR", str(dlt_data_folder()))
    logging.getLogger("dlt").setLevel(logging.CRITICAL)
