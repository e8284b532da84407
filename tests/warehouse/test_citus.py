"""How tables lie on a Citus cluster, and what is said of its nodes: without a cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from kalshi_elt.warehouse import citus
from kalshi_elt.warehouse.citus import (
    Cluster,
    Distribution,
    ForeignKey,
    Node,
    Table,
    View,
    lost_node,
    server_said,
)
from tests.conftest import Project
from tests.support.landing import Landing, event, land

CANDLES = Table("kalshi", "candles", 1, True, False, False, ("market_ticker", "end_ts"))
RAW_CANDLES = Table(
    "kalshi_raw", "candlesticks", 2, True, True, False, (), ["toast.autovacuum_freeze_min_age=0"]
)
RAW_MARKETS = Table("kalshi_raw", "markets", 3, True, False, True, ())
EVENTS = Table("kalshi", "events", 4, False, False, False, ("event_ticker",))


@contextmanager
def counted(connection: Any) -> Iterator[list[str]]:
    """The statements that the modules under test run in the block."""
    seen: list[str] = []

    def counting(connection: Any, query: Any, values: Any = None) -> Any:
        seen.append(str(query))
        with connection.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall()

    with patch.object(citus, "select", counting):
        yield seen


def test_the_anchor_comes_first_and_parents_before_children() -> None:
    ordered = citus.in_order([CANDLES, RAW_MARKETS, RAW_CANDLES, EVENTS])

    assert ordered == [RAW_CANDLES, EVENTS, CANDLES, RAW_MARKETS]


def test_tables_with_the_column_lie_beside_the_anchor_and_the_others_on_every_node() -> None:
    statements = Distribution((RAW_CANDLES, EVENTS, CANDLES)).distribute

    assert [line for line in statements if "create_" in line] == [
        "select create_distributed_table('kalshi_raw.candlesticks', 'market_ticker', "
        "colocate_with := 'none')",
        "select create_reference_table('kalshi.events')",
        "select create_distributed_table('kalshi.candles', 'market_ticker', "
        "colocate_with := 'kalshi_raw.candlesticks')",
    ]


def test_each_table_s_room_on_the_coordinator_is_freed() -> None:
    statements = Distribution((EVENTS, CANDLES)).distribute

    for name in ("kalshi.events", "kalshi.candles"):
        assert f"select truncate_local_data_after_distributing_table('{name}')" in statements


def test_what_citus_gives_no_shard_is_given_again() -> None:
    statements = Distribution((RAW_CANDLES, CANDLES)).distribute

    assert statements[2:4] == [
        "alter table kalshi_raw.candlesticks set (toast.autovacuum_freeze_min_age=0)",
        "alter table kalshi_raw.candlesticks replica identity full",
    ]
    assert not any("kalshi.candles" in line and "identity" in line for line in statements)


def test_columns_are_made_fit_first() -> None:
    assert Distribution((RAW_CANDLES, RAW_MARKETS)).before[1:] == [
        "alter table kalshi_raw.candlesticks alter column market_ticker type text",
        "update kalshi_raw.markets set market_ticker = '' where market_ticker is null",
    ]


def test_keys_and_views_that_stand_in_the_way_come_back_in_order() -> None:
    definition = "FOREIGN KEY (a) REFERENCES kalshi.events(a) ON DELETE CASCADE"
    distribution = Distribution(
        (EVENTS,),
        (ForeignKey("kalshi.markets", "fk_markets_event", definition),),
        (View("kalshi.low", "v", ("make low",)), View("kalshi.high", "v", ("make high", "own"))),
    )

    assert distribution.before[1:] == [
        "drop view kalshi.high",
        "drop view kalshi.low",
        "alter table kalshi.markets drop constraint fk_markets_event",
    ]
    assert distribution.after == [
        f"alter table kalshi.markets add constraint fk_markets_event {definition}",
        "make low",
        "make high",
        "own",
    ]


def test_on_plain_postgres_one_look_at_the_catalog_is_all(project: Project) -> None:
    warehouse = project.warehouse()
    with warehouse.connect() as connection:
        if citus.has_citus(connection):
            pytest.skip("for plain Postgres")
        for look in (citus.is_distributed, citus.lay_out):
            with counted(connection) as seen:
                assert not look(connection)
            assert seen == [citus.HAS_CITUS]
        with counted(connection) as seen:
            citus.require_nodes(connection, "w")
        assert seen == [citus.HAS_CITUS]


@pytest.mark.one_server
def test_on_plain_postgres_there_is_nothing_to_distribute(project: Project) -> None:
    land(project, Landing(events=[event()]))
    warehouse = project.warehouse()
    with warehouse.connect() as connection:
        if citus.has_citus(connection):
            pytest.skip("for plain Postgres")

    for arguments in (["distribute"], ["distribute", "--dry-run"]):
        result = project.run(*arguments)
        assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
        assert "has no extension citus" in result.err and "DATABASE_URL" in result.err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "connection to the remote node postgres@10.0.0.2:5432 failed with the following error: "
            "Connection refused\n\tIs the server running on that host?\n",
            "node 10.0.0.2:5432 of the Citus cluster can't be reached (Connection refused): "
            "start it",
        ),
        (
            "failed to COPY to shard 102025 on w2.example:5432",
            "node w2.example:5432 of the Citus cluster can't be reached: start it",
        ),
        (
            "server closed the connection unexpectedly\n\tThis probably means\n"
            "CONTEXT:  while executing command on w2.example:5432\n",
            "node w2.example:5432 of the Citus cluster can't be reached "
            "(server closed the connection unexpectedly): start it",
        ),
        (
            "terminating connection due to administrator command\n"
            "CONTEXT:  while executing command on w2.example:5432\n",
            "node w2.example:5432 of the Citus cluster can't be reached "
            "(terminating connection due to administrator command): start it",
        ),
        (
            "connection to the remote node job@w2:5432 failed with the following error: "
            'FATAL:  role "job" is not permitted to log in\n',
            'node w2:5432 of the Citus cluster can\'t be reached (FATAL:  role "job" is not '
            "permitted to log in): mend its pg_hba.conf or role",
        ),
        ("server closed the connection unexpectedly\n", None),
        ('relation "w2:5432" does not exist', None),
    ],
)
def test_a_node_that_is_away_is_one_line(text: str, expected: str | None) -> None:
    assert lost_node(text) == expected
    if expected:
        assert server_said(RuntimeError(text)) == expected


def test_what_a_node_says_of_itself_is_told_with_its_address() -> None:
    error = RuntimeError("division by zero\nCONTEXT:  while executing command on w2:5432\n")

    assert server_said(error) == "division by zero (node w2:5432 of the Citus cluster)"


ROWS = [
    # node, port, active, holds shards, range of the hash, shards, bytes
    ("c", 5432, True, False, None, 5, 40),
    ("w1", 5432, True, True, None, 5, 40),
    ("w1", 5432, True, True, "-100", 9, 200),
    ("w2", 5432, False, True, None, 5, 40),
    ("w2", 5432, False, True, "0", 9, 600),
]


def test_status_sums_what_lies_where() -> None:
    with patch("kalshi_elt.warehouse.citus.select", return_value=ROWS):
        cluster = citus.read_cluster(None)  # type: ignore[arg-type]

    assert cluster == Cluster(
        nodes=[
            Node("c", 5432, True, False, 5, 40),
            Node("w1", 5432, True, True, 14, 240),
            Node("w2", 5432, False, True, 14, 640),
        ],
        shards=2,
        bytes=920,
        node_skew=1.45,
        shard_skew=1.5,
    )
    assert citus.cluster_lines(cluster) == [
        "cluster      3 nodes, 2 shards of each table, 920 bytes; largest node 1.45 x the mean, "
        "largest shard 1.50 x the mean",
        "node         c:5432 active, 5 shards, 40 bytes (reference tables alone)",
        "node         w1:5432 active, 14 shards, 240 bytes",
        "node         w2:5432 NOT ACTIVE, 14 shards, 640 bytes",
    ]


def test_an_empty_cluster_has_no_skew() -> None:
    with patch(
        "kalshi_elt.warehouse.citus.select", return_value=[("c", 1, True, True, None, 0, 0)]
    ):
        assert citus.read_cluster(None).node_skew is None  # type: ignore[arg-type]
