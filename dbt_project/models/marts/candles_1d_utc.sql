-- depends_on: {{ ref('markets') }}
-- depends_on: {{ ref('stg_kalshi__candlestick_windows') }}
with

candles_1h as (

    select * from {{ ref('candles_1h') }}

),

spans as (

    {{ spans_to_roll_up(time_zone='UTC') }}

),

rolled_up as (

    -- one stretch of the primary key for each market, however large the table is
    select
        spans.market_ticker,
        periods.*,
        now() as updated_at
    from spans
    cross join lateral (
        select
            {{ period_ceil('candles_1h.end_ts', time_zone='UTC') }} as end_ts,
            {{ rolled_up('candles_1h', candle_count='sum(candles_1h.candle_count)') }}
        from candles_1h
        where
            candles_1h.market_ticker = spans.market_ticker
            and candles_1h.end_ts > spans.since
            and candles_1h.end_ts <= spans.until
        group by {{ period_ceil('candles_1h.end_ts', time_zone='UTC') }}
    ) as periods

)

select * from rolled_up
