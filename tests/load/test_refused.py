"""A value that Postgres refuses: set aside and said, and nothing else is blocked."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kalshi_elt.base.errors import RefusedError
from kalshi_elt.kalshi.records import EventRow, MarketRow, Origin
from kalshi_elt.load.landing.lander import Lander
from kalshi_elt.load.landing.source import raw_rows_source
from kalshi_elt.warehouse.connection import Warehouse, open_warehouse
from tests.conftest import Project

ORIGIN = Origin("/events", "live", datetime(2026, 11, 22, tzinfo=UTC))
BEYOND_JSONB = EventRow("BAD", b'{"event_ticker":"BAD","n":1e999999}', ORIGIN)


@pytest.fixture
def warehouse(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path))
    return open_warehouse(project.database_url, tmp_path)


def test_it_is_said_and_its_files_are_kept(warehouse: Warehouse) -> None:
    lander = Lander(warehouse)

    with pytest.raises(RefusedError, match="value overflows numeric format") as refused:
        lander.land(raw_rows_source(events=[BEYOND_JSONB]))

    folder = Path(str(refused.value).rpartition(" in ")[2])
    assert any(b"1e999999" in file.read_bytes() for file in folder.rglob("events*.pgcopy"))


def test_the_next_package_lands(warehouse: Warehouse, project: Project) -> None:
    lander = Lander(warehouse)
    with pytest.raises(RefusedError):
        lander.land(raw_rows_source(events=[BEYOND_JSONB]))

    lander.land(raw_rows_source(events=[EventRow("GOOD", b'{"event_ticker":"GOOD"}', ORIGIN)]))

    assert lander.recover() == 0
    assert project.query("select event_ticker from kalshi_raw.events") == [("GOOD",)]


def test_what_landed_of_its_package_counts(warehouse: Warehouse, project: Project) -> None:
    market = MarketRow("M", "BAD", b'{"ticker":"M","event_ticker":"BAD"}', ORIGIN)
    lander = Lander(warehouse)
    with pytest.raises(RefusedError):
        lander.land(raw_rows_source(events=[BEYOND_JSONB], markets=[market]))

    with warehouse.connect(autocommit=True) as connection:
        adopted = lander.adopt_orphans(connection)

    assert adopted == 1
    assert project.query(
        "select count(*) from kalshi_raw.markets "
        "inner join kalshi_raw._dlt_loads on markets._dlt_load_id = _dlt_loads.load_id "
        "where status = 0"
    ) == [(1,)]
