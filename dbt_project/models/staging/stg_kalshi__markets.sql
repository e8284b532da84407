with

source as (

    select * from {{ source('kalshi_raw', 'markets') }}

),

renamed as (

    select

        ---------- ids
        payload ->> 'ticker' as market_ticker,
        payload ->> 'event_ticker' as event_ticker,
        {{ text_or_null('payload', 'mve_collection_ticker') }} as mve_collection_ticker,
        payload ->> 'primary_participant_key' as primary_participant_key,

        ---------- text
        payload ->> 'title' as title,
        {{ text_or_null('payload', 'subtitle') }} as subtitle,
        payload ->> 'yes_sub_title' as yes_sub_title,
        payload ->> 'no_sub_title' as no_sub_title,
        {{ text_or_null('payload', 'category') }} as category,
        payload ->> 'market_type' as market_type,
        payload ->> 'status' as status,
        {{ text_or_null('payload', 'result') }} as result,
        {{ text_or_null('payload', 'expiration_value') }} as expiration_value,
        {{ text_or_null('payload', 'strike_type') }} as strike_type,
        {{ text_or_null('payload', 'functional_strike') }} as functional_strike,
        {{ text_or_null('payload', 'early_close_condition') }} as early_close_condition,
        {{ text_or_null('payload', 'rules_primary') }} as rules_primary,
        {{ text_or_null('payload', 'rules_secondary') }} as rules_secondary,
        payload ->> 'price_level_structure' as price_level_structure,
        payload ->> 'response_price_units' as response_price_units,
        payload ->> 'settlement_bounds_type' as settlement_bounds_type,

        ---------- prices, in dollars
        {%- for price in [
            'last_price', 'previous_price', 'yes_ask', 'yes_bid', 'no_ask', 'no_bid',
            'previous_yes_ask', 'previous_yes_bid', 'notional_value', 'settlement_value',
            'settlement_floor',
        ] %}
        {{ dollars('payload', price) }}::numeric(10, 6) as {{ price }}_dollars,
        {%- endfor %}
        {{ dollars('payload', 'liquidity') }}::numeric(20, 4) as liquidity_dollars,

        ---------- counts, in contracts
        {%- for count in ['open_interest', 'volume', 'volume_24h', 'yes_bid_size', 'yes_ask_size'] %}
        {{ contracts('payload', count) }}::numeric(20, 2) as {{ count }}_fp,
        {%- endfor %}

        ---------- numbers
        (payload ->> 'floor_strike')::numeric as floor_strike,
        (payload ->> 'cap_strike')::numeric as cap_strike,
        (payload ->> 'tick_size')::smallint as tick_size,
        (payload ->> 'risk_limit_cents')::bigint as risk_limit_cents,
        (payload ->> 'settlement_timer_seconds')::integer as settlement_timer_seconds,
        (payload ->> 'exchange_index')::integer as exchange_index,

        ---------- booleans
        (payload ->> 'can_close_early')::boolean as can_close_early,
        (payload ->> 'fractional_trading_enabled')::boolean as fractional_trading_enabled,
        (payload ->> 'is_provisional')::boolean as is_provisional,

        ---------- objects and lists
        {{ json_or_null('payload', 'price_ranges') }} as price_ranges,
        {{ json_or_null('payload', 'custom_strike') }} as custom_strike,
        {{ json_or_null('payload', 'mve_selected_legs') }} as mve_selected_legs,

        ---------- timestamps
        {%- for moment_name in [
            'open_time', 'close_time', 'expiration_time', 'expected_expiration_time',
            'latest_expiration_time', 'created_time', 'updated_time', 'settlement_ts',
            'occurrence_datetime', 'fee_waiver_expiration_time',
        ] %}
        {{ moment('payload', moment_name) }} as {{ moment_name }},
        {%- endfor %}

        ---------- where it came from
        fetched_at,
        _dlt_load_id

    from source

)

select * from renamed
