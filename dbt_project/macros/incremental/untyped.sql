{# Whether a query has any rows; Postgres stops at the first. #}
{% macro has_rows(query) %}
    {{ return(run_query(query ~ ' limit 1').rows | length > 0) }}
{% endmacro %}


{# The typed table of an entity. The raw table has the same name, but for candles (`candlesticks`). #}
{% macro table_of(entity) -%}
    {{ return({'series': 'series', 'event': 'events', 'market': 'markets', 'candle': 'candles'}[entity]) }}
{%- endmacro %}


{# The column of an entity's ticker; a candle has its market's. #}
{% macro ticker_of(entity) -%}
    {{ return({'series': 'series_ticker', 'event': 'event_ticker'}.get(entity, 'market_ticker')) }}
{%- endmacro %}


{#
    A condition on a staging view that is used to find rejects. It holds for those rows of new loads
    for which the typed table has no row that was fetched at the same time or later. The typed models
    have read all new rows through staging already, and to read all of them once more would double the
    work of a build; by this condition staging types only the rows that may be rejects. Their keys are
    literals, as a join would be made only after staging has typed everything.
#}
{% macro is_untyped(entity, child=none) %}
    {%- if not is_building() -%}
        true
    {%- else -%}
        {%- set key = ticker_of(entity) -%}
        {%- set query -%}
            select distinct coalesce(landed.{{ key }}, '')
            from kalshi_raw.{{ table_of(entity) }} as landed
            where
                {{ is_new_load('landed._dlt_load_id', child, 'landed.' ~ key) }}
                and not exists (
                    select from {{ target.schema }}.{{ table_of(entity) }} as present
                    where
                        present.{{ key }} = landed.{{ key }}
                        and present.fetched_at >= landed.fetched_at
                )
        {%- endset -%}
        {{ is_new_load('_dlt_load_id', child, key) }}
        and (
            {{ key }} = {{ any_of(run_query(query).columns[0].values()) }}
            or coalesce({{ key }}, '') = ''
        )
    {%- endif -%}
{% endmacro %}


{#
    The same for candles. It holds for the markets with a new window that holds more candles than are
    typed with the window's own time of fetching. That need not mean a reject: the candle may be typed
    from a later answer, or be a synthetic one, which staging leaves out.
#}
{% macro is_of_untyped_window() %}
    {%- if not is_building() -%}
        true
    {%- else -%}
        {%- set query -%}
            select distinct landed.market_ticker
            from kalshi_raw.candlesticks as landed
            where
                {{ is_new_load('landed._dlt_load_id', 'candle', 'landed.market_ticker') }}
                -- a subquery counts the candles, as a join would unpack the window for each of them
                and jsonb_array_length(
                    case when jsonb_typeof(landed.payload) = 'array' then landed.payload else '[]' end
                ) > (
                    select count(*) from {{ target.schema }}.candles
                    where
                        candles.market_ticker = landed.market_ticker
                        and candles.interval_min = landed.interval_min::integer
                        and candles.end_ts > landed.window_start
                        and candles.end_ts <= landed.window_end
                        and candles.fetched_at = landed.fetched_at
                )
        {%- endset -%}
        {{ is_new_load('_dlt_load_id', 'candle', 'market_ticker') }}
        and market_ticker = {{ any_of(run_query(query).columns[0].values()) }}
    {%- endif -%}
{% endmacro %}


{#
    Tickers of those rejects of an entity for which an answer has been typed that was fetched between
    the reject's first and last answer. An answer that lands late can be such a one. All answers have to
    be read again then, to find since when the object can't be typed.
#}
{% macro reopened_rejects(entity) %}
    {%- if not has_earlier_rows() -%}
        {{ return([]) }}
    {%- endif -%}
    {%- set keys = [ticker_of(entity)] + (['interval_min', 'end_ts'] if entity == 'candle' else []) -%}
    {%- set query -%}
        select distinct rejects.{{ keys[0] }}
        from {{ this }} as rejects
        inner join {{ target.schema }}.{{ table_of(entity) }} as present
            on
                {% for key in keys %}rejects.{{ key }} = present.{{ key }}{{ ' and ' if not loop.last }}{% endfor %}
        where
            rejects.entity = '{{ entity }}'
            and rejects.first_seen_at <= present.fetched_at
            and rejects.fetched_at > present.fetched_at
    {%- endset -%}
    {{ return(run_query(query).columns[0].values() | list) }}
{% endmacro %}


{# Further answers to read for rejects, to follow is_untyped(): all answers of the reopened rejects. #}
{% macro or_is_reopened(entity) %}
    {%- set tickers = reopened_rejects(entity) -%}
    {%- if tickers %}
    or {{ ticker_of(entity) }} = {{ any_of(tickers) }} and {{ is_typed_load('_dlt_load_id') }}
    {%- endif -%}
{% endmacro %}


{#
    Whether there is a window, new or rejected before, whose answer is not a list of candles. This is
    asked before the model is built: with a join in it, the model would have to read all landed windows,
    even though there is hardly ever such a one.
#}
{% macro has_windows_without_a_list() %}
    {%- if not is_building() -%}
        {{ return(true) }}
    {%- endif -%}
    {%- set landed_windows -%}
        select 1 from kalshi_raw.candlesticks as landed
        where
            {{ is_new_load('landed._dlt_load_id') }}
            and jsonb_typeof(landed.payload) <> 'array'
    {%- endset -%}
    {%- set rejected_windows -%}
        select 1 from {{ this }} as rejects
        where rejects.entity = 'window' and rejects.reason not like 'unknown market %'
    {%- endset -%}
    {{ return(has_rows(landed_windows) or has_earlier_rows() and has_rows(rejected_windows)) }}
{% endmacro %}
