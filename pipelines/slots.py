"""Working folders of loaders that share a load on one machine: dlt's is for one process alone.

Slot 0 is the folder of a load on its own, the others lie in it, and each is held by a lock on a
file. So the next process finds what a killed one left pending.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

from pipelines.land import PIPELINE, REFUSED, Lander
from pipelines.warehouse import Warehouse

SLOTS = "loaders"


@contextmanager
def hold_slot(warehouse: Warehouse) -> Iterator[Warehouse]:
    """The warehouse with the first working folder that no other process holds."""
    for number in count():
        with _held(warehouse, number) as mine:
            if mine:
                yield mine
                return


def settle_free_slots(warehouse: Warehouse, application: str) -> int:
    """Land what killed loaders left pending in working folders that nobody holds, and remove those;
    returns the number of packages."""
    pending = 0
    for number in _slots(warehouse):
        with _held(warehouse, number) as free:
            if not free or not (free.work_folder / PIPELINE).exists():
                continue
            pending += Lander(free, application).settle()
            # files that Postgres refuses are kept for a person to look at
            if number > 0 and not (free.work_folder / PIPELINE / REFUSED).exists():
                shutil.rmtree(free.work_folder, ignore_errors=True)
    return pending


def _slots(warehouse: Warehouse) -> list[int]:
    folders = (warehouse.work_folder / SLOTS).glob("*/")
    numbers = sorted(int(folder.name) for folder in folders if folder.name.isdecimal())
    return [0, *numbers] if numbers else []


@contextmanager
def _held(warehouse: Warehouse, number: int) -> Iterator[Warehouse | None]:
    """The warehouse with that working folder; None when another process holds it."""
    slots = warehouse.work_folder / SLOTS
    slots.mkdir(parents=True, exist_ok=True)
    handle = os.open(slots / f"{number}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield replace(warehouse, work_folder=_folder(warehouse, number))
    finally:
        os.close(handle)


def _folder(warehouse: Warehouse, number: int) -> Path:
    folder = warehouse.work_folder
    return folder / SLOTS / str(number) if number else folder
