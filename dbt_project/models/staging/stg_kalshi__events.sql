{%- set texts = ['series_ticker', 'title', 'sub_title', 'category', 'fee_type_override'] -%}
{%- set texts_or_empty = ['collateral_return_type', 'strike_period'] -%}
{%- set booleans = ['available_on_brokers', 'mutually_exclusive'] -%}
{%- set moments = ['strike_date', 'last_updated_ts'] -%}

{%- set problems = [key_problem('payload', 'event_ticker')] -%}
{%- for key in texts + texts_or_empty -%}
    {%- do problems.append(type_problem('payload', key, 'string')) -%}
{%- endfor -%}
{%- for key in booleans -%}
    {%- do problems.append(type_problem('payload', key, 'boolean')) -%}
{%- endfor -%}
{%- do problems.append(type_problem('payload', 'fee_multiplier_override', 'number')) -%}
{%- do problems.append(integer_problem('payload', 'exchange_index')) -%}
{%- for key in moments -%}
    {%- do problems.append(time_problem(key, 'payload', key)) -%}
{%- endfor %}

{% set read %}
{{ select_once() }}
    payload,
    tier,
    fetched_at,
    _dlt_load_id,
    {{ key_text('payload', 'event_ticker') }} as event_ticker,
    {%- for key in texts + ['fee_multiplier_override', 'exchange_index'] + booleans %}
    payload ->> '{{ key }}' as {{ key }},
    {%- endfor %}
    {%- for key in texts_or_empty %}
    {{ text_or_null('payload', key) }} as {{ key }},
    {%- endfor %}
    {%- for key in moments %}
    {{ time_text('payload', key) }} as {{ key }},
    {%- endfor %}
    {{ json_or_null('payload', 'settlement_sources') }} as settlement_sources,
    {{ json_or_null('payload', 'product_metadata') }} as product_metadata
{% endset %}

{% call typed_payloads(source('kalshi_raw', 'events'), [('read', read)], first_problem(problems)) %}

    ---------- ids
    event_ticker,
    {{ sound('series_ticker', 'text') }} as series_ticker,

    ---------- text
    {%- for key in texts[1:] + texts_or_empty %}
    {{ sound(key, 'text') }} as {{ key }},
    {%- endfor %}

    ---------- numbers
    {{ sound('fee_multiplier_override', 'numeric') }} as fee_multiplier_override,
    {{ sound('exchange_index', 'integer') }} as exchange_index,

    ---------- booleans
    {%- for key in booleans %}
    {{ sound(key, 'boolean') }} as {{ key }},
    {%- endfor %}

    ---------- objects and lists
    {{ sound('settlement_sources', 'jsonb') }} as settlement_sources,
    {{ sound('product_metadata', 'jsonb') }} as product_metadata,

    ---------- timestamps
    {%- for key in moments %}
    {{ sound(key, 'timestamptz') }} as {{ key }},
    {%- endfor %}

    ---------- the tier of the API that answered
    tier,

{% endcall %}
