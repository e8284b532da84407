{#
    The probability that prices imply: the middle between bid and ask where both are quoted, else the
    last trade. A bid of 0 and an ask of 1 mean that nobody quotes on that side.
#}
{% macro implied_probability(bid, ask, last_trade) -%}
    (
        case
            when {{ bid }} > 0 and {{ ask }} < 1 then ({{ bid }} + {{ ask }}) / 2
            else {{ last_trade }}
        end
    )::numeric(11, 7)
{%- endmacro %}


{#
    A subquery to be joined laterally, of one row or none: the last candle of a market, of whatever
    length, that ended at or before a time, with the prices that held then. There is no row where
    candles between the end of that candle and the time were not asked for, as the prices may have
    changed in between.
#}
{% macro prices_at(market_ticker, ts) -%}
    (
        select
            newest.interval_min,
            newest.end_ts,
            newest.yes_bid_close_dollars as yes_bid_dollars,
            newest.yes_ask_close_dollars as yes_ask_dollars,
            coalesce(newest.trade_close_dollars, newest.trade_prev_dollars) as last_trade_dollars,
            {{ implied_probability(
                'newest.yes_bid_close_dollars',
                'newest.yes_ask_close_dollars',
                'coalesce(newest.trade_close_dollars, newest.trade_prev_dollars)'
            ) }} as probability
        from {{ ref('coverage') }} as coverage
        cross join lateral (
            select * from {{ ref('candles') }} as candles
            where
                candles.market_ticker = {{ market_ticker }}
                and candles.interval_min = coverage.interval_min
                and candles.end_ts <= {{ ts }}
            order by candles.end_ts desc
            limit 1
        ) as newest
        where
            coverage.market_ticker = {{ market_ticker }}
            and tstzrange(newest.end_ts, {{ ts }}, '(]') <@ coverage.covered
        order by newest.end_ts desc, newest.interval_min
        limit 1
    )
{%- endmacro %}
