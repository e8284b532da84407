{#
    Which loads a build types. Schema `kalshi_ops` (pipelines/kalshi_elt/ops/sql/kalshi_ops.sql)
    remembers it:

        builds        one row for each build, numbered
        loads         one row for each finished load, with the build that saw it first
        typed_models  one row for each incremental model, with the build up to which it has typed
        waiting       one row for each market that waits for its event, and one for each ticker whose
                      candles wait for their market; with the build that took them up, NULL until then

    Load ids can't tell which loads are new, as a load may finish after one with a greater id. The
    number of the build that saw a load first can: builds register loads one after the other, as each
    locks the table.
#}

{#
    From when on a finished load may be unknown: from a day before the newest that is known, as the
    clocks of loaders may differ. To compare all loads would take ever longer: a job of every minute
    makes two million of them a year. The time is a literal, so that Postgres uses the index on it.
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

        insert into kalshi_ops.builds (invocation_id) values ('{{ invocation_id }}');

        insert into kalshi_ops.loads (load_id, build, finished_at)
        select
            _dlt_loads.load_id,
            (select max(builds.build) from kalshi_ops.builds),
            _dlt_loads.inserted_at
        from kalshi_raw._dlt_loads
        where
            _dlt_loads.status = 0
            and _dlt_loads.inserted_at > '{{ finished_of_late() }}'
        -- dlt names a load twice when it is killed between naming it and noting that it did
        on conflict (load_id) do nothing;
    {%- endif -%}
{% endmacro %}
