"""`deploy/citus/` and `.github/workflows/citus.yml`: a cluster to try, and the tests that need one.

No container is started here; the workflow does that. The script that registers the workers runs on
the cluster that CITUS_URL names.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml

from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.warehouse.client_programs import client_program
from tests.support import databases
from tests.support.databases import CITUS_URL, NO_CITUS, nodes_of

FOLDER = PROJECT_ROOT / "deploy" / "citus"
SCRIPT = FOLDER / "register.sql"
WORKFLOW = PROJECT_ROOT / ".github" / "workflows" / "citus.yml"
SITE = PROJECT_ROOT / ".github" / "workflows" / "site.yml"

DATABASE = f"test_register_{os.getpid()}"

NODES = ("coordinator", "worker1", "worker2")

# YAML 1.1 reads the key `on` as true
ON: Any = True


def compose() -> Any:
    return yaml.safe_load((FOLDER / "compose.yml").read_text(encoding="utf-8"))


def workflow() -> Any:
    return yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))


def steps() -> dict[str, Any]:
    """The workflow's steps that have a name."""
    return {one["name"]: one for one in workflow()["jobs"]["test"]["steps"] if "name" in one}


def setting(service: Any, name: str) -> str:
    """What the server is started with."""
    (value,) = (said.partition("=")[2] for said in service["command"] if said.startswith(name))
    return str(value)


# The cluster


def test_it_is_a_coordinator_and_two_workers_alike() -> None:
    services = compose()["services"]
    nodes = [{**services[name], "volumes": None, "ports": None} for name in NODES]

    assert set(services) == {*NODES, "register"}
    assert nodes[0] == nodes[1] == nodes[2]


def test_the_image_is_the_official_one_of_one_version() -> None:
    images = {service["image"] for service in compose()["services"].values()}

    (image,) = images
    assert re.fullmatch(r"citusdata/citus:13\.\d+\.\d+", image)


def test_only_the_coordinator_has_a_port_and_only_on_this_machine() -> None:
    ports = {name: service.get("ports") for name, service in compose()["services"].items()}

    assert ports.pop("coordinator") == ["127.0.0.1:${CITUS_PORT:-5432}:5432"]
    assert set(ports.values()) == {None}


def test_the_password_is_asked_for_and_stands_nowhere() -> None:
    for service in compose()["services"].values():
        environment = service["environment"]
        assert environment["POSTGRES_PASSWORD"] == environment["PGPASSWORD"]
        assert re.fullmatch(r"\$\{POSTGRES_PASSWORD:\?.+\}", environment["PGPASSWORD"])
        # the image's own compose file lets anyone in
        assert "POSTGRES_HOST_AUTH_METHOD" not in environment
    ignored = (PROJECT_ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert ".env" in ignored


def test_each_node_keeps_its_data_in_a_volume_of_its_own() -> None:
    found = compose()

    kept = [found["services"][name]["volumes"] for name in NODES]
    assert kept == [[f"{name}:/var/lib/postgresql/data"] for name in NODES]
    assert set(found["volumes"]) == set(NODES)


def test_nothing_runs_as_root_or_can_become_it() -> None:
    for service in compose()["services"].values():
        assert service["user"] == "postgres"
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_shards_can_move_while_they_are_written_to() -> None:
    for name in NODES:
        node = compose()["services"][name]
        assert setting(node, "--wal_level") == "logical"
        assert int(setting(node, "--max_wal_senders")) >= 10
        assert int(setting(node, "--max_replication_slots")) >= 10


def test_a_node_is_healthy_once_others_can_reach_it() -> None:
    for name in NODES:
        check = compose()["services"][name]["healthcheck"]["test"]
        assert check[:3] == ["CMD", "pg_isready", "--host=127.0.0.1"]


def test_workers_are_registered_once_all_nodes_are_healthy() -> None:
    register = compose()["services"]["register"]

    assert register["depends_on"] == {name: {"condition": "service_healthy"} for name in NODES}
    assert register["restart"] == "no"
    assert register["volumes"] == [f"./{SCRIPT.name}:/{SCRIPT.name}:ro"]
    said = " ".join(register["entrypoint"])
    assert said.startswith("psql ")
    assert "--set=ON_ERROR_STOP=1 " in said
    assert "--set=coordinator=coordinator:5432 " in said
    assert "--set=workers=${CITUS_WORKERS:-worker1:5432 worker2:5432} " in said
    assert said.endswith(f"--file=/{SCRIPT.name}")


def test_docker_compose_reads_the_file(tmp_path: Path) -> None:
    """With a third worker as the README has it."""
    if not shutil.which("docker"):
        pytest.skip("docker is not installed")
    if subprocess.run(
        ["docker", "compose", "version"], capture_output=True, check=False
    ).returncode:
        pytest.skip("docker has no compose")
    for name in ("compose.yml", SCRIPT.name):
        shutil.copy(FOLDER / name, tmp_path)
    (tmp_path / "compose.override.yml").write_text(third_worker(), encoding="utf-8")

    said = subprocess.run(
        ["docker", "compose", "config", "--format", "json"],
        cwd=tmp_path,
        env={**os.environ, "POSTGRES_PASSWORD": "some"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    services = yaml.safe_load(said)["services"]
    assert set(services) == {*NODES, "worker3", "register"}
    (volume,) = services["worker3"]["volumes"]
    assert volume["source"] == "worker3"


def third_worker() -> str:
    """The file by which the README adds a worker."""
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"^```yaml\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    return str(said)


def test_the_readmes_third_worker_is_as_the_others() -> None:
    added = yaml.safe_load(third_worker())

    worker = added["services"]["worker3"]
    assert worker["extends"] == {"file": "compose.yml", "service": "worker2"}
    assert worker["volumes"] == ["worker3:/var/lib/postgresql/data"]
    assert set(added["volumes"]) == {"worker3"}


# The script that registers the workers


@pytest.fixture
def nodes() -> Iterator[list[tuple[str, int]]]:
    """A new database on every node of the cluster, which don't know each other in it; the
    coordinator comes first."""
    if not CITUS_URL:
        pytest.skip(NO_CITUS)
    found = nodes_of(CITUS_URL)
    for host, port in found:
        query(address(host, port, "postgres"), f"create database {DATABASE}")
    for host, port in found[1:]:
        query(address(host, port), "create extension citus")
    yield found
    for host, port in found:
        query(address(host, port, "postgres"), f"drop database {DATABASE} with (force)")


def query(url: str, sql: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []


def address(host: str, port: int, database: str = DATABASE) -> str:
    return databases.address(str(CITUS_URL), database, host, port)


def register(
    nodes: list[tuple[str, int]], *workers: tuple[str, int]
) -> subprocess.CompletedProcess[str]:
    """Run the script as the compose file does."""
    coordinator, *_ = nodes
    options = [
        one for one in compose()["services"]["register"]["entrypoint"] if one.startswith("--no-")
    ]
    variables = {
        "ON_ERROR_STOP": "1",
        "coordinator": f"{coordinator[0]}:{coordinator[1]}",
        "workers": " ".join(f"{host}:{port}" for host, port in workers),
    }
    return subprocess.run(
        [
            client_program("psql", 0),
            *options,
            f"--dbname={address(*coordinator)}",
            *(f"--set={name}={value}" for name, value in variables.items()),
            f"--file={SCRIPT}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.citus
def test_the_script_registers_the_coordinator_and_its_workers(nodes: list[tuple[str, int]]) -> None:
    coordinator, *workers = nodes

    done = register(nodes, *workers)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"worker {host}:{port}" for host, port in workers]
    known = query(
        address(*coordinator),
        "select nodename, nodeport, shouldhaveshards from pg_dist_node where isactive "
        "order by groupid",
    )
    assert known == [(*coordinator, False), *((*worker, True) for worker in workers)]
    health = query(
        address(*coordinator), "select bool_and(result) from citus_check_cluster_node_health()"
    )
    assert health == [(True,)]


@pytest.mark.citus
def test_the_script_again_adds_what_is_new_and_nothing_twice(nodes: list[tuple[str, int]]) -> None:
    coordinator, *workers = nodes
    register(nodes, workers[0])
    before = query(address(*coordinator), "table pg_dist_node order by nodeid")

    done = register(nodes, *workers)
    again = register(nodes, *workers)

    assert (done.returncode, done.stdout) == (again.returncode, again.stdout)
    assert again.returncode == 0
    known = query(address(*coordinator), "table pg_dist_node order by nodeid")
    assert known[: len(before)] == before
    assert len(known) == len(nodes)


@pytest.mark.citus
def test_a_worker_that_can_not_be_reached_is_named_and_none_is_added(
    nodes: list[tuple[str, int]],
) -> None:
    coordinator, *workers = nodes

    done = register(nodes, *workers, ("127.0.0.1", 1))

    assert done.returncode == 3
    assert "127.0.0.1:1" in done.stderr
    known = query(address(*coordinator), "select count(*) from pg_dist_node where groupid <> 0")
    assert known == [(0,)]


@pytest.mark.citus
def test_a_new_worker_gets_its_share_by_the_readmes_statements(
    nodes: list[tuple[str, int]],
) -> None:
    """With a table as the raw ones are laid out: without a key, told apart by whole rows."""
    coordinator, *workers = nodes
    register(nodes, workers[0])
    there = address(*coordinator)
    query(there, "create table raw (market_ticker text not null, payload jsonb)")
    query(there, "select create_distributed_table('raw', 'market_ticker', shard_count => 4)")
    query(there, "alter table raw replica identity full")
    query(there, "insert into raw select number::text, '{}' from generate_series(1, 100) as number")

    host, port = workers[1]
    for statement in rebalancing().replace("'10.0.0.4', 5432", f"'{host}', {port}").splitlines():
        query(there, statement.partition("--")[0])

    shares = query(there, "select nodeport, count(*) from citus_shards group by nodeport")
    assert sorted(shares) == sorted((port, 2) for _, port in workers[:2])
    assert query(there, "select count(*) from raw") == [(100,)]


def rebalancing() -> str:
    """The README's statements that add a worker."""
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sql\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    (said,) = (one for one in blocks if "citus_rebalance_start" in one)
    return str(said)


# The workflow


def test_it_runs_weekly_by_hand_and_for_what_a_change_may_break() -> None:
    found = workflow()[ON]

    assert set(found) == {"schedule", "workflow_dispatch", "pull_request"}
    (schedule,) = found["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", schedule["cron"])
    paths = found["pull_request"]["paths"]
    assert {"dbt_project/**", "pipelines/**", "tests/**", "deploy/citus/**"} <= set(paths)
    for path in paths:
        assert list(PROJECT_ROOT.glob(path.removesuffix("/**"))), path


def test_it_has_no_more_rights_than_it_needs_and_no_secret() -> None:
    found = workflow()

    assert found["permissions"] == {}
    assert found["jobs"]["test"]["permissions"] == {"contents": "read"}
    assert found["jobs"]["test"]["steps"][0]["with"] == {"persist-credentials": False}
    assert "secrets" not in str(found)


def test_it_ends_and_does_not_pile_up() -> None:
    found = workflow()

    assert found["concurrency"]["cancel-in-progress"] is True
    assert found["jobs"]["test"]["timeout-minutes"] <= 120


def test_every_action_is_pinned_as_in_the_sites_workflow() -> None:
    uses, site = (
        re.findall(r"uses: (.*)", path.read_text(encoding="utf-8")) for path in (WORKFLOW, SITE)
    )

    assert len(uses) == 2
    assert set(uses) < set(site)


def test_it_starts_the_cluster_of_deploy_with_a_new_password(tmp_path: Path) -> None:
    program(tmp_path, "docker", 'echo "$@"')
    start = steps()["start the cluster"]

    passwords = set()
    for _ in range(2):
        done = shell(start["run"], tmp_path)
        assert (done.returncode, done.stdout) == (0, "compose run --rm register\n")
        passwords.add((tmp_path / ".env").read_text(encoding="utf-8"))

    assert PROJECT_ROOT / start["working-directory"] == FOLDER
    assert len(passwords) == 2
    assert all(re.fullmatch(r"POSTGRES_PASSWORD=[0-9a-f]{48}\n", one) for one in passwords)


def test_the_nodes_have_the_names_by_which_they_are_registered(tmp_path: Path) -> None:
    """Tests connect to a worker as the coordinator does."""
    program(
        tmp_path,
        "docker",
        'if [ "$1" = compose ]; then echo "id-$4"; else echo "10.9.8.${4#id-}"; fi',
    )
    program(tmp_path, "sudo", 'echo "$*"; cat')

    done = shell(steps()["give the nodes their names on this machine"]["run"], tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "tee --append /etc/hosts",
        *(f"10.9.8.{name} {name}" for name in NODES),
    ]


def test_a_node_without_an_address_fails_the_job(tmp_path: Path) -> None:
    program(tmp_path, "docker", '[ "$1" != compose ] || echo id')
    program(tmp_path, "sudo", "cat > /dev/null")

    done = shell(steps()["give the nodes their names on this machine"]["run"], tmp_path)

    assert done.returncode == 1


def test_it_runs_the_tests_that_are_marked_on_that_cluster(tmp_path: Path) -> None:
    (tmp_path / "deploy" / "citus").mkdir(parents=True)
    (tmp_path / "deploy" / "citus" / ".env").write_text("POSTGRES_PASSWORD=abc\n", encoding="utf-8")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    program(tmp_path / ".venv" / "bin", "python", 'echo "$CITUS_URL $*"')

    done = shell(steps()["test"]["run"], tmp_path)

    url = "postgresql://kalshi:abc@coordinator:5432/kalshi"
    assert (done.returncode, done.stdout) == (0, f"{url} -m pytest -m citus\n")
    environment = compose()["services"]["coordinator"]["environment"]
    assert (environment["POSTGRES_USER"], environment["POSTGRES_DB"]) == ("kalshi", "kalshi")


def program(folder: Path, name: str, script: str) -> None:
    """A program of that name that does something else."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A step as GitHub runs it with `shell: bash`, with the programs in `folder` before others."""
    assert workflow()["jobs"]["test"]["defaults"] == {"run": {"shell": "bash"}}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env={"PATH": f"{folder}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
