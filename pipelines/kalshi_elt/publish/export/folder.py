"""The folder of an export, in which a kill at any moment leaves no incomplete file.

A file is written under a hidden name and renamed when it is complete, and only then named in
`manifest.json`. Readers pass over hidden files, as all readers of such layouts do.
"""

import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from kalshi_elt.base.errors import UsageError
from kalshi_elt.base.folders import hold_folder, read_manifest

MANIFEST = "manifest.json"
MADE_BY = "kalshi-elt export 1"
UNFINISHED = ".unfinished"


class PendingFile:
    """A file that is being written, under another name until `commit`."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._unfinished = path.with_name(f".{path.name}{UNFINISHED}")
        self.file: BinaryIO = self._unfinished.open("wb")

    def commit(self) -> int:
        """Write it to the disk and give it its name; returns how many bytes it has."""
        self.file.flush()
        os.fsync(self.file.fileno())
        written = self.file.tell()
        self.file.close()
        self._unfinished.rename(self._path)
        return written

    def discard(self) -> None:
        """Remove it, unless it is committed."""
        with suppress(OSError):
            # closing writes what is still buffered, which fails once more when the disk is full
            self.file.close()
        self._unfinished.unlink(missing_ok=True)


@dataclass(frozen=True)
class WholeFile:
    """A complete file of the export."""

    rows: int
    bytes: int
    fingerprint: str


@dataclass
class ExportFolder:
    """The files of an export, by their paths in it."""

    path: Path
    format: str
    files: dict[str, WholeFile] = field(default_factory=dict)
    tables: dict[str, dict[str, str]] = field(default_factory=dict)
    """Postgres' types of columns, by table and column: for readers, who find them in the
    manifest."""

    def holds(self, name: str, fingerprint: str) -> bool:
        """Whether the file is there, complete, and has the rows with that fingerprint."""
        known = self.files.get(name)
        if known is None or known.fingerprint != fingerprint:
            return False
        try:
            return (self.path / name).stat().st_size == known.bytes
        except FileNotFoundError:
            return False

    def commit(self, name: str, pending: PendingFile, rows: int, fingerprint: str) -> int:
        """Put a complete file in its place and name it in the manifest; returns how many bytes it
        has."""
        written = pending.commit()
        self.files[name] = WholeFile(rows, written, fingerprint)
        self.save(is_complete=False)
        return written

    def remove_all_but(self, names: Collection[str]) -> int:
        """Remove all files of the export but those named; returns how many."""
        # a kill between a file's renaming and its entry leaves a file that the manifest does not
        # name
        strangers = {
            path.relative_to(self.path).as_posix()
            for path in self.path.glob(f"*/**/part-0.{self.format}")
        }
        gone = (strangers | self.files.keys()) - set(names)
        for name in sorted(gone):
            (self.path / name).unlink(missing_ok=True)
            self._remove_empty(self.path / name)
            self.files.pop(name, None)
        return len(gone)

    def _remove_empty(self, path: Path) -> None:
        with suppress(OSError):
            while path.parent != self.path:
                path = path.parent
                path.rmdir()

    def save(self, *, is_complete: bool) -> None:
        """Write the manifest. `is_complete` says that all files are of one moment of the
        warehouse."""
        manifest = {
            "made_by": MADE_BY,
            "format": self.format,
            "is_complete": is_complete,
            "tables": self.tables,
            "files": {name: asdict(file) for name, file in sorted(self.files.items())},
        }
        pending = PendingFile(self.path / MANIFEST)
        try:
            pending.file.write(json.dumps(manifest, indent=1).encode())
            pending.commit()
        finally:
            pending.discard()


@contextmanager
def open_folder(path: Path, file_format: str) -> Iterator[ExportFolder]:
    """Keep the folder of an export for this process alone until the block ends; made if need be.

    Raises UsageError when it holds something else, or an export in another format, BusyError when
    another export is writing to it.
    """
    with hold_folder(
        path,
        thing="an export",
        manifest=MANIFEST,
        is_leftover=lambda name: name.endswith(UNFINISHED),
        busy=f"another export is writing to {path}: run again when it ends",
    ):
        folder = _read(path, file_format)
        for leftover in path.rglob(f".*{UNFINISHED}"):
            leftover.unlink()
        folder.save(is_complete=False)
        yield folder


def _read(path: Path, file_format: str) -> ExportFolder:
    found = read_manifest(path, MANIFEST, MADE_BY, _format_and_files)
    if found is None:
        return ExportFolder(path, file_format)
    there, files = found
    if there != file_format:
        raise UsageError(
            f"--to {path}: it holds an export as {there}; choose another folder for {file_format}"
        )
    return ExportFolder(path, file_format, files)


def _format_and_files(manifest: dict[str, Any]) -> tuple[str, dict[str, WholeFile]]:
    files = {name: WholeFile(**file) for name, file in manifest["files"].items()}
    return manifest["format"], files
