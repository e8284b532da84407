"""dbt's manifest: what the asset graph is made from. No warehouse and no network is needed."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.transform.build import run_dbt, target_folder
from kalshi_elt.warehouse.connection import Warehouse

TARGET = target_folder() / "dagster"
"""Where dbt writes for Dagster: the same folder every time, as a folder for each build of a job of
every five minutes would take 600 MB a day."""

MODELS = "model."

NOWHERE = Warehouse("localhost", 5432, "nobody", "", "none", {}, Path())
"""A warehouse that is not there: to parse a project dbt needs a profile, but never connects."""

Manifest = dict[str, Any]


def _read() -> Manifest:
    """The manifest, made again when a file of the dbt project is newer."""
    file = TARGET / "manifest.json"
    if not file.exists() or file.stat().st_mtime < _newest_change():
        TARGET.mkdir(parents=True, exist_ok=True)
        # written elsewhere and then moved, as another process of Dagster may be reading the file
        with TemporaryDirectory(dir=TARGET) as folder:
            paths = ("--target-path", folder, "--log-path", folder)
            run_dbt(NOWHERE, ["parse", "--quiet", *paths])
            Path(folder, file.name).replace(file)
    manifest: Manifest = json.loads(file.read_bytes())
    _place_tests(manifest)
    return manifest


def _newest_change() -> float:
    files = (PROJECT_ROOT / "dbt_project").rglob("*")
    return max(file.stat().st_mtime for file in (PROJECT_ROOT / "dbt_project.yml", *files))


def _place_tests(manifest: Manifest) -> None:
    """Let every test be a check of an asset.

    dagster-dbt knows where to put a test of one model. One that reads several belongs to the last
    model of them that dbt builds; one that reads none, as of a source, to the last of all.
    """
    nodes = manifest["nodes"]
    ancestors = {node: _ancestors(manifest, node) for node in nodes if node.startswith(MODELS)}
    for name, test in nodes.items():
        if test["resource_type"] != "test" or str(test.get("attached_node")).startswith(MODELS):
            continue
        read = [node for node in test["depends_on"]["nodes"] if node.startswith(MODELS)]
        last = max(read or ancestors, key=lambda node: (len(ancestors[node]), node))
        test["config"].setdefault("meta", {})["dagster"] = {"ref": {"name": nodes[last]["name"]}}
        # tests are looked for among a model's children
        if name not in manifest["child_map"][last]:
            manifest["child_map"][last].append(name)


def _ancestors(manifest: Manifest, node: str) -> set[str]:
    parents: list[str] = manifest["parent_map"].get(node, [])
    return set(parents).union(*(_ancestors(manifest, parent) for parent in parents))


MANIFEST = _read()
