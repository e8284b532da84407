"""Where the project's own files are, wherever the command is started from."""

from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent
"""Folder of `dbt_project.yml`, `profiles.yml` and `.dlt/`: the project is installed editable."""

DLT_FOLDER = PROJECT_ROOT / ".dlt"
