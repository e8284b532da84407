with

source as (

    select * from {{ source('kalshi_raw', 'candlesticks') }}

),

candlesticks as (

    select
        source.market_ticker,
        source.interval_min,
        source.fetched_at,
        source._dlt_load_id,
        candlestick.value as payload
    from source
    cross join lateral jsonb_array_elements(source.payload) as candlestick

),

renamed as (

    select

        ---------- ids
        market_ticker,
        interval_min::integer as interval_min,
        to_timestamp((payload ->> 'end_period_ts')::bigint) as end_ts,

        ---------- prices, in dollars
        {%- for name, key in {
            'open': 'open', 'high': 'high', 'low': 'low', 'close': 'close',
            'mean': 'mean', 'prev': 'previous',
        }.items() %}
        {{ dollars("(payload -> 'price')", key) }}::numeric(10, 6) as trade_{{ name }}_dollars,
        {%- endfor %}
        {%- for side in ['yes_bid', 'yes_ask'] %}
        {%- for name in ['open', 'high', 'low', 'close'] %}
        {{ dollars("(payload -> '" ~ side ~ "')", name) }}::numeric(10, 6) as {{ side }}_{{ name }}_dollars,
        {%- endfor %}
        {%- endfor %}

        ---------- counts, in contracts
        coalesce({{ contracts('payload', 'volume') }}, 0)::numeric(20, 2) as volume_fp,
        {{ contracts('payload', 'open_interest') }}::numeric(20, 2) as open_interest_fp,

        ---------- where it came from
        fetched_at,
        _dlt_load_id

    from candlesticks

),

real_candlesticks as (

    -- a real candle always has its quotes; the synthetic one that
    -- include_latest_before_start puts first has none (API.md 2.6, 2.9)
    select * from renamed
    where yes_bid_close_dollars is not null or yes_ask_close_dollars is not null

)

select * from real_candlesticks
