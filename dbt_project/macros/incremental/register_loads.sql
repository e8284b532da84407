{#
    Which loads a run types. Schema `kalshi_ops` (pipelines/sql/kalshi_ops.sql) remembers it:

        dbt_runs      one row for each dbt run, numbered
        loads         one row for each finished load, with the run that saw it first
        typed_models  one row for each incremental model: the run up to which it has typed
        waiting       one row for each market that waits for its event, and for each market ticker
                      whose candles wait for it; the run that took them up, NULL until then

    Load ids are no order to rely on: a load may finish after a younger one. The number of the run
    that first saw a load is, as registering is serialised by the lock.
#}

{#
    From when on finished loads may be unknown: a day before the newest that is known, as loaders'
    clocks may differ. All of them would be two million a year with a job of every minute. A literal,
    so that the index is used.
#}
{% macro finished_of_late() -%}
    {%- if flags.FULL_REFRESH -%}
        {{ return('-infinity') }}
    {%- endif -%}
    {%- set query -%}
        select coalesce(max(finished_at) - interval '1 day', '-infinity')::text from kalshi_ops.loads
    {%- endset -%}
    {{ return(run_query(query).columns[0].values()[0]) }}
{%- endmacro %}


{% macro register_loads() %}
    {%- if is_building() -%}
        lock table kalshi_ops.loads in exclusive mode;

        insert into kalshi_ops.dbt_runs (invocation_id) values ('{{ invocation_id }}');

        insert into kalshi_ops.loads (load_id, run, finished_at)
        select
            _dlt_loads.load_id,
            (select max(dbt_runs.run) from kalshi_ops.dbt_runs),
            _dlt_loads.inserted_at
        from kalshi_raw._dlt_loads
        where
            _dlt_loads.status = 0
            and _dlt_loads.inserted_at > '{{ finished_of_late() }}'
        -- dlt names a load twice when it is killed between naming it and noting that it did
        on conflict (load_id) do nothing;
    {%- endif -%}
{% endmacro %}
