with

markets as (

    select * from {{ ref('markets') }}

),

candles as not materialized (

    -- not materialized, so that each step looks up only the rows that it needs
    select * from {{ ref('candles') }}

),

joined_to_ends as (

    {{ select_once() }}
        markets.*,
        {% for interval_min in [1, 60, 1440] -%}
        (
            select max(candles.end_ts) from candles
            where
                candles.market_ticker = markets.market_ticker
                and candles.interval_min = {{ interval_min }}
        ) as end_{{ interval_min }}_ts{{ ',' if not loop.last }}
        {% endfor %}
    from markets

),

joined_to_newest_ends as (

    -- of candles that end at the same time the shortest is taken
    select
        *,
        greatest(end_1_ts, end_60_ts, end_1440_ts) as candle_end_ts,
        case greatest(end_1_ts, end_60_ts, end_1440_ts)
            when end_1_ts then 1
            when end_60_ts then 60
            when end_1440_ts then 1440
        end as candle_interval_min
    from joined_to_ends

),

joined_to_newest_candles as (

    -- one look-up by the primary key for each market, however many candles there are
    select
        ends.*,
        newest.yes_bid_close_dollars as candle_yes_bid_dollars,
        newest.yes_ask_close_dollars as candle_yes_ask_dollars,
        coalesce(newest.trade_close_dollars, newest.trade_prev_dollars) as candle_last_price_dollars
    from joined_to_newest_ends as ends
    left join lateral (
        select * from candles
        where
            candles.market_ticker = ends.market_ticker
            and candles.interval_min = ends.candle_interval_min
            and candles.end_ts = ends.candle_end_ts
        order by candles.end_ts
        limit 1
    ) as newest
        on true

),

newest_prices as (

    -- prices come from the candle only where it is newer than the market's own answer
    select
        market_ticker,
        event_ticker,
        title,
        yes_sub_title,
        status,
        least(greatest(fetched_at, candle_end_ts), close_time) as as_of,
        {% for price in ['yes_bid_dollars', 'yes_ask_dollars', 'last_price_dollars'] -%}
        case when candle_end_ts > fetched_at then candle_{{ price }} else {{ price }} end as {{ price }},
        {% endfor -%}
        volume_fp,
        volume_24h_fp,
        open_interest_fp,
        close_time,
        result
    from joined_to_newest_candles

),

probabilities as (

    select
        *,
        {{ implied_probability('yes_bid_dollars', 'yes_ask_dollars', 'last_price_dollars') }} as probability,
        case
            when yes_bid_dollars > 0 and yes_ask_dollars < 1 then (yes_ask_dollars - yes_bid_dollars)::numeric(10, 6)
        end as spread_dollars,
        (greatest(extract(epoch from close_time - as_of), 0) / 86400)::numeric(12, 6) as days_to_close
    from newest_prices

),

summaries as (

    select
        probabilities.market_ticker,
        probabilities.event_ticker,
        probabilities.title,
        probabilities.yes_sub_title,
        probabilities.status,
        probabilities.as_of,
        probabilities.yes_bid_dollars,
        probabilities.yes_ask_dollars,
        probabilities.last_price_dollars,
        probabilities.spread_dollars,
        probabilities.probability,
        {% for name in ['1h', '24h', '7d'] -%}
        (probabilities.probability - prices_{{ name }}.probability)::numeric(11, 7) as change_{{ name }},
        {% endfor -%}
        probabilities.volume_fp,
        probabilities.volume_24h_fp,
        probabilities.open_interest_fp,
        probabilities.close_time,
        probabilities.days_to_close,
        probabilities.result
    from probabilities
    {% for name, length in {'1h': '1 hour', '24h': '24 hours', '7d': '7 days'}.items() -%}
    left join lateral {{ prices_at('probabilities.market_ticker', "(probabilities.as_of - interval '" ~ length ~ "')") }} as prices_{{ name }}
        on true
    {% endfor %}

)

select * from summaries
