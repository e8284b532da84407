"""Folders that one command fills and keeps up to date: an export, a site."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from kalshi_elt.base.errors import BusyError, UsageError

Content = TypeVar("Content")


@contextmanager
def hold_folder(
    path: Path, *, thing: str, manifest: str, is_leftover: Callable[[str], bool], busy: str
) -> Iterator[None]:
    """Keep the folder of a `thing` ("an export") for this process alone until the block ends.

    The folder is made when it is not there. One of ours has a file `manifest` in it; before that is
    written, a killed process leaves nothing but entries whose names `is_leftover` accepts. Raises
    UsageError when the folder has other things in it, BusyError, with the text `busy`, when another
    process holds it.
    """
    if _is_foreign(path, manifest, is_leftover):
        raise UsageError(
            f"--to {path}: the folder is not empty and is not {thing}; choose another one"
        )
    path.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(busy) from None
        yield
    finally:
        os.close(handle)


def read_manifest(
    path: Path, name: str, made_by: str, read: Callable[[dict[str, Any]], Content]
) -> Content | None:
    """What `read` makes of the folder's manifest, a JSON object; None when there is no such file.

    Raises UsageError unless the manifest says `made_by`, which names the command and the version of
    the form, and has what `read` looks for.
    """
    try:
        manifest = json.loads((path / name).read_bytes())
        if manifest["made_by"] == made_by:
            return read(manifest)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError):
        # neither JSON, nor of the form that we write
        pass
    raise UsageError(f"--to {path}: its {name} is not ours; choose another folder")


def _is_foreign(path: Path, manifest: str, is_leftover: Callable[[str], bool]) -> bool:
    if not path.is_dir() or (path / manifest).exists():
        return False
    return not all(is_leftover(entry.name) for entry in path.iterdir())
