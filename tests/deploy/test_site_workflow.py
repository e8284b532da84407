"""`.github/workflows/site.yml`: the site after the scheduled job, with the least rights."""

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from kalshi_elt.base.paths import PROJECT_ROOT

SITE = PROJECT_ROOT / ".github" / "workflows" / "site.yml"
JOB = PROJECT_ROOT / "deploy" / "github" / "kalshi-elt.yml"

# YAML 1.1 reads the key `on` as true
ON: Any = True


def workflow(path: Path = SITE) -> dict[Any, Any]:
    parsed: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return parsed


def test_it_follows_the_scheduled_job_where_that_succeeded() -> None:
    found = workflow()

    assert found[ON]["workflow_run"] == {
        "workflows": [workflow(JOB)["name"]],
        "types": ["completed"],
    }
    condition = found["jobs"]["build"]["if"]
    assert "workflow_run.conclusion == 'success'" in condition
    assert "workflow_dispatch" in found[ON]


def test_it_publishes_nothing_before_it_is_told_to() -> None:
    jobs = workflow()["jobs"]

    assert jobs["build"]["if"].startswith("vars.PUBLISH_SITE == 'true' && (")
    assert jobs["publish"]["needs"] == "build"


def test_each_job_has_no_more_rights_than_it_needs() -> None:
    found = workflow()

    assert found["permissions"] == {}
    assert {name: job["permissions"] for name, job in found["jobs"].items()} == {
        "build": {"contents": "read"},
        "publish": {"pages": "write", "id-token": "write"},
    }
    assert found["jobs"]["build"]["steps"][0]["with"] == {"persist-credentials": False}
    assert found["jobs"]["publish"]["environment"]["name"] == "github-pages"
    assert "secrets" not in str(found["jobs"]["publish"])


def test_every_action_is_pinned_as_in_the_scheduled_job() -> None:
    uses = re.findall(r"uses: (.*)", SITE.read_text(encoding="utf-8"))

    assert len(uses) == 4
    for action in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
    assert set(re.findall(r"uses: (.*)", JOB.read_text(encoding="utf-8"))) < set(uses)


def test_it_uploads_what_the_command_writes(tmp_path: Path) -> None:
    *_, write, upload = workflow()["jobs"]["build"]["steps"]
    program = tmp_path / ".venv" / "bin" / "kalshi-elt"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)

    without, given = (
        subprocess.run(
            ["/bin/sh", "-e", "-c", write["run"]],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "DATABASE_URL": url},
            capture_output=True,
            text=True,
            check=False,
        )
        for url in ("", "postgresql://")
    )

    assert (without.returncode, without.stdout) == (2, "::error::set the secret DATABASE_URL\n")
    assert (given.returncode, given.stdout) == (0, "site\n")
    assert upload["with"] == {"path": "site"}
