{#
    The probability that prices imply: the mid of bid and ask where both quote, else the last trade.
    0 and 1 on an empty book are no quotes.
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
    A subquery of one row or none: the last candle of a market, of whatever length, that ended at or
    before a time, with the prices that held then. None where candles between its end and that time
    were not asked for, as the prices may have changed. To be joined laterally.
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
