"""Where the project's own files are, wherever the command is started from."""

import hashlib
import os
import re
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[3]
"""Folder of `dbt_project.yml`, `profiles.yml` and `.dlt/`: the project is installed editable."""


LONGEST_NAME = 100
"""The most characters of a file's name that are kept when something is added to it."""

PLAIN_NAME = re.compile(r"(?!(?:CON|PRN|AUX|NUL|COM\d|LPT\d)(?:\.|$))[A-Z0-9][A-Z0-9.-]{0,79}")
"""Tickers that can be names of files as they are, on every system. Windows does not allow those of
its devices, such as CON and NUL."""


def file_name(ticker: str) -> str:
    """A file's name for a ticker, without suffix; no two tickers share one, even on a disk that
    takes capitals and small letters for the same.

    Most tickers are their own name. Any other is made readable and gets a hash behind an
    underscore, so it can't be the name of another ticker: plain names have no underscore.
    """
    if PLAIN_NAME.fullmatch(ticker):
        return ticker
    readable = re.sub(r"[^A-Za-z0-9-]+", "-", ticker)[:60].strip("-")
    return f"{readable}_{hashlib.sha256(ticker.encode()).hexdigest()[:20]}"


def dlt_data_folder() -> Path:
    """Where dlt keeps its working files: DLT_DATA_DIR, or a folder of the project, never `~`."""
    return Path(os.environ.get("DLT_DATA_DIR") or PROJECT_ROOT / ".dlt" / ".var")
