-- depends_on: {{ ref('stg_kalshi__markets') }}
-- depends_on: {{ ref('stg_kalshi__candlestick_windows') }}
with

markets as (

    select * from {{ ref('markets') }}

),

{% if has_earlier_rows() -%}
changed_markets as ( -- noqa: ST03

    select market_ticker from {{ ref('stg_kalshi__markets') }}
    where {{ is_new_load('_dlt_load_id', 'market', 'market_ticker') }}

    union

    select market_ticker from {{ ref('stg_kalshi__candlestick_windows') }}
    where {{ is_new_load('_dlt_load_id', 'candle', 'market_ticker') }}

),

{% endif -%}
judged_markets as (

    select
        markets.*,
        coalesce(markets.status in ('finalized', 'settled') and markets.result in ('yes', 'no'), false) as is_settled
    from markets
    {% if has_earlier_rows() -%}
    inner join changed_markets
        on markets.market_ticker = changed_markets.market_ticker
    {%- endif %}

),

settled_markets as (

    -- a market may have been settled before and not be any longer; its rows have to be removed
    select * from judged_markets
    where
        is_settled
        {% if has_earlier_rows() -%}
        or market_ticker in (select present.market_ticker from {{ this }} as present)
        {%- endif %}

),

horizons as (

    select * from unnest(array[1, 24, 168]) as listed (hours_before_close)

),

priced as (

    select
        settled_markets.market_ticker,
        horizons.hours_before_close,
        settled_markets.close_time - make_interval(hours => horizons.hours_before_close) as priced_at,
        prices.interval_min as candle_interval_min,
        prices.end_ts as candle_end_ts,
        prices.yes_bid_dollars,
        prices.yes_ask_dollars,
        prices.last_trade_dollars,
        prices.probability,
        settled_markets.result = 'yes' as is_settled_yes,
        now() as updated_at,
        prices.probability is null or not settled_markets.is_settled as is_removed
    from settled_markets
    cross join horizons
    left join lateral {{ prices_at(
        'settled_markets.market_ticker',
        '(settled_markets.close_time - make_interval(hours => horizons.hours_before_close))'
    ) }} as prices
        on true

)

select * from priced
