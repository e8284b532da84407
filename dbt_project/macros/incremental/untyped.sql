{# Whether a query has any rows; Postgres stops at the first. #}
{% macro has_rows(query) %}
    {{ return(run_query(query ~ ' limit 1').rows | length > 0) }}
{% endmacro %}


{# The table of an entity, of the same name in kalshi_raw and kalshi but for candles. #}
{% macro table_of(entity) -%}
    {{ return({'series': 'series', 'event': 'events', 'market': 'markets', 'candle': 'candles'}[entity]) }}
{%- endmacro %}


{# The column of an entity's ticker; a candle has its market's. #}
{% macro ticker_of(entity) -%}
    {{ return({'series': 'series_ticker', 'event': 'event_ticker'}.get(entity, 'market_ticker')) }}
{%- endmacro %}


{#
    A condition on a staging view that holds for the rows of new loads of which the typed table does
    not show what they say, or something newer. Staging reads nothing but those: to find rejects by
    reading everything a second time would double the work of a run. Literals, as a join would be
    made after reading.
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
    The same for candles, by window: one of which fewer candles are typed, with its own time of
    fetching, than it holds. A later answer or a synthetic candle may make the difference, too.
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
                -- once for each window: as a column of a join it would be unpacked for each candle
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
    Tickers of the rejects of an entity between whose first and last answer another one has been
    typed, as one that landed late can be: since when they can't be typed has to be read again.
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


{# Further answers to read for rejects: all of the reopened ones, whatever their load. #}
{% macro or_is_reopened(entity) %}
    {%- set tickers = reopened_rejects(entity) -%}
    {%- if tickers %}
    or {{ ticker_of(entity) }} = {{ any_of(tickers) }} and {{ is_typed_load('_dlt_load_id') }}
    {%- endif -%}
{% endmacro %}


{#
    Whether there is a window whose answer is no list of candles, new or rejected before. Asked before
    the model runs: a join would have it read all landed windows to find that there is none.
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
