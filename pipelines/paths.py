"""Where the project's own files are, wherever the command is started from."""

import os
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent
"""Folder of `dbt_project.yml`, `profiles.yml` and `.dlt/`: the project is installed editable."""


def dlt_data_folder() -> Path:
    """Where dlt keeps its working files: DLT_DATA_DIR, or a folder of the project, never `~`."""
    return Path(os.environ.get("DLT_DATA_DIR") or PROJECT_ROOT / ".dlt" / ".var")
