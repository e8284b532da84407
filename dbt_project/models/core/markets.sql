with

stg_markets as (

    select * from {{ ref('stg_kalshi__markets') }}

),

events as (

    select * from {{ ref('events') }}

),

new_markets as (

    select * from stg_markets
    where
        problem is null
        and {{ is_new_load('_dlt_load_id', 'market', 'market_ticker') }}

),

newest_answers as (

    select distinct on (market_ticker) *
    from new_markets
    order by market_ticker, fetched_at desc, _dlt_load_id desc

),

typed as (

    select
        newest_answers.market_ticker,
        newest_answers.event_ticker,

        newest_answers.title,
        newest_answers.subtitle,
        newest_answers.market_type,
        newest_answers.status,

        newest_answers.can_close_early,
        newest_answers.tick_size,
        newest_answers.settlement_timer_seconds,

        newest_answers.open_time,
        newest_answers.close_time,
        newest_answers.expiration_time,
        newest_answers.expected_expiration_time,
        newest_answers.latest_expiration_time,
        newest_answers.created_time,

        {% for price in [
            'last_price', 'previous_price', 'yes_ask', 'yes_bid', 'no_ask', 'no_bid',
            'previous_yes_ask', 'previous_yes_bid',
        ] -%}
        {{ cents('newest_answers.' ~ price ~ '_dollars') }} as {{ price }},
        newest_answers.{{ price }}_dollars,
        {% endfor %}
        {{ cents('newest_answers.liquidity_dollars', 'bigint') }} as liquidity,
        {{ whole_contracts('newest_answers.open_interest_fp') }} as open_interest,
        {{ whole_contracts('newest_answers.volume_fp') }} as volume,
        {{ whole_contracts('newest_answers.volume_24h_fp') }} as volume_24h,

        newest_answers.liquidity_dollars,
        newest_answers.open_interest_fp,
        newest_answers.volume_fp,
        newest_answers.volume_24h_fp,

        newest_answers.price_level_structure,
        newest_answers.response_price_units,
        newest_answers.expiration_value,
        newest_answers.result,

        newest_answers.no_sub_title,
        newest_answers.yes_sub_title,

        newest_answers.early_close_condition,
        newest_answers.rules_primary,
        newest_answers.rules_secondary,

        newest_answers.price_ranges,
        newest_answers.custom_strike,

        newest_answers.yes_bid_size_fp,
        newest_answers.yes_ask_size_fp,
        {{ cents('newest_answers.notional_value_dollars') }} as notional_value,
        newest_answers.notional_value_dollars,
        {{ cents('newest_answers.settlement_value_dollars') }} as settlement_value,
        newest_answers.settlement_value_dollars,
        newest_answers.settlement_ts,
        newest_answers.settlement_bounds_type,
        newest_answers.settlement_floor_dollars,
        newest_answers.strike_type,
        newest_answers.floor_strike,
        newest_answers.cap_strike,
        newest_answers.functional_strike,
        newest_answers.occurrence_datetime,
        newest_answers.updated_time,
        newest_answers.fee_waiver_expiration_time,
        newest_answers.mve_collection_ticker,
        newest_answers.mve_selected_legs,
        newest_answers.primary_participant_key,
        newest_answers.is_provisional,
        newest_answers.exchange_index,
        newest_answers.category,
        newest_answers.risk_limit_cents,
        newest_answers.fractional_trading_enabled,

        null::timestamptz as gone_at,
        newest_answers.fetched_at,
        now() as updated_at
    from newest_answers
    inner join events
        on newest_answers.event_ticker = events.event_ticker

)

select * from typed
