{%- set texts = [
    'title', 'yes_sub_title', 'no_sub_title', 'market_type', 'status', 'price_level_structure',
    'response_price_units', 'settlement_bounds_type', 'primary_participant_key',
] -%}
{%- set texts_or_empty = [
    'subtitle', 'category', 'result', 'expiration_value', 'strike_type', 'functional_strike',
    'early_close_condition', 'rules_primary', 'rules_secondary', 'mve_collection_ticker',
] -%}
{%- set prices = [
    'last_price', 'previous_price', 'yes_ask', 'yes_bid', 'no_ask', 'no_bid', 'previous_yes_ask',
    'previous_yes_bid', 'settlement_value', 'settlement_floor',
] -%}
{%- set counts = ['open_interest', 'volume', 'volume_24h', 'yes_bid_size', 'yes_ask_size'] -%}
{%- set numbers = ['floor_strike', 'cap_strike'] -%}
{%- set integers = {
    'tick_size': 'smallint', 'risk_limit_cents': 'bigint', 'settlement_timer_seconds': 'integer',
    'exchange_index': 'integer',
} -%}
{%- set integer_digits = {'smallint': 4, 'integer': 9, 'bigint': 18} -%}
{%- set booleans = ['can_close_early', 'fractional_trading_enabled', 'is_provisional'] -%}
{%- set lists = ['price_ranges', 'custom_strike', 'mve_selected_legs'] -%}
{%- set moments = [
    'open_time', 'close_time', 'expiration_time', 'expected_expiration_time',
    'latest_expiration_time', 'created_time', 'updated_time', 'settlement_ts',
    'occurrence_datetime', 'fee_waiver_expiration_time',
] -%}

{%- set problems = [
    key_problem('payload', 'ticker'), key_problem('payload', 'event_ticker'), length_problem('payload', 'status'),
] -%}
{%- for key in prices -%}
    {%- do problems.append(price_problem(key ~ '_dollars', 'payload', key)) -%}
{%- endfor -%}
{%- do problems.append(price_problem('notional_value_dollars', 'payload', 'notional_value', highest=100)) -%}
{#- liquidity was below 0 in a recorded answer -#}
{%- do problems.append(price_problem('liquidity_dollars', 'payload', 'liquidity', lowest=-1000000000000, highest=1000000000000, decimals=4)) -%}
{%- for key in counts -%}
    {%- do problems.append(count_problem(key ~ '_fp', 'payload', key)) -%}
{%- endfor -%}
{%- for key in moments -%}
    {%- do problems.append(time_problem(key, 'payload', key)) -%}
{%- endfor -%}
{%- for key in texts + texts_or_empty -%}
    {%- do problems.append(type_problem('payload', key, 'string')) -%}
{%- endfor -%}
{%- for key in numbers -%}
    {%- do problems.append(type_problem('payload', key, 'number')) -%}
{%- endfor -%}
{%- for key, type in integers.items() -%}
    {%- do problems.append(integer_problem('payload', key, integer_digits[type])) -%}
{%- endfor -%}
{%- for key in booleans -%}
    {%- do problems.append(type_problem('payload', key, 'boolean')) -%}
{%- endfor %}

{% set unpacked %}
-- a payload of usual size is compressed: this unpacks it once instead of for each value
{{ select_once() }}
    -- the raw table's own column, so that a condition on it is tested before a payload is unpacked
    market_ticker,
    case when jsonb_typeof(payload) = 'object' then payload || '{}'::jsonb else payload end as payload,
    tier,
    fetched_at,
    _dlt_load_id
{% endset %}

{% set read %}
{{ select_once() }}
    market_ticker,
    payload,
    tier,
    fetched_at,
    _dlt_load_id,
    {{ key_text('payload', 'event_ticker') }} as event_ticker,
    {%- for key in texts + numbers + integers.keys() | list + booleans %}
    payload ->> '{{ key }}' as {{ key }},
    {%- endfor %}
    {%- for key in texts_or_empty %}
    {{ text_or_null('payload', key) }} as {{ key }},
    {%- endfor %}
    {%- for key in prices + ['notional_value', 'liquidity'] %}
    {{ price_text('payload', key) }} as {{ key }}_dollars,
    {%- endfor %}
    {%- for key in counts %}
    {{ count_text('payload', key) }} as {{ key }}_fp,
    {%- endfor %}
    {%- for key in moments %}
    {{ time_text('payload', key) }} as {{ key }},
    {%- endfor %}
    {%- for key in lists %}
    {{ json_or_null('payload', key) }} as {{ key }}{{ ',' if not loop.last }}
    {%- endfor %}
{% endset %}

{% call typed_payloads(source('kalshi_raw', 'markets'), [('unpacked', unpacked), ('read', read)], first_problem(problems)) %}

    ---------- ids
    market_ticker,
    event_ticker,
    {{ sound('mve_collection_ticker', 'text') }} as mve_collection_ticker,
    {{ sound('primary_participant_key', 'text') }} as primary_participant_key,

    ---------- text
    {%- for key in texts[:-1] + texts_or_empty[:-1] %}
    {{ sound(key, 'text') }} as {{ key }},
    {%- endfor %}

    ---------- prices, in dollars
    {%- for key in prices + ['notional_value'] %}
    {{ sound(key ~ '_dollars', 'numeric(10, 6)') }} as {{ key }}_dollars,
    {%- endfor %}
    {{ sound('liquidity_dollars', 'numeric(20, 4)') }} as liquidity_dollars,

    ---------- counts, in contracts
    {%- for key in counts %}
    {{ sound(key ~ '_fp', 'numeric(20, 2)') }} as {{ key }}_fp,
    {%- endfor %}

    ---------- numbers
    {%- for key in numbers %}
    {{ sound(key, 'numeric') }} as {{ key }},
    {%- endfor %}
    {%- for key, type in integers.items() %}
    {{ sound(key, type) }} as {{ key }},
    {%- endfor %}

    ---------- booleans
    {%- for key in booleans %}
    {{ sound(key, 'boolean') }} as {{ key }},
    {%- endfor %}

    ---------- objects and lists
    {%- for key in lists %}
    {{ sound(key, 'jsonb') }} as {{ key }},
    {%- endfor %}

    ---------- timestamps
    {%- for key in moments %}
    {{ sound(key, 'timestamptz') }} as {{ key }},
    {%- endfor %}

    ---------- the tier of the API that answered
    tier,

{% endcall %}
