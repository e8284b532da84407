{#
    Fails with the rows of the new loads that are neither in a typed table nor in `rejects`. Candles are
    counted by window, and looked at one by one only where the counts differ.
#}
with

landed_objects as (

    select
        'series' as entity,
        series_ticker as object_key,
        fetched_at
    from {{ source('kalshi_raw', 'series') }}
    where {{ is_of_last_build('_dlt_load_id') }}

    union all

    select
        'event' as entity,
        event_ticker as object_key,
        fetched_at
    from {{ source('kalshi_raw', 'events') }}
    where {{ is_of_last_build('_dlt_load_id') }}

    union all

    select
        'market' as entity,
        -- empty where the object has no usable ticker
        nullif(trim(market_ticker), '') as object_key,
        fetched_at
    from {{ source('kalshi_raw', 'markets') }}
    where {{ is_of_last_build('_dlt_load_id') }}

),

lost_objects as (

    select
        landed_objects.entity,
        landed_objects.object_key
    from landed_objects
    left join {{ ref('series') }} as series
        on
            landed_objects.entity = 'series'
            and landed_objects.object_key = series.series_ticker
            and landed_objects.fetched_at <= series.fetched_at
    left join {{ ref('events') }} as events
        on
            landed_objects.entity = 'event'
            and landed_objects.object_key = events.event_ticker
            and landed_objects.fetched_at <= events.fetched_at
    left join {{ ref('markets') }} as markets
        on
            landed_objects.entity = 'market'
            and landed_objects.object_key = markets.market_ticker
            and landed_objects.fetched_at <= markets.fetched_at
    left join {{ ref('rejects') }} as rejects
        on
            landed_objects.entity = rejects.entity
            and landed_objects.object_key = rejects.reject_key
            and landed_objects.fetched_at <= rejects.fetched_at
    where
        landed_objects.object_key is not null
        and coalesce(series.fetched_at, events.fetched_at, markets.fetched_at, rejects.fetched_at) is null

),

windows as (

    select
        market_ticker,
        interval_min::integer as interval_min,
        window_start,
        window_end,
        fetched_at,
        payload,
        jsonb_array_length(
            case when jsonb_typeof(payload) = 'array' then payload else '[]' end
        ) as landed_count
    from {{ source('kalshi_raw', 'candlesticks') }}
    where {{ is_of_last_build('_dlt_load_id') }}

),

typed_counts as (

    select
        windows.market_ticker,
        windows.interval_min,
        windows.window_start,
        windows.window_end,
        windows.fetched_at,
        count(candles.end_ts) as typed_count
    from windows
    left join {{ ref('candles') }} as candles
        on windows.market_ticker = candles.market_ticker
        and windows.interval_min = candles.interval_min
        and windows.window_start < candles.end_ts
        and windows.window_end >= candles.end_ts
        and windows.fetched_at = candles.fetched_at
    group by 1, 2, 3, 4, 5

),

uncertain_windows as (

    select windows.*
    from windows
    inner join typed_counts
        on windows.market_ticker = typed_counts.market_ticker
        and windows.interval_min = typed_counts.interval_min
        and windows.window_start = typed_counts.window_start
        and windows.window_end = typed_counts.window_end
        and windows.fetched_at = typed_counts.fetched_at
    where windows.landed_count > typed_counts.typed_count

),

newest_rejects as (

    select
        market_ticker,
        interval_min,
        max(fetched_at) as fetched_at
    from {{ ref('rejects') }}
    where entity in ('candle', 'window')
    group by 1, 2

),

lost_candles as (

    select
        'candle' as entity,
        uncertain_windows.market_ticker || ' ' || (candlestick.value ->> 'end_period_ts') as object_key
    from uncertain_windows
    cross join lateral jsonb_array_elements(uncertain_windows.payload) as candlestick
    left join {{ ref('candles') }} as candles
        on uncertain_windows.market_ticker = candles.market_ticker
        and uncertain_windows.interval_min = candles.interval_min
        and candles.end_ts = {{ end_of_period('candlestick.value') }}
        and uncertain_windows.fetched_at <= candles.fetched_at
    left join newest_rejects
        on uncertain_windows.market_ticker = newest_rejects.market_ticker
        and uncertain_windows.interval_min = newest_rejects.interval_min
        and uncertain_windows.fetched_at <= newest_rejects.fetched_at
    where
        candles.end_ts is null
        and newest_rejects.market_ticker is null
        -- synthetic candles are left out by staging
        and coalesce(
            candlestick.value #>> '{yes_bid,close_dollars}', candlestick.value #>> '{yes_bid,close}',
            candlestick.value #>> '{yes_ask,close_dollars}', candlestick.value #>> '{yes_ask,close}'
        ) is not null

)

select * from lost_objects
union all
select * from lost_candles
