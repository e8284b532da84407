with

source as (

    select * from {{ source('kalshi_raw', 'candlesticks') }}

),

described as (

    select
        market_ticker,
        interval_min::integer as interval_min,
        window_start,
        window_end,
        case
            when jsonb_typeof(payload) = 'array' then jsonb_array_length(payload)
        end as candle_count,
        case
            when jsonb_typeof(payload) <> 'array' then 'the answer is not a list of candles'
        end as problem,
        payload,
        tier,
        fetched_at,
        _dlt_load_id
    from source

)

select * from described
