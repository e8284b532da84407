-- Version 1 (before there were versions) to 2: `runs` were dbt's and are `dbt_runs` now; `runs` are those of
-- kalshi-elt run. Tables that no dbt run or pruning had made yet are made.

alter table if exists kalshi_ops.runs rename to dbt_runs;
alter index if exists kalshi_ops.runs_pkey rename to pk_dbt_runs;
alter sequence if exists kalshi_ops.runs_run_seq rename to dbt_runs_run_seq;
alter index if exists kalshi_ops.loads_pkey rename to pk_loads;
alter index if exists kalshi_ops.typed_models_pkey rename to pk_typed_models;
alter index if exists kalshi_ops.waiting_pkey rename to pk_waiting;

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

create table if not exists kalshi_ops.pruned (
    raw_table text not null,
    before timestamptz not null,
    constraint pk_pruned primary key (raw_table)
);

create table if not exists kalshi_ops.dbt_runs (
    run bigint generated always as identity,
    invocation_id text not null,
    started_at timestamptz not null default now(),
    constraint pk_dbt_runs primary key (run)
);
create index idx_dbt_runs_invocation_id on kalshi_ops.dbt_runs (invocation_id);

create table if not exists kalshi_ops.loads (
    load_id text not null,
    run bigint not null,
    constraint pk_loads primary key (load_id)
);
create index if not exists idx_loads_run on kalshi_ops.loads (run);

alter table kalshi_ops.loads add column finished_at timestamptz;
create index idx_loads_finished_at on kalshi_ops.loads (finished_at);

alter table kalshi_ops.covered_loads add column finished_at timestamptz;
create index idx_covered_loads_finished_at on kalshi_ops.covered_loads (finished_at);

do $$
begin
    if to_regclass('kalshi_raw._dlt_loads') is not null then
        update kalshi_ops.loads
        set finished_at = _dlt_loads.inserted_at
        from kalshi_raw._dlt_loads
        where loads.load_id = _dlt_loads.load_id;

        update kalshi_ops.covered_loads
        set finished_at = _dlt_loads.inserted_at
        from kalshi_raw._dlt_loads
        where covered_loads.load_id = _dlt_loads.load_id;

        create index if not exists idx_dlt_loads_inserted_at on kalshi_raw._dlt_loads (inserted_at);
    end if;
end $$;

create table if not exists kalshi_ops.typed_models (
    model text not null,
    run bigint not null,
    constraint pk_typed_models primary key (model)
);

create table if not exists kalshi_ops.waiting (
    child text not null,
    key text not null,
    parent text not null,
    run bigint,
    constraint pk_waiting primary key (child, key)
);

comment on table kalshi_ops.warehouse_version is
    'One row per version of the tables in kalshi_ops that this warehouse has had; the highest counts.';
comment on table kalshi_ops.runs is
    'One row per run of kalshi-elt run: what it was asked, what it did, how it ended.';
comment on table kalshi_ops.objects is
    'One row per event, market or series that Kalshi answered with: when it was seen, and the hash of the payload that landed last.';
comment on table kalshi_ops.pruned is
    'One row per raw table of which typed rows were removed: those that were fetched before.';
comment on table kalshi_ops.dbt_runs is
    'One row per dbt run that built models, numbered.';
comment on table kalshi_ops.loads is
    'One row per finished load, with the dbt run that saw it first.';
comment on table kalshi_ops.typed_models is
    'One row per incremental model: the dbt run up to which it has typed.';
comment on table kalshi_ops.waiting is
    'One row per market that waits for its event, and per market ticker whose candles wait for it; run is the dbt run that took it up.';

insert into kalshi_ops.warehouse_version (version) values (2);
