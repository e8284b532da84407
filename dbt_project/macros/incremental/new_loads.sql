{# Whether models are being built, and not parsed, compiled or tested. #}
{% macro is_building() -%}
    {{ return(execute and flags.WHICH in ['run', 'build']) }}
{%- endmacro %}


{# The number of this dbt run in kalshi_ops.dbt_runs. #}
{% macro this_run() %}
    {% set query %}
        select max(run) from kalshi_ops.dbt_runs where invocation_id = '{{ invocation_id }}'
    {% endset %}
    {{ return(run_query(query).columns[0].values()[0]) }}
{% endmacro %}


{# The run up to which this model has typed; 0 when everything is to be typed (again). #}
{% macro typed_run() %}
    {% if should_full_refresh() or load_relation(this) is none %}
        {{ return(0) }}
    {% endif %}
    {% set query %}
        select coalesce(max(run), 0) from kalshi_ops.typed_models where model = '{{ this.identifier }}'
    {% endset %}
    {{ return(run_query(query).columns[0].values()[0]) }}
{% endmacro %}


{#
    A condition that holds for rows which this model has not typed yet: those of new loads and, where
    `child` names the kind of row and `key` its column, those whose parent has come since. Load ids
    and keys are literals, so that indexes are used and the condition can be pushed down to shards.
#}
{% macro is_new_load(load_id, child=none, key=none) %}
    {%- if not is_building() -%}
        true
    {%- else -%}
        {%- set typed = typed_run() -%}
        {%- if typed == 0 -%}
            {{ load_id }} in (select loads.load_id from kalshi_ops.loads where loads.run <= {{ this_run() }})
        {%- else -%}
            {%- set query -%}
                select load_id from kalshi_ops.loads
                where run > {{ typed }} and run <= {{ this_run() }}
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
    A condition that holds for candles whose market is known. Asked once for the windows of new loads;
    a join would look the market up for each of their candles.
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
    Tickers of the markets with a new answer that is older than one that this model has seen. Asked
    before the model runs: a join would have it read every raw row to find that there is none.
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
    `any (array[...])` of texts, which may be anything that the API sends. JSON's escapes are those of
    E'...': so a backslash ends no literal, whatever the server's standard_conforming_strings, and
    what does things to a terminal stands in dbt's log as an escape.
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


{# Keys of waiting rows whose parent is there, or was when a model before this one took them up. #}
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
                waiting.run > {{ typed }}
                or waiting.run is null and waiting.parent in ({{ arrived_parents(parent.table, parent.column) }})
            )
        order by waiting.key
    {% endset %}
    {{ return(run_query(query).columns[0].values() | list) }}
{% endmacro %}


{# Keys of parents that something waits for. Not correlated, as they may lie on other nodes. #}
{% macro arrived_parents(table, column) -%}
    select parents.{{ column }}
    from {{ target.schema }}.{{ table }} as parents
    where parents.{{ column }} in (select waits.parent from kalshi_ops.waiting as waits)
{%- endmacro %}


{# After a model has typed: whose parent is unknown waits, and who was taken up waits no more. #}
{% macro remember_waiting(waits) %}
    update kalshi_ops.waiting
    set run = {{ this_run() }}
    where
        child = '{{ waits.child }}'
        and run is null
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
    on conflict (child, key) do update set parent = excluded.parent, run = null;
{% endmacro %}


{# Remember that this model has typed all loads that this run saw. #}
{% macro mark_typed() %}
    insert into kalshi_ops.typed_models (model, run)
    values ('{{ this.identifier }}', {{ this_run() }})
    on conflict (model) do update set run = greatest(typed_models.run, excluded.run)
{% endmacro %}


{# Whether this model's table holds what earlier runs wrote, and this run adds to it. #}
{% macro has_earlier_rows() %}
    {{ return(is_building() and typed_run() > 0) }}
{% endmacro %}


{# A condition that holds for rows of all loads that this run or an earlier one saw. #}
{% macro is_typed_load(load_id) -%}
    {%- if not is_building() -%}
        true
    {%- else -%}
        {{ load_id }} in (select loads.load_id from kalshi_ops.loads where loads.run <= {{ this_run() }})
    {%- endif -%}
{%- endmacro %}
