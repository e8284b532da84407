"""The folder of a site, in which a kill at any moment leaves no broken page.

A new site is written into a hidden folder inside it. When it is complete its files are moved to
their places one by one, those that pages link to before the pages. Then files that the new site
does not have are removed, but only those that an earlier site wrote, which `site.json` names.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from kalshi_elt.base.errors import UsageError
from kalshi_elt.base.folders import hold_folder, read_manifest

MANIFEST = "site.json"
MADE_BY = "kalshi-elt site 1"
BUILDING = ".building"


@dataclass
class SiteFolder:
    """A folder for a site, which may have one already."""

    path: Path
    known: set[str]
    """Files that earlier sites wrote, as paths in the folder."""
    staged: list[str] = field(default_factory=list)

    def stage(self, name: str, content: str | bytes) -> None:
        """Write a file of the new site, aside. All of them are put in their places by `publish`, in
        the order in which they were staged."""
        path = self.path / BUILDING / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            content.encode("utf-8", "replace") if isinstance(content, str) else content
        )
        self.staged.append(name)

    def publish(self) -> None:
        """Put the staged files in their places, and remove those that the site does not have any
        more."""
        stale = self.known - set(self.staged)
        # before anything else, so that the next site knows all files as ours, should we be killed
        self._save(self.known | set(self.staged))
        for name in self.staged:
            place = self.path / name
            place.parent.mkdir(parents=True, exist_ok=True)
            (self.path / BUILDING / name).replace(place)
        for name in sorted(stale):
            with suppress(FileNotFoundError):
                (self.path / name).unlink()
            with suppress(OSError):
                # fails while something else is in it
                (self.path / name).parent.rmdir()
        self._save(set(self.staged))
        shutil.rmtree(self.path / BUILDING, ignore_errors=True)

    def begin(self) -> None:
        """Mark the folder as a site's, and remove what a killed process left unfinished in it."""
        shutil.rmtree(self.path / BUILDING, ignore_errors=True)
        self._save(self.known)

    def _save(self, names: set[str]) -> None:
        manifest = {"made_by": MADE_BY, "files": sorted(names)}
        unfinished = self.path / BUILDING / MANIFEST
        unfinished.parent.mkdir(exist_ok=True)
        unfinished.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(self.path / MANIFEST)


@contextmanager
def open_folder(path: Path) -> Iterator[SiteFolder]:
    """Keep the folder of a site for this process alone until the block ends; made if need be.

    Raises UsageError when it holds something else, BusyError when another site is being written to
    it.
    """
    if path.exists() and not path.is_dir():
        raise UsageError(f"--to {path} is not a folder: choose another one")
    with hold_folder(
        path,
        thing="a site",
        manifest=MANIFEST,
        is_leftover=lambda name: name == BUILDING,
        busy=f"another site is being written to {path}: run again later",
    ):
        folder = SiteFolder(path, _known(path))
        folder.begin()
        try:
            yield folder
        finally:
            shutil.rmtree(path / BUILDING, ignore_errors=True)


def _known(path: Path) -> set[str]:
    """The files that the folder's manifest names, without names that lead out of the folder."""
    names = read_manifest(
        path, MANIFEST, MADE_BY, lambda manifest: {str(name) for name in manifest["files"]}
    )
    return {name for name in names or () if _is_inside(PurePosixPath(name))}


def _is_inside(name: PurePosixPath) -> bool:
    return not name.is_absolute() and ".." not in name.parts
