{# The columns of a longer candle: aggregates over the shorter candles in its period. #}
{% macro rolled_up(candles, candle_count='count(*)') -%}
    {{ first_of(candles, 'trade_open_dollars', is_traded=true) }},
    max({{ candles }}.trade_high_dollars) as trade_high_dollars,
    min({{ candles }}.trade_low_dollars) as trade_low_dollars,
    {{ last_of(candles, 'trade_close_dollars', is_traded=true) }},
    round(
        sum({{ candles }}.trade_mean_dollars * {{ candles }}.volume_fp)
        / nullif(sum({{ candles }}.volume_fp) filter (where {{ candles }}.trade_mean_dollars is not null), 0),
        6
    ) as trade_mean_dollars,
    {{ first_of(candles, 'trade_prev_dollars') }},
    {% for side in ['yes_bid', 'yes_ask'] -%}
    {{ first_of(candles, side ~ '_open_dollars') }},
    max({{ candles }}.{{ side }}_high_dollars) as {{ side }}_high_dollars,
    min({{ candles }}.{{ side }}_low_dollars) as {{ side }}_low_dollars,
    {{ last_of(candles, side ~ '_close_dollars') }},
    {% endfor -%}
    sum({{ candles }}.volume_fp) as volume_fp,
    {{ last_of(candles, 'open_interest_fp') }},
    ({{ candle_count }})::integer as candle_count
{%- endmacro %}


{# A column of the first candle of the period, or of the first one in which something traded. #}
{% macro first_of(candles, column, is_traded=false, direction='asc') -%}
    (
        array_agg({{ candles }}.{{ column }} order by {{ candles }}.end_ts {{ direction }})
        {{- ' filter (where ' ~ candles ~ '.' ~ column ~ ' is not null)' if is_traded }}
    )[1] as {{ column }}
{%- endmacro %}


{# A column of the last candle of the period, or of the last one in which something traded. #}
{% macro last_of(candles, column, is_traded=false) -%}
    {{ first_of(candles, column, is_traded, 'desc') }}
{%- endmacro %}


{#
    For each market, from when until when longer candles have to be made, or made again. In an
    incremental build that is from the first to the last new window of 1-minute candles, in whole
    periods; otherwise it is all of the time.
#}
{% macro spans_to_roll_up(minutes=none, time_zone=none) -%}
    {%- if has_earlier_rows() -%}
        select
            market_ticker,
            {{ period_floor('min(window_start)', minutes, time_zone) }} as since,
            {{ period_ceil('max(window_end)', minutes, time_zone) }} as until
        from {{ ref('stg_kalshi__candlestick_windows') }}
        where
            interval_min = 1
            and {{ is_new_load('_dlt_load_id', 'candle', 'market_ticker') }}
        group by market_ticker
    {%- else -%}
        select
            market_ticker,
            '-infinity'::timestamptz as since,
            'infinity'::timestamptz as until
        from {{ ref('markets') }}
    {%- endif -%}
{%- endmacro %}


{#
    The whole model of a table of longer candles, made from `candles` (from those of one minute) or
    from another such table.
#}
{% macro longer_candles(shorter, minutes=none, time_zone=none) -%}
{%- set is_of_minutes = shorter == 'candles' -%}
with

{{ shorter }} as (

    select * from {{ ref(shorter) }}

),

spans as (

    {{ spans_to_roll_up(minutes, time_zone) }}

),

rolled_up as (

    -- for each market one stretch of the primary key is read, however large the table is
    select
        spans.market_ticker,
        periods.*,
        now() as updated_at
    from spans
    cross join lateral (
        select
            {{ period_ceil(shorter ~ '.end_ts', minutes, time_zone) }} as end_ts,
            {{ rolled_up(shorter, 'count(*)' if is_of_minutes else 'sum(' ~ shorter ~ '.candle_count)') }}
        from {{ shorter }}
        where
            {{ shorter }}.market_ticker = spans.market_ticker
            {{ 'and candles.interval_min = 1' if is_of_minutes }}
            and {{ shorter }}.end_ts > spans.since
            and {{ shorter }}.end_ts <= spans.until
        group by {{ period_ceil(shorter ~ '.end_ts', minutes, time_zone) }}
    ) as periods

)

select * from rolled_up
{%- endmacro %}


{# The whole model of a view of longer candles, which are made from 1-minute candles whenever it is read. #}
{% macro longer_candles_on_demand(minutes) -%}
with

candles as (

    select * from {{ ref('candles') }}

),

rolled_up as (

    select
        candles.market_ticker,
        {{ period_ceil('candles.end_ts', minutes) }} as end_ts,
        {{ rolled_up('candles') }}
    from candles
    where candles.interval_min = 1
    group by candles.market_ticker, {{ period_ceil('candles.end_ts', minutes) }}

)

select * from rolled_up
{%- endmacro %}
