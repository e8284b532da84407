{%- set prices = [
    'yes_bid', 'yes_ask', 'no_bid', 'no_ask', 'last_price', 'settlement_value',
] -%}
{%- set counts = ['yes_bid_size', 'yes_ask_size', 'volume', 'volume_24h', 'open_interest'] -%}
{%- set state = ['status', 'result'] -%}
{%- for price in prices -%}{%- do state.append(price ~ '_dollars') -%}{%- endfor -%}
{%- for count in counts -%}{%- do state.append(count ~ '_fp') -%}{%- endfor %}
{%- set late_markets = markets_with_late_answers() %}

with

stg_markets as (

    select * from {{ ref('stg_kalshi__markets') }}

),

markets as (

    select * from {{ ref('markets') }}

),

new_answers as (

    select
        market_ticker,
        {{ state | join(',\n        ') }},
        fetched_at as valid_from,
        fetched_at as last_seen_at,
        _dlt_load_id
    from stg_markets
    where
        problem is null
        and {{ is_new_load('_dlt_load_id', 'market', 'market_ticker') }}

),

{% if has_earlier_rows() -%}
current_states as (

    select * from {{ this }}
    where is_current

),

answers as (

    select * from new_answers
    where market_ticker <> {{ all_of(late_markets) }}

    union all

    select
        current_states.market_ticker,
        {% for column in state -%}
        current_states.{{ column }},
        {% endfor -%}
        current_states.valid_from,
        current_states.last_seen_at,
        '' as _dlt_load_id
    from current_states
    where
        current_states.market_ticker <> {{ all_of(late_markets) }}
        and current_states.market_ticker in (select new_answers.market_ticker from new_answers)

    {%- if late_markets %}

    union all

    -- these markets have an answer that landed after one that was fetched later, and so belongs
    -- between states that are written already; as answers equal to the one before them have left no
    -- row, the history of such a market is made anew from all of its answers
    select
        market_ticker,
        {{ state | join(',\n        ') }},
        fetched_at as valid_from,
        fetched_at as last_seen_at,
        _dlt_load_id
    from stg_markets
    where
        problem is null
        and {{ is_typed_load('_dlt_load_id') }}
        and market_ticker = {{ any_of(late_markets) }}
    {%- endif %}

),

{%- else -%}
answers as (

    select * from new_answers

),
{%- endif %}

distinct_answers as (

    -- a raw row may have landed twice (DECISIONS.md, 4)
    select distinct on (market_ticker, valid_from) *
    from answers
    order by market_ticker, valid_from, _dlt_load_id desc

),

preceded as (

    select
        *,
        {%- for column in state %}
        lag({{ column }}) over market_by_time as previous_{{ column }},
        {%- endfor %}
        row_number() over market_by_time = 1 as is_first
    from distinct_answers
    window market_by_time as (partition by market_ticker order by valid_from)

),

compared as (

    select
        *,
        (
            is_first
            {%- for column in state %}
            or {{ column }} is distinct from previous_{{ column }}
            {%- endfor %}
        ) as is_change
    from preceded

),

numbered as (

    select
        *,
        count(*) filter (where is_change) over (
            partition by market_ticker
            order by valid_from
        ) as state_number
    from compared

),

spans as (

    select
        market_ticker,
        state_number,
        max(last_seen_at) as last_seen_at
    from numbered
    group by market_ticker, state_number

),

states as (

    select
        numbered.market_ticker,
        numbered.valid_from,
        lead(numbered.valid_from) over (
            partition by numbered.market_ticker
            order by numbered.valid_from
        ) as valid_to,
        spans.last_seen_at,
        {% for column in state -%}
        numbered.{{ column }},
        {% endfor -%}
        false as is_removed
    from numbered
    inner join spans
        on numbered.market_ticker = spans.market_ticker
        and numbered.state_number = spans.state_number
    where numbered.is_change

),

{% if late_markets -%}
removed_states as ( -- noqa: ST03

    select
        history.market_ticker,
        history.valid_from,
        history.valid_to,
        history.last_seen_at,
        {% for column in state -%}
        history.{{ column }},
        {% endfor -%}
        true as is_removed
    from {{ this }} as history
    left join states
        on history.market_ticker = states.market_ticker
        and history.valid_from = states.valid_from
    where
        states.market_ticker is null
        and history.market_ticker = {{ any_of(late_markets) }}

),

{% endif -%}
all_states as (

    select * from states

    {%- if late_markets %}
    union all
    select * from removed_states
    {%- endif %}

),

known_states as (

    select
        all_states.*,
        all_states.valid_to is null as is_current
    from all_states
    inner join markets
        on all_states.market_ticker = markets.market_ticker

)

select * from known_states
