{%- set texts = [
    'title', 'category', 'frequency', 'contract_url', 'contract_terms_url', 'fee_type',
] -%}
{%- set lists = [
    'categories', 'tags', 'settlement_sources', 'product_metadata', 'additional_prohibitions',
] -%}

{%- set problems = [key_problem('payload', 'ticker')] -%}
{%- for key in texts -%}
    {%- do problems.append(type_problem('payload', key, 'string')) -%}
{%- endfor -%}
{%- do problems.append(type_problem('payload', 'fee_multiplier', 'number')) -%}
{%- do problems.append(count_problem('volume_fp', 'payload', 'volume')) -%}
{%- do problems.append(integer_problem('payload', 'exchange_index')) -%}
{%- do problems.append(time_problem('last_updated_ts', 'payload', 'last_updated_ts')) %}

{% set read %}
{{ select_once() }}
    payload,
    fetched_at,
    _dlt_load_id,
    {{ key_text('payload', 'ticker') }} as series_ticker,
    {%- for key in texts %}
    {{ text_or_null('payload', key) }} as {{ key }},
    {%- endfor %}
    payload ->> 'fee_multiplier' as fee_multiplier,
    {{ count_text('payload', 'volume') }} as volume_fp,
    payload ->> 'exchange_index' as exchange_index,
    {%- for key in lists %}
    {{ json_or_null('payload', key) }} as {{ key }},
    {%- endfor %}
    {{ time_text('payload', 'last_updated_ts') }} as last_updated_ts
{% endset %}

{% call typed_payloads(source('kalshi_raw', 'series'), [('read', read)], first_problem(problems)) %}

    ---------- ids
    series_ticker,

    ---------- text
    {%- for key in texts %}
    {{ sound(key, 'text') }} as {{ key }},
    {%- endfor %}

    ---------- numbers
    {{ sound('fee_multiplier', 'numeric') }} as fee_multiplier,
    {{ sound('volume_fp', 'numeric(20, 2)') }} as volume_fp,
    {{ sound('exchange_index', 'integer') }} as exchange_index,

    ---------- objects and lists
    {%- for key in lists %}
    {{ sound(key, 'jsonb') }} as {{ key }},
    {%- endfor %}

    ---------- timestamps
    {{ sound('last_updated_ts', 'timestamptz') }} as last_updated_ts,

{% endcall %}
