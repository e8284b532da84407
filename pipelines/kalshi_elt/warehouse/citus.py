"""How a warehouse is distributed over a Citus cluster: read off Postgres' catalog, never
configured.

On a server with the extension `citus`, each table of ours with a column `market_ticker` is
distributed by it and colocated with `kalshi_raw.candlesticks`, so that a market's rows lie on one
node and keys, joins and upserts stay there. The others of `kalshi_raw` and `kalshi` are reference
tables, whole on each node. dlt's own tables and the rest of `kalshi_ops` are ordinary tables of the
coordinator. On plain Postgres nothing of this happens (DECISIONS.md).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.base.errors import WarehouseError, first_line
from kalshi_elt.base.text import size
from kalshi_elt.warehouse.names import (
    LOADER_ROLE,
    OPS_SCHEMA,
    RAW_SCHEMA,
    RAW_TABLES,
    TRANSFORMER_ROLE,
    TYPED_SCHEMA,
)
from kalshi_elt.warehouse.queries import IS_PART_OF_TABLE, execute, execute_all, select

COLUMN = "market_ticker"
"""The column by whose values rows are distributed over the nodes."""

ANCHOR = f"{RAW_SCHEMA}.candlesticks"
"""The table that all other distributed ones are colocated with. Once it is distributed, the
warehouse counts as distributed."""

SEQUENTIAL = "set local citus.multi_shard_modify_mode = 'sequential'"
"""Has Citus use one connection to each node in a transaction, which it insists on where a foreign
key refers to a reference table."""

HAS_CITUS = "select exists (select from pg_extension where extname = 'citus')"

IS_LAID_OUT = """
exists (
    select from pg_dist_partition
    where
        logicalrelid = pg_class.oid -- 'h' is a distributed table. 'n' with 't' is a reference
        table; 'n' alone is a table of the -- coordinator that Citus knows of because a foreign key
        of it refers to a reference table and (partmethod = 'h' or partmethod = 'n' and repmodel =
        't')
)
"""

IS_DISTRIBUTED = f"""
select exists (select from pg_class where oid = to_regclass('{ANCHOR}') and {IS_LAID_OUT})
"""

LOST_NODES = """
select nodename || ':' || nodeport
from pg_dist_node
where isactive and noderole = 'primary' and not citus_check_connection_to_node(nodename, nodeport)
order by 1
"""

TABLES = f"""
select
    relations.nspname::text,
    relations.relname::text,
    relations.oid::integer,
    columns.atttypid is not null,
    coalesce(columns.atttypid <> 'text'::regtype, false),
    coalesce(not columns.attnotnull, false),
    array(
        select attname::text from pg_attribute
        inner join unnest(relations.conkey) with ordinality as keys (number, position)
            on attnum = keys.number
        where attrelid = relations.oid
        order by keys.position
    ),
    array(
        select 'toast.' || unnest(reloptions) from pg_class
        where oid = relations.reltoastrelid
    )
from (
    select pg_class.oid, relname, nspname, conkey, reltoastrelid
    from pg_class
    inner join pg_namespace
        on relnamespace = pg_namespace.oid
    left join pg_constraint
        on conrelid = pg_class.oid
        and contype = 'p'
        and conname = 'pk_' || relname
    where
        relkind in ('r', 'p')
        and not relispartition
        and (
            nspname = '{RAW_SCHEMA}' and relname = any (%(raw_tables)s)
            or nspname = '{OPS_SCHEMA}' and relname = 'coverage'
            or nspname = '{TYPED_SCHEMA}' and conkey is not null
        )
        and not {IS_LAID_OUT}
) as relations
left join pg_attribute as columns
    on relations.oid = columns.attrelid
    and columns.attname = '{COLUMN}'
    and not columns.attisdropped
"""

FOREIGN_KEYS = """
select conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid)
from pg_constraint
where
    contype = 'f'
    and conparentid = 0
    and (conrelid = any (%(tables)s::oid[]) or confrelid = any (%(tables)s::oid[]))
order by 1, 2
"""

VIEWS = f"""
with recursive

dependencies as (

    select distinct
        pg_depend.refobjid as relation,
        pg_depend.refobjsubid as column_number,
        pg_rewrite.ev_class as dependent
    from pg_depend
    inner join pg_rewrite
        on pg_depend.classid = 'pg_rewrite'::regclass
        and pg_depend.objid = pg_rewrite.oid
    where
        pg_depend.refclassid = 'pg_class'::regclass
        and pg_depend.refobjid <> pg_rewrite.ev_class

),

dependents as (

    select
        dependencies.dependent,
        1 as depth
    from dependencies
    inner join pg_attribute
        on dependencies.relation = pg_attribute.attrelid
        and dependencies.column_number in (0, pg_attribute.attnum)
    where
        dependencies.relation = any (%(tables)s::oid[])
        and pg_attribute.attname = '{COLUMN}'

    union

    select
        dependencies.dependent,
        dependents.depth + 1
    from dependents
    inner join dependencies
        on dependents.dependent = dependencies.relation

),

views as (

    select
        dependent as oid,
        dependent::regclass::text as name,
        max(depth) as depth
    from dependents
    group by dependent

),

grants as (

    select
        views.oid,
        null as attname,
        pg_class.relacl as acl
    from views
    inner join pg_class
        on views.oid = pg_class.oid

    union all

    select
        views.oid,
        pg_attribute.attname,
        pg_attribute.attacl
    from views
    inner join pg_attribute
        on views.oid = pg_attribute.attrelid

)

select
    views.name,
    pg_class.relkind::text,
    array[
        format(
            'create view %%s%%s as %%s',
            views.name,
            ' with (' || array_to_string(pg_class.reloptions, ', ') || ')',
            pg_get_viewdef(views.oid)
        ),
        format('alter view %%s owner to %%I', views.name, pg_get_userbyid(pg_class.relowner))
    ]
    || array(
        select format('comment on view %%s is %%L', views.name, description)
        from pg_description
        where objoid = views.oid and classoid = 'pg_class'::regclass and objsubid = 0
    )
    || array(
        select format('comment on column %%s.%%I is %%L', views.name, attname, description)
        from pg_description
        inner join pg_attribute
            on objoid = attrelid
            and objsubid = attnum
        where objoid = views.oid and classoid = 'pg_class'::regclass
        order by objsubid
    )
    || array(
        select
            format(
                'grant %%s%%s on %%s to %%s%%s',
                item.privilege_type,
                ' (' || quote_ident(grants.attname) || ')',
                views.name,
                case when item.grantee = 0 then 'public' else item.grantee::regrole::text end,
                case when item.is_grantable then ' with grant option' end
            )
        from grants
        cross join lateral aclexplode(grants.acl) as item
        where grants.oid = views.oid and item.grantee <> pg_class.relowner
        order by 1
    )
from views
inner join pg_class
    on views.oid = pg_class.oid
order by views.depth, views.name
"""
"""The views that read the column, directly or by way of other views, the nearest to the table
first, with the statements that make each of them anew: Postgres changes the type of no column that
a view reads, so they are dropped meanwhile. A `%` that does not stand for a value is doubled for
psycopg2."""


@dataclass(frozen=True)
class Table:
    """A table of ours that is not laid out yet."""

    schema: str
    table: str
    oid: int
    has_column: bool
    is_not_text: bool
    """Whether its column is not of type text but, as dlt makes it, varchar. Citus colocates only
    tables whose columns are of the same type."""
    is_nullable: bool
    """Whether its column may hold NULL, which no distribution column may."""
    key: Sequence[str]
    """Columns of its primary key; none in the raw tables."""
    toast_settings: Sequence[str] = ()
    """Settings of its TOAST table, as `toast.autovacuum_freeze_min_age=0`. Citus hands all other
    settings of a table on to its shards by itself."""

    @property
    def name(self) -> str:
        return f"{self.schema}.{self.table}"

    @property
    def layout(self) -> str:
        return f"distributed by {COLUMN}" if self.has_column else "a reference table"


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key of or to a table that is not laid out yet."""

    table: str
    name: str
    definition: str


@dataclass(frozen=True)
class View:
    """A view that stands on a column whose type changes."""

    name: str
    kind: str
    """As pg_class.relkind: `v`, or `m` for a materialized one."""
    definition: tuple[str, ...]
    """The statements that make it, with its owner, comments and grants."""


@dataclass(frozen=True)
class Distribution:
    """How to distribute tables over the nodes: keys and views that are in the way meanwhile, and
    the statements of each step."""

    tables: tuple[Table, ...]
    keys: tuple[ForeignKey, ...] = ()
    views: tuple[View, ...] = ()

    @property
    def before(self) -> list[str]:
        """Statements that make the tables fit to be distributed. They lose no row."""
        return [
            SEQUENTIAL,
            *(f"drop view {view.name}" for view in reversed(self.views)),
            *(f"alter table {key.table} drop constraint {key.name}" for key in self.keys),
            *(statement for table in self.tables for statement in _fit(table)),
        ]

    @property
    def distribute(self) -> list[str]:
        """Statements that hand the rows to the nodes, and free the space of their copies on the
        coordinator."""
        return [statement for table in self.tables for statement in _distribute(table)]

    @property
    def after(self) -> list[str]:
        """Statements that bring keys and views back."""
        return [
            *(
                f"alter table {key.table} add constraint {key.name} {key.definition}"
                for key in self.keys
            ),
            *(statement for view in self.views for statement in view.definition),
        ]

    @property
    def statements(self) -> list[str]:
        """All three steps, to be run in one transaction."""
        return [*self.before, *self.distribute, *self.after]


def has_citus(connection: Connection) -> bool:
    """Whether the database is one of a Citus cluster."""
    return bool(select(connection, HAS_CITUS)[0][0])


def is_distributed(connection: Connection) -> bool:
    """Whether the warehouse is distributed over a Citus cluster."""
    return has_citus(connection) and bool(select(connection, IS_DISTRIBUTED)[0][0])


def require_nodes(connection: Connection, warehouse: str) -> None:
    """Raise WarehouseError where a node of a distributed warehouse can't be reached."""
    for (address,) in select(connection, LOST_NODES) if is_distributed(connection) else []:
        raise WarehouseError(
            f"warehouse {warehouse}: node {address} of the Citus cluster can't be reached: start "
            "it, and run it again; nothing is lost"
        )


def lay_out(connection: Connection) -> None:
    """Distribute the raw tables and kalshi_ops.coverage of a new warehouse, where there is Citus.

    A plain warehouse that has rows or typed tables stays plain until `kalshi-elt distribute`.
    """
    if not has_citus(connection):
        return
    with connection:
        tables = not_distributed(connection)
        is_new = not any(table.schema == TYPED_SCHEMA for table in tables)
        if tables and is_new and not any(_has_rows(connection, table) for table in tables):
            execute_all(connection, distribution_of(connection, tables).statements)


def not_distributed(connection: Connection) -> list[Table]:
    """The tables of ours that are neither distributed nor reference tables yet, in the order in
    which to make them so."""
    found = select(connection, TABLES, {"raw_tables": list(RAW_TABLES)})
    return in_order(Table(*row) for row in found)


def in_order(tables: Iterable[Table]) -> list[Table]:
    """Tables in the order in which to distribute them: the anchor, which others are colocated with,
    then reference tables, which keys of others refer to, then the others."""
    return sorted(tables, key=lambda one: (one.name != ANCHOR, one.has_column, one.name))


def distribution_of(connection: Connection, tables: Sequence[Table]) -> Distribution:
    """How to distribute these tables. To be called in the transaction that does it: it takes the
    search path away there, so that Postgres writes all names with their schemas."""
    execute_all(connection, ["set local search_path = pg_catalog"])
    keys = select(connection, FOREIGN_KEYS, {"tables": [table.oid for table in tables]})
    retyped = [table.oid for table in tables if table.is_not_text]
    views = select(connection, VIEWS, {"tables": retyped}) if retyped else []
    return Distribution(
        tuple(tables),
        tuple(ForeignKey(*row) for row in keys),
        tuple(View(name, kind, tuple(definition)) for name, kind, definition in views),
    )


def _fit(table: Table) -> list[str]:
    found = []
    if table.is_not_text:
        found.append(f"alter table {table.name} alter column {COLUMN} type text")
    if table.has_column and table.is_nullable:
        found.append(f"update {table.name} set {COLUMN} = '' where {COLUMN} is null")
    return found


def _distribute(table: Table) -> list[str]:
    if not table.has_column:
        made = f"select create_reference_table('{table.name}')"
    else:
        beside = "none" if table.name == ANCHOR else ANCHOR
        made = (
            f"select create_distributed_table('{table.name}', '{COLUMN}', "
            f"colocate_with := '{beside}')"
        )
    return [
        made,
        f"select truncate_local_data_after_distributing_table('{table.name}')",
        *(f"alter table {table.name} set ({setting})" for setting in table.toast_settings),
        # Citus moves a shard to another node while rows come and go by replication, which tells
        # rows of a table without a primary key by all of their values
        *([] if table.key else [f"alter table {table.name} replica identity full"]),
    ]


def _has_rows(connection: Connection, table: Table) -> bool:
    return bool(select(connection, f"select exists (select from {table.name})")[0][0])


NODE_UNREACHABLE = re.compile(
    r"(?:connection to the remote node|failure on connection marked as essential:|"
    r"failed to connect to|failed to COPY to shard \d+ on) (?:\S*@)?([^\s;]+:\d+)"
    r"(?: failed with the following error: (.*))?"
)
"""How Citus' coordinator says that it can't reach a node: its address, and maybe the reason."""


NODE_CONTEXT = re.compile(r"while executing command on (?:\S*@)?(\S+:\d+)")
"""How it says which node an error came from."""


NODE_GONE = re.compile(
    r"(?:FATAL|ERROR|WARNING)?:?\s*(server closed the connection.*|terminating connection.*|"
    r"the database system is .*|connection not open)"
)
"""What a node, or the connection to it, says while it stops or starts again."""


def lost_node(text: str) -> str | None:
    """In one phrase, which node of the Citus cluster can't be reached, why, and what to do about
    it, if the server's text says so; None when it is about something else."""
    found = NODE_UNREACHABLE.search(text)
    context, gone = NODE_CONTEXT.search(text), NODE_GONE.search(text)
    if found:
        address, reason = found[1], found[2]
    elif context and gone:
        address, reason = context[1], gone[1]
    else:
        return None
    why = f" ({reason.strip()})" if reason else ""
    # then the node is running, and refuses the coordinator's address or role
    is_refused = reason and "FATAL" in reason and "database system" not in reason
    remedy = "mend its pg_hba.conf or role" if is_refused else "start it"
    return f"node {address} of the Citus cluster can't be reached{why}: {remedy}"


DISTRIBUTED_SIZES = f"""
with

relations as (

    select
        oid,
        reltuples,
        oid in (select logicalrelid from pg_dist_partition) as is_distributed
    from pg_class
    where {IS_PART_OF_TABLE}

),

sizes as (

    select
        greatest(reltuples, 0) as rows_estimate,
        pg_total_relation_size(oid) as bytes
    from relations
    where not is_distributed

    union all

    select
        greatest(split_part(shards.result, ' ', 1)::real, 0),
        split_part(shards.result, ' ', 2)::bigint
    from relations
    cross join lateral run_command_on_shards(
        relations.oid::regclass,
        $$
        select reltuples || ' ' || pg_total_relation_size(oid) from pg_class
        where oid = '%%s'::regclass
        $$
    ) as shards
    where relations.is_distributed and shards.success

)

select
    coalesce(sum(rows_estimate), 0)::bigint,
    coalesce(sum(bytes), 0)::bigint
from sizes
"""
"""As `sizes.SIZES`, for a distributed warehouse. The coordinator's own table is empty when a table
is distributed, so the shards on the nodes are counted. Of a reference table one copy counts."""


NODES = """
select
    pg_dist_node.nodename,
    pg_dist_node.nodeport,
    pg_dist_node.isactive,
    pg_dist_node.shouldhaveshards,
    pg_dist_shard.shardminvalue,
    count(shards.shardid),
    coalesce(sum(shards.shard_size), 0)::bigint
from pg_dist_node
left join (
    select citus_shards.* from citus_shards
    inner join pg_class
        on citus_shards.table_name = pg_class.oid
    where pg_class.relnamespace::regnamespace::text = any (%s)
) as shards
    on pg_dist_node.nodename = shards.nodename
    and pg_dist_node.nodeport = shards.nodeport
left join pg_dist_shard
    on shards.shardid = pg_dist_shard.shardid
where pg_dist_node.noderole = 'primary'
group by 1, 2, 3, 4, 5
order by 1, 2, 5
"""
"""Shards and bytes on each node for each range of the column's hash. The shards of all tables for
the same range are on the same node; a reference table has no range."""


@dataclass(frozen=True)
class Node:
    """A server of the Citus cluster, and what of the warehouse it holds."""

    name: str
    port: int
    is_active: bool
    holds_shards: bool
    """False for a coordinator that holds copies of reference tables alone."""
    shards: int
    """Of all tables and partitions, copies of reference tables among them."""
    bytes: int


@dataclass(frozen=True)
class Cluster:
    """How the rows of a distributed warehouse are spread over its nodes."""

    nodes: list[Node]
    shards: int
    """Of each distributed table."""
    bytes: int
    node_skew: float | None
    """Bytes on the fullest node, divided by the mean of all nodes that hold shards: 1 is even. None
    while there are no rows."""
    shard_skew: float | None
    """The same for ranges of the hash, the shards of all tables for a range together."""


def read_cluster(connection: Connection) -> Cluster:
    """The nodes of a distributed warehouse, and how evenly its rows are spread over them."""
    rows = select(connection, NODES, [[RAW_SCHEMA, TYPED_SCHEMA, OPS_SCHEMA]])
    shards: dict[str, int] = {}
    nodes: dict[tuple[str, int], Node] = {}
    for name, port, is_active, holds_shards, shard, number, in_bytes in rows:
        so_far = nodes.get((name, port))
        nodes[name, port] = Node(
            name,
            port,
            is_active,
            holds_shards,
            number + (so_far.shards if so_far else 0),
            in_bytes + (so_far.bytes if so_far else 0),
        )
        if shard is not None:
            shards[shard] = shards.get(shard, 0) + in_bytes
    return Cluster(
        nodes=list(nodes.values()),
        shards=len(shards),
        bytes=sum(node.bytes for node in nodes.values()),
        node_skew=_skew([node.bytes for node in nodes.values() if node.holds_shards]),
        shard_skew=_skew(list(shards.values())),
    )


def _skew(sizes: list[int]) -> float | None:
    """The largest size divided by the mean; None when all are 0."""
    return round(max(sizes) / fmean(sizes), 2) if any(sizes) else None


def server_said(error: BaseException) -> str:
    """The first line of what a server's error says, with the node's address if it came from a node
    of a cluster."""
    text = str(error)
    if lost := lost_node(text):
        return lost
    node = NODE_CONTEXT.search(text)
    return (
        f"{first_line(error)} (node {node[1]} of the Citus cluster)" if node else first_line(error)
    )


def cluster_lines(cluster: Cluster) -> list[str]:
    """What `status` prints of a cluster and its nodes, a line each."""
    skews = (("node", cluster.node_skew), ("shard", cluster.shard_skew))
    even = ", ".join(f"largest {name} {skew:.2f} x the mean" for name, skew in skews if skew)
    return [
        f"cluster      {len(cluster.nodes):,} nodes, {cluster.shards:,} shards of each table, "
        f"{size(cluster.bytes)}{f'; {even}' if even else ''}",
        *(
            f"node         {node.name}:{node.port} {'active' if node.is_active else 'NOT ACTIVE'}, "
            f"{node.shards:,} shards, {size(node.bytes)}"
            f"{'' if node.holds_shards else ' (reference tables alone)'}"
            for node in cluster.nodes
        ),
    ]


def inactive_nodes(cluster: Cluster | None) -> list[str]:
    """A line for each node that the coordinator passes over, with the statement that mends it."""
    return [
        f"node {node.name}:{node.port} of the Citus cluster is not active: "
        f"`select citus_activate_node('{node.name}', {node.port})` on the coordinator"
        for node in (cluster.nodes if cluster else ())
        if not node.is_active
    ]


LET_NODES_LOG_IN = f"alter role {LOADER_ROLE} login; alter role {TRANSFORMER_ROLE} login"
"""Nodes of a Citus cluster connect to each other as the role that runs a statement, so the roles
that write must be able to log in. They have no password, so nobody else can log in as one of them,
unless pg_hba.conf trusts him without."""


def let_nodes_log_in(connection: Connection) -> None:
    """On a cluster, let its nodes act as the roles of `kalshi-elt grant`."""
    if has_citus(connection):
        execute(connection, LET_NODES_LOG_IN)
