with

candles as (

    select * from {{ ref('candles') }}

),

rolled_up as (

    select
        candles.market_ticker,
        {{ period_ceil('candles.end_ts', minutes=15) }} as end_ts,
        {{ rolled_up('candles') }}
    from candles
    where candles.interval_min = 1
    group by candles.market_ticker, {{ period_ceil('candles.end_ts', minutes=15) }}

)

select * from rolled_up
