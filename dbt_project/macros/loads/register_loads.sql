{#
    Which loads a run types. Schema `kalshi_ops` remembers it:

        runs          one row for each dbt run, numbered
        loads         one row for each finished load, with the run that saw it first
        typed_models  one row for each incremental model: the run up to which it has typed
        waiting       one row for each market that waits for its event, and for each market ticker
                      whose candles wait for it; the run that took them up, NULL until then

    Load ids are no order to rely on: a load may finish after a younger one. The number of the run
    that first saw a load is, as registering is serialised by the lock.
#}
{% macro register_loads() %}
    {%- if is_building() -%}
        create schema if not exists kalshi_ops;

        create table if not exists kalshi_ops.runs (
            run bigint generated always as identity primary key,
            invocation_id text not null,
            started_at timestamptz not null default now()
        );

        create table if not exists kalshi_ops.loads (
            load_id text primary key,
            run bigint not null
        );

        create index if not exists idx_loads_run on kalshi_ops.loads (run);

        create table if not exists kalshi_ops.typed_models (
            model text primary key,
            run bigint not null
        );

        create table if not exists kalshi_ops.waiting (
            child text not null,
            key text not null,
            parent text not null,
            run bigint,
            primary key (child, key)
        );

        lock table kalshi_ops.loads in exclusive mode;

        insert into kalshi_ops.runs (invocation_id) values ('{{ invocation_id }}');

        insert into kalshi_ops.loads (load_id, run)
        select
            _dlt_loads.load_id,
            (select max(runs.run) from kalshi_ops.runs)
        from kalshi_raw._dlt_loads
        where _dlt_loads.status = 0
        -- dlt names a load twice when it is killed between naming it and noting that it did
        on conflict (load_id) do nothing;
    {%- endif -%}
{% endmacro %}
