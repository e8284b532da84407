{%- set trades = {
    'open': 'open', 'high': 'high', 'low': 'low', 'close': 'close', 'mean': 'mean',
    'prev': 'previous',
} -%}
{%- set sides = ['yes_bid', 'yes_ask'] -%}
{%- set quotes = ['open', 'high', 'low', 'close'] -%}

{%- set prices = [] -%}
{%- for name, key in trades.items() -%}
    {%- do prices.append(('price', 'trade_' ~ name, key)) -%}
{%- endfor -%}
{%- for side in sides -%}
    {%- for key in quotes -%}
        {%- do prices.append((side, side ~ '_' ~ key, key)) -%}
    {%- endfor -%}
{%- endfor -%}
{%- set price_columns = [] -%}

{%- set problems = [
    unix_seconds_problem('payload', 'end_period_ts'),
    window_problem('payload', 'end_period_ts', 'window_start', 'window_end'),
] -%}
{%- for side in ['price'] + sides -%}
    {%- do problems.append(type_problem('payload', side, 'object')) -%}
{%- endfor -%}
{%- for side, name, key in prices -%}
    {%- do price_columns.append(name ~ '_dollars') -%}
    {%- do problems.append(price_problem(name ~ '_dollars', side, key, side ~ '.')) -%}
{%- endfor -%}
{%- do problems.append(count_problem('volume_fp', 'payload', 'volume')) -%}
{%- do problems.append(count_problem('open_interest_fp', 'payload', 'open_interest')) %}

{% set candlesticks %}
select
    market_ticker,
    interval_min,
    window_start,
    window_end,
    fetched_at,
    _dlt_load_id,
    jsonb_array_elements(
        case when jsonb_typeof(payload) = 'array' then payload else '[]' end
    ) as payload
{% endset %}

{% set parts %}
{{ select_once() }}
    candlesticks.*,
    payload -> 'end_period_ts' as end_period_ts,
    payload -> 'price' as price,
    payload -> 'yes_bid' as yes_bid,
    payload -> 'yes_ask' as yes_ask
{% endset %}

{% set read %}
{{ select_once() }}
    parts.*,
    {%- for side, name, key in prices %}
    {{ price_text(side, key) }} as {{ name }}_dollars,
    {%- endfor %}
    {{ count_text('payload', 'volume') }} as volume_fp,
    {{ count_text('payload', 'open_interest') }} as open_interest_fp
{% endset %}

{% set joined %}
{{ select_once() }}
    read.*,
    concat_ws(' ', {{ price_columns | join(', ') }}) as price_texts,
    end_period_ts::text as end_period_text
{% endset %}

{% set problem %}
-- candles come by the million, so all values are tested for their usual form at once, by regular
-- expressions without counted repetition ({4}), which would cost ten times as much; only where a
-- value has another form is each of them looked at by itself
case
    when
        price_texts ~ '^(?:0\.\d\d\d\d ?|1\.0000 ?)*$'
        -- each price is one of those, not several of them
        and length(price_texts) = 7 * num_nonnulls({{ price_columns | join(', ') }}) - 1
        -- most candles have no trade
        and (volume_fp = '0.00' or volume_fp ~ '^\d+\.\d\d$')
        and open_interest_fp ~ '^\d+\.\d\d$'
        and length(volume_fp || open_interest_fp) < 30
        and end_period_text ~ '^\d+$'
        and length(end_period_text) = 10
        and to_timestamp(end_period_ts::bigint) > window_start
        and to_timestamp(end_period_ts::bigint) <= window_end
        and jsonb_typeof(price) = 'object'
        and jsonb_typeof(yes_bid) = 'object'
        and jsonb_typeof(yes_ask) = 'object'
        and not (
            {{ has_both_shapes('price', trades.values() | list) }}
            or {{ has_both_shapes('yes_bid', quotes) }}
            or {{ has_both_shapes('yes_ask', quotes) }}
            or payload ?| array['volume', 'open_interest'] and payload ?| array['volume_fp', 'open_interest_fp']
        )
        then null
    else
        {{ first_problem(problems) }}
end
{% endset %}

{% set is_real %}
-- a real candle always has quotes; the synthetic one that include_latest_before_start puts first has
-- no quotes (docs/kalshi_api.md, 2.6, 2.9) and is left out
problem is not null
or checked.yes_bid_close_dollars is not null
or checked.yes_ask_close_dollars is not null
{% endset %}

{%- set steps = [('candlesticks', candlesticks), ('parts', parts), ('read', read), ('joined', joined)] %}

{% call typed_payloads(source('kalshi_raw', 'candlesticks'), steps, problem, where=is_real) %}

    ---------- ids
    market_ticker,
    interval_min::integer as interval_min,
    to_timestamp({{ sound('end_period_ts', 'bigint') }}) as end_ts,

    ---------- prices, in dollars
    {%- for side, name, key in prices %}
    {{ sound(name ~ '_dollars', 'numeric(10, 6)') }} as {{ name }}_dollars,
    {%- endfor %}

    ---------- counts, in contracts
    {{ sound('coalesce(volume_fp, \'0\')', 'numeric(20, 2)') }} as volume_fp,
    {{ sound('open_interest_fp', 'numeric(20, 2)') }} as open_interest_fp,

{% endcall %}
