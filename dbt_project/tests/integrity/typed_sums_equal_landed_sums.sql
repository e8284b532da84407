{#
    Fails where volume or open interest, summed over typed rows, differ from the sums over the answers
    that those rows show. It sums all markets of the new loads, and the candles of 100 of their windows.
    The sums over the answers are made without the staging views, to be independent of them.
#}
with

landed_markets as (

    select distinct on (market_ticker)
        market_ticker,
        fetched_at,
        {{ count_text('payload', 'volume') }} as volume,
        {{ count_text('payload', 'open_interest') }} as open_interest
    from {{ source('kalshi_raw', 'markets') }}
    where
        {{ is_of_last_build('_dlt_load_id') }}
        and market_ticker is not null
    order by market_ticker, fetched_at desc, _dlt_load_id desc

),

market_sums as (

    select
        'markets' as table_name,
        sum(landed_markets.volume::numeric) as landed_volume,
        sum(markets.volume_fp) as typed_volume,
        sum(landed_markets.open_interest::numeric) as landed_open_interest,
        sum(markets.open_interest_fp) as typed_open_interest
    from {{ ref('markets') }} as markets
    inner join landed_markets
        on markets.market_ticker = landed_markets.market_ticker
        and markets.fetched_at = landed_markets.fetched_at

),

windows as (

    select *
    from {{ source('kalshi_raw', 'candlesticks') }}
    where
        {{ is_of_last_build('_dlt_load_id') }}
        and jsonb_typeof(payload) = 'array'
    order by hashtext(market_ticker), window_start
    limit 100

),

landed_candles as (

    select distinct
        windows.market_ticker,
        windows.interval_min::integer as interval_min,
        windows.fetched_at,
        {{ end_of_period('candlestick.value') }} as end_ts,
        coalesce({{ count_text('candlestick.value', 'volume') }}, '0') as volume,
        {{ count_text('candlestick.value', 'open_interest') }} as open_interest
    from windows
    cross join lateral jsonb_array_elements(windows.payload) as candlestick

),

candle_sums as (

    select
        'candles' as table_name,
        sum(landed_candles.volume::numeric) as landed_volume,
        sum(candles.volume_fp) as typed_volume,
        sum(landed_candles.open_interest::numeric) as landed_open_interest,
        sum(candles.open_interest_fp) as typed_open_interest
    from {{ ref('candles') }} as candles
    inner join landed_candles
        on candles.market_ticker = landed_candles.market_ticker
        and candles.interval_min = landed_candles.interval_min
        and candles.end_ts = landed_candles.end_ts
        and candles.fetched_at = landed_candles.fetched_at

),

sums as (

    select * from market_sums
    union all
    select * from candle_sums

)

select *
from sums
where
    landed_volume is distinct from typed_volume
    or landed_open_interest is distinct from typed_open_interest
