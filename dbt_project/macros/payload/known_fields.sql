{#
    The fields of Kalshi's objects that the warehouse knows: they are typed, or left out on purpose.
    `field_drift` reports all others as unknown. A name that ends in .* stands for all keys of an object
    that may have any keys.
#}
{% macro known_fields(entity) -%}
    {%- set priced = [
        'last_price', 'previous_price', 'yes_ask', 'yes_bid', 'no_ask', 'no_bid',
        'previous_yes_ask', 'previous_yes_bid', 'settlement_value', 'settlement_floor',
        'notional_value', 'liquidity',
    ] -%}
    {%- set counted = ['open_interest', 'volume', 'volume_24h', 'yes_bid_size', 'yes_ask_size'] -%}
    {%- set quotes = ['open', 'high', 'low', 'close'] -%}
    {%- set trades = quotes + ['mean', 'previous', 'min', 'max'] -%}
    {%- set fields = [] -%}
    {%- if entity == 'event' -%}
        {%- do fields.extend([
            'event_ticker', 'series_ticker', 'title', 'sub_title', 'category',
            'collateral_return_type', 'strike_period', 'strike_date', 'fee_type_override',
            'fee_multiplier_override', 'exchange_index', 'available_on_brokers',
            'mutually_exclusive', 'settlement_sources', 'product_metadata', 'product_metadata.*',
            'last_updated_ts', 'price_level_structure',
        ]) -%}
    {%- elif entity == 'market' -%}
        {%- do fields.extend([
            'ticker', 'event_ticker', 'mve_collection_ticker', 'primary_participant_key', 'title',
            'subtitle', 'yes_sub_title', 'no_sub_title', 'category', 'market_type', 'status',
            'result', 'expiration_value', 'strike_type', 'functional_strike',
            'early_close_condition', 'rules_primary', 'rules_secondary', 'price_level_structure',
            'response_price_units', 'settlement_bounds_type', 'floor_strike', 'cap_strike',
            'tick_size', 'risk_limit_cents', 'settlement_timer_seconds', 'exchange_index',
            'can_close_early', 'fractional_trading_enabled', 'is_provisional', 'price_ranges',
            'custom_strike', 'custom_strike.*', 'mve_selected_legs', 'open_time', 'close_time',
            'expiration_time', 'expected_expiration_time', 'latest_expiration_time',
            'created_time', 'updated_time', 'settlement_ts', 'occurrence_datetime',
            'fee_waiver_expiration_time',
        ]) -%}
        {%- for key in priced -%}{%- do fields.extend([key, key ~ '_dollars']) -%}{%- endfor -%}
        {%- for key in counted -%}{%- do fields.extend([key, key ~ '_fp']) -%}{%- endfor -%}
    {%- elif entity == 'candle' -%}
        {%- do fields.extend([
            'end_period_ts', 'volume', 'volume_fp', 'open_interest', 'open_interest_fp', 'price',
            'yes_bid', 'yes_ask',
        ]) -%}
        {%- for side in ['yes_bid', 'yes_ask'] -%}
            {%- for key in quotes -%}
                {%- do fields.extend([side ~ '.' ~ key, side ~ '.' ~ key ~ '_dollars']) -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- for key in trades -%}
            {%- do fields.extend(['price.' ~ key, 'price.' ~ key ~ '_dollars']) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(fields) }}
{%- endmacro %}


{#
    The fields that Kalshi has given up, with the day (docs/kalshi_api.md, 3.1 and 8): older answers have
    them, and newer ones are right without them. For candles this is about the live tier.
#}
{% macro removed_fields(entity) -%}
    {%- set fixed_point = '2026-03-12' -%}
    {%- set fields = {
        'event': {'available_on_brokers': '2026-09-10', 'price_level_structure': '2025-10-10'},
        'market': {
            'category': '2026-01-08', 'risk_limit_cents': '2026-01-08', 'tick_size': '2026-05-07',
            'response_price_units': '2026-07-09', 'fractional_trading_enabled': '2026-07-09',
            'liquidity_dollars': '2026-10-01',
        },
        'candle': {},
    }[entity] -%}
    {%- for field_path in known_fields(entity) -%}
        {%- set siblings = [field_path ~ '_dollars', field_path ~ '_fp'] -%}
        {%- if siblings | select('in', known_fields(entity)) | list -%}
            {%- do fields.update({field_path: fixed_point}) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(fields) }}
{%- endmacro %}
