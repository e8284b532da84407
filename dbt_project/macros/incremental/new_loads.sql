{# Whether this is a build (`dbt build` or `dbt run`): models are not only parsed, compiled or tested. #}
{% macro is_building() -%}
    {{ return(execute and flags.WHICH in ['run', 'build']) }}
{%- endmacro %}


{# The number of this build in kalshi_ops.builds. #}
{% macro this_build() %}
    {% set query %}
        select max(build) from kalshi_ops.builds where invocation_id = '{{ invocation_id }}'
    {% endset %}
    {{ return(run_query(query).columns[0].values()[0]) }}
{% endmacro %}


{# The number of the build up to which this model has typed; 0 when everything is to be typed (again). #}
{% macro typed_build() %}
    {% if should_full_refresh() or load_relation(this) is none %}
        {{ return(0) }}
    {% endif %}
    {% set query %}
        select coalesce(max(build), 0) from kalshi_ops.typed_models where model = '{{ this.identifier }}'
    {% endset %}
    {{ return(run_query(query).columns[0].values()[0]) }}
{% endmacro %}


{#
    A condition that holds for landed rows which this model has not typed yet: the rows of new loads.
    Where `child` names the kind of row (see arrived_children) and `key` its column, it also holds for
    older rows that had to wait for their parent, which has come since. Load ids and keys are literals,
    so that Postgres uses the indexes on them.
#}
{% macro is_new_load(load_id, child=none, key=none) %}
    {%- if not is_building() -%}
        true
    {%- else -%}
        {%- set typed = typed_build() -%}
        {%- if typed == 0 -%}
            {{ load_id }} in (select loads.load_id from kalshi_ops.loads where loads.build <= {{ this_build() }})
        {%- else -%}
            {%- set query -%}
                select load_id from kalshi_ops.loads
                where build > {{ typed }} and build <= {{ this_build() }}
                order by load_id
            {%- endset -%}
            {%- set arrived = arrived_children(child, typed) if child else [] -%}
            (
                {{ load_id }} = {{ any_of(run_query(query).columns[0].values()) }}
                {%- if arrived %}
                or {{ key }} = {{ any_of(arrived) }}
                {%- endif %}
            )
        {%- endif -%}
    {%- endif -%}
{% endmacro %}


{#
    A condition that holds for candles whose market is known. The unknown markets are looked up before
    the model is built, once for each window of the new loads; a join in the model would look up the
    market for each of their candles.
#}
{% macro is_of_known_market(key) %}
    {%- if not is_building() -%}
        true
    {%- else -%}
        {%- set query -%}
            select landed.market_ticker
            from (
                select distinct candlesticks.market_ticker
                from kalshi_raw.candlesticks
                where {{ is_new_load('candlesticks._dlt_load_id', 'candle', 'candlesticks.market_ticker') }}
            ) as landed
            left join {{ target.schema }}.markets
                on landed.market_ticker = markets.market_ticker
            where markets.market_ticker is null
            order by 1
        {%- endset -%}
        {%- set unknown = run_query(query).columns[0].values() -%}
        {{ 'true' if not unknown else key ~ ' <> ' ~ all_of(unknown) }}
    {%- endif -%}
{% endmacro %}


{#
    Tickers of the markets of which a new answer is older than one that this model has seen before.
    They are looked up before the model is built: with a join in it, the model would have to read every
    landed row, even though there is hardly ever such a market.
#}
{% macro markets_with_late_answers() %}
    {%- if not has_earlier_rows() -%}
        {{ return([]) }}
    {%- endif -%}
    {%- set query -%}
        select distinct landed.market_ticker
        from kalshi_raw.markets as landed
        inner join {{ this }} as history
            on landed.market_ticker = history.market_ticker
        where
            {{ is_new_load('landed._dlt_load_id', 'market', 'landed.market_ticker') }}
            and history.is_current
            and landed.fetched_at <= history.last_seen_at
        order by 1
    {%- endset -%}
    {{ return(run_query(query).columns[0].values() | list) }}
{% endmacro %}


{#
    `any (array[...])` of texts, which may be anything that the API sends. Each one becomes a literal
    of the form E'...' with JSON's escapes, which Postgres reads in the same way. So a backslash can't
    end a literal early, whatever the server's standard_conforming_strings, and control characters,
    which would change how a terminal behaves, are escaped in dbt's log.
#}
{% macro any_of(values) -%}
    any (array[
        {%- for value in values %}E'{{ tojson(value)[1:-1] | replace("'", "''") }}'{{ ', ' if not loop.last }}{% endfor -%}
    ]::text[])
{%- endmacro %}


{# `all (array[...])` of texts. #}
{% macro all_of(values) -%}
    {{ any_of(values).replace('any', 'all', 1) }}
{%- endmacro %}


{#
    Keys of rows that waited for their parent and need not wait any longer: the parent is there now, or
    it was there when another model, built before this one, took them up in kalshi_ops.waiting.
#}
{% macro arrived_children(child, typed) %}
    {%- set parent = {
        'market': {'table': 'events', 'column': 'event_ticker'},
        'candle': {'table': 'markets', 'column': 'market_ticker'},
    }[child] -%}
    {% set query %}
        select waiting.key from kalshi_ops.waiting
        where
            waiting.child = '{{ child }}'
            and (
                waiting.build > {{ typed }}
                or waiting.build is null and waiting.parent in ({{ arrived_parents(parent.table, parent.column) }})
            )
        order by waiting.key
    {% endset %}
    {{ return(run_query(query).columns[0].values() | list) }}
{% endmacro %}


{# Keys of the parents that are there and that some row waited for. #}
{% macro arrived_parents(table, column) -%}
    select parents.{{ column }}
    from {{ target.schema }}.{{ table }} as parents
    where parents.{{ column }} in (select waits.parent from kalshi_ops.waiting as waits)
{%- endmacro %}


{#
    Keeps kalshi_ops.waiting up to date after a model has typed. Rows whose parent has come are noted as
    taken up by this build; new rows whose parent is unknown are noted as waiting for it.
#}
{% macro remember_waiting(waits) %}
    update kalshi_ops.waiting
    set build = {{ this_build() }}
    where
        child = '{{ waits.child }}'
        and build is null
        and parent in ({{ arrived_parents(waits.parent_table, waits.parent) }});

    insert into kalshi_ops.waiting (child, key, parent)
    select
        '{{ waits.child }}',
        landed.{{ waits.key }},
        max(landed.{{ waits.parent }})
    from kalshi_raw.{{ waits.raw_table }} as landed
    where
        {{ is_new_load('landed._dlt_load_id') }}
        and landed.{{ waits.key }} is not null
        and landed.{{ waits.parent }} is not null
        and not exists (
            select from {{ target.schema }}.{{ waits.parent_table }} as parents
            where parents.{{ waits.parent }} = landed.{{ waits.parent }}
        )
    group by landed.{{ waits.key }}
    on conflict (child, key) do update set parent = excluded.parent, build = null;
{% endmacro %}


{# Remembers that this model has typed all loads that this build or an earlier one saw. #}
{% macro mark_typed() %}
    insert into kalshi_ops.typed_models (model, build)
    values ('{{ this.identifier }}', {{ this_build() }})
    on conflict (model) do update set build = greatest(typed_models.build, excluded.build)
{% endmacro %}


{# Whether this build adds to what earlier builds wrote into this model's table. #}
{% macro has_earlier_rows() %}
    {{ return(is_building() and typed_build() > 0) }}
{% endmacro %}


{# A condition that holds for landed rows of all loads that this build or an earlier one saw. #}
{% macro is_typed_load(load_id) -%}
    {%- if not is_building() -%}
        true
    {%- else -%}
        {{ load_id }} in (select loads.load_id from kalshi_ops.loads where loads.build <= {{ this_build() }})
    {%- endif -%}
{%- endmacro %}
