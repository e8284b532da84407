with

markets as (

    select * from {{ ref('markets') }}

),

market_history as (

    select * from {{ ref('market_history') }}

),

candles as (

    select * from {{ ref('candles') }}

),

settled_markets as (

    select * from markets
    where status in ('finalized', 'settled')

),

last_open_states as (

    select distinct on (market_history.market_ticker) market_history.*
    from market_history
    inner join settled_markets
        on market_history.market_ticker = settled_markets.market_ticker
    where
        market_history.status not in ('finalized', 'settled')
        and (market_history.valid_from <= settled_markets.settlement_ts or settled_markets.settlement_ts is null)
    order by market_history.market_ticker, market_history.valid_from desc

),

first_settled_states as (

    -- right after a market settled its answers still have the open interest, later ones have 0
    -- (docs/kalshi_api.md, 5.10)
    select distinct on (market_ticker) *
    from market_history
    where
        status in ('finalized', 'settled')
        and open_interest_fp > 0
    order by market_ticker, valid_from

),

last_candles as (

    select distinct on (candles.market_ticker) candles.*
    from candles
    inner join settled_markets
        on candles.market_ticker = settled_markets.market_ticker
    where candles.end_ts <= settled_markets.settlement_ts or settled_markets.settlement_ts is null
    order by candles.market_ticker, candles.end_ts desc, candles.interval_min

),

settlements as (

    select
        settled_markets.market_ticker,
        settled_markets.event_ticker,
        settled_markets.result,
        settled_markets.settlement_value_dollars,
        settled_markets.settlement_ts,
        -- nothing trades after the close, so the settled market has the last trade and the whole volume
        settled_markets.last_price_dollars,
        settled_markets.volume_fp,
        case
            when first_settled_states.market_ticker is not null then first_settled_states.open_interest_fp
            when last_candles.end_ts > last_open_states.last_seen_at
                then coalesce(last_candles.open_interest_fp, last_open_states.open_interest_fp)
            else coalesce(last_open_states.open_interest_fp, last_candles.open_interest_fp)
        end as open_interest_fp,
        last_candles.interval_min as last_candle_interval_min,
        last_candles.end_ts as last_candle_end_ts,
        last_candles.yes_bid_close_dollars as last_candle_yes_bid_dollars,
        last_candles.yes_ask_close_dollars as last_candle_yes_ask_dollars,
        last_candles.trade_close_dollars as last_candle_trade_dollars,
        last_open_states.last_seen_at as last_seen_open_at
    from settled_markets
    left join last_open_states
        on settled_markets.market_ticker = last_open_states.market_ticker
    left join first_settled_states
        on settled_markets.market_ticker = first_settled_states.market_ticker
    left join last_candles
        on settled_markets.market_ticker = last_candles.market_ticker

)

select * from settlements
