-- depends_on: {{ ref('markets') }}
with

stg_candlesticks as (

    select * from {{ ref('stg_kalshi__candlesticks') }}

),

new_candlesticks as (

    select * from stg_candlesticks
    where
        problem is null
        and {{ is_new_load('_dlt_load_id', 'candle', 'market_ticker') }}
        and {{ is_of_known_market('market_ticker') }}

),

newest_answers as (

    select distinct on (market_ticker, interval_min, end_ts) *
    from new_candlesticks
    order by market_ticker, interval_min, end_ts, fetched_at desc, _dlt_load_id desc

),

typed as (

    select
        newest_answers.market_ticker,
        newest_answers.interval_min,
        newest_answers.end_ts,

        {% for price in [
            'trade_open', 'trade_high', 'trade_low', 'trade_close', 'trade_prev',
            'yes_bid_open', 'yes_bid_high', 'yes_bid_low', 'yes_bid_close',
            'yes_ask_open', 'yes_ask_high', 'yes_ask_low', 'yes_ask_close',
        ] -%}
        {{ cents('newest_answers.' ~ price ~ '_dollars') }} as {{ price }},
        newest_answers.{{ price }}_dollars,
        {% endfor -%}
        newest_answers.trade_mean_dollars,

        {{ whole_contracts('newest_answers.volume_fp') }} as volume,
        {{ whole_contracts('newest_answers.open_interest_fp') }} as open_interest,
        newest_answers.volume_fp,
        newest_answers.open_interest_fp,

        newest_answers.fetched_at,
        now() as created_at
    from newest_answers

)

select * from typed
