-- The tables of kalshi_ops in a new warehouse. What changes here needs a step in upgrade_to_N.sql,
-- and versions.VERSION one more; a test compares the two ways.

create schema if not exists kalshi_ops;

create table kalshi_ops.warehouse_version (
    version integer not null,
    changed_at timestamptz not null default now(),
    constraint pk_warehouse_version primary key (version)
);

create table kalshi_ops.runs (
    run_id bigint generated always as identity,
    started_at timestamptz not null default now(),
    ended_at timestamptz,
    outcome text not null default 'running',
    versions jsonb not null,
    selection jsonb not null,
    requests jsonb,
    rows_landed jsonb,
    rows_typed jsonb,
    rejects bigint,
    gaps bigint,
    tests_failed text[],
    tests_warned text[],
    load_seconds numeric(12, 3),
    transform_seconds numeric(12, 3),
    error text,
    constraint pk_runs primary key (run_id),
    constraint ck_runs_outcome check (
        outcome in ('running', 'succeeded', 'out of time', 'failed', 'interrupted', 'killed')
    )
);
create index idx_runs_running on kalshi_ops.runs (run_id) where outcome = 'running';

create table kalshi_ops.objects (
    entity text not null,
    ticker text not null,
    event_ticker text,
    series_ticker text,
    payload_hash bytea,
    status text,
    open_time timestamptz,
    close_time timestamptz,
    settlement_ts timestamptz,
    is_multivariate boolean not null default false,
    is_followed boolean not null default false,
    first_seen_at timestamptz not null,
    last_seen_at timestamptz not null,
    gone_at timestamptz,
    constraint pk_objects primary key (entity, ticker)
);
create index idx_objects_followed on kalshi_ops.objects (ticker) where is_followed;
create index idx_objects_event_ticker on kalshi_ops.objects (event_ticker);

create table kalshi_ops.coverage (
    market_ticker text not null,
    interval_min integer not null,
    wanted tstzmultirange not null default '{}',
    covered tstzmultirange not null default '{}',
    has_gap boolean generated always as (not (wanted <@ covered)) stored,
    constraint pk_coverage primary key (market_ticker, interval_min)
);
create index idx_coverage_gap on kalshi_ops.coverage (market_ticker) where has_gap;

create table kalshi_ops.covered_loads (
    load_id text not null,
    finished_at timestamptz,
    constraint pk_covered_loads primary key (load_id)
);
create index idx_covered_loads_finished_at on kalshi_ops.covered_loads (finished_at);

create table kalshi_ops.pruned (
    raw_table text not null,
    before timestamptz not null,
    constraint pk_pruned primary key (raw_table)
);

create table kalshi_ops.builds (
    build bigint generated always as identity,
    invocation_id text not null,
    started_at timestamptz not null default now(),
    constraint pk_builds primary key (build)
);
create index idx_builds_invocation_id on kalshi_ops.builds (invocation_id);

create table kalshi_ops.loads (
    load_id text not null,
    build bigint not null,
    finished_at timestamptz,
    constraint pk_loads primary key (load_id)
);
create index idx_loads_build on kalshi_ops.loads (build);
create index idx_loads_finished_at on kalshi_ops.loads (finished_at);

create table kalshi_ops.typed_models (
    model text not null,
    build bigint not null,
    constraint pk_typed_models primary key (model)
);

create table kalshi_ops.waiting (
    child text not null,
    key text not null,
    parent text not null,
    build bigint,
    constraint pk_waiting primary key (child, key)
);

comment on table kalshi_ops.warehouse_version is
    'One row per version of the tables in kalshi_ops that this warehouse has had; the highest counts.';
comment on table kalshi_ops.runs is
    'One row per run of kalshi-elt run: what it was asked, what it did, how it ended.';
comment on table kalshi_ops.objects is
    'One row per event, market or series that Kalshi answered with: when it was seen, and the hash of the payload that landed last.';
comment on table kalshi_ops.coverage is
    'One row per market and interval: what was wanted so far, and what landed windows cover for good. Stretches are (start, end], by the end of a candle''s period.';
comment on table kalshi_ops.covered_loads is
    'One row per finished load whose windows are counted in kalshi_ops.coverage.';
comment on table kalshi_ops.pruned is
    'One row per raw table of which typed rows were removed: those that were fetched before.';
comment on table kalshi_ops.builds is
    'One row per build (dbt build or dbt run), numbered.';
comment on table kalshi_ops.loads is
    'One row per finished load, with the build that saw it first.';
comment on table kalshi_ops.typed_models is
    'One row per incremental model: the build up to which it has typed.';
comment on table kalshi_ops.waiting is
    'One row per market that waits for its event, and per market ticker whose candles wait for it; build is the one that took it up.';

insert into kalshi_ops.warehouse_version (version) values (4);
