-- depends_on: {{ ref('markets') }}
-- depends_on: {{ ref('stg_kalshi__candlestick_windows') }}
with

candles as (

    select * from {{ ref('candles') }}

),

spans as (

    {{ spans_to_roll_up(minutes=60) }}

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
            {{ period_ceil('candles.end_ts', minutes=60) }} as end_ts,
            {{ rolled_up('candles') }}
        from candles
        where
            candles.market_ticker = spans.market_ticker
            and candles.interval_min = 1
            and candles.end_ts > spans.since
            and candles.end_ts <= spans.until
        group by {{ period_ceil('candles.end_ts', minutes=60) }}
    ) as periods

)

select * from rolled_up
