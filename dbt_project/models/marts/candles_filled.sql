{%- set trade = ['trade_open_dollars', 'trade_high_dollars', 'trade_low_dollars', 'trade_close_dollars', 'trade_mean_dollars'] -%}
{%- set quotes = [] -%}
{%- for side in ['yes_bid', 'yes_ask'] -%}
    {%- for price in ['open', 'high', 'low', 'close'] -%}{%- do quotes.append(side ~ '_' ~ price ~ '_dollars') -%}{%- endfor -%}
{%- endfor -%}
{%- set values = trade + ['trade_prev_dollars'] + quotes + ['volume_fp', 'open_interest_fp'] -%}
{%- set new_york = 'America/New_York' %}
-- noqa: disable=RF01
-- names qualified by that of the function are its arguments
with

candles as not materialized (

    -- not materialized, so that each step below reads only a stretch of the primary key
    select * from {{ ref('candles') }}
    where market_ticker = candles_filled.ticker

),

markets as (

    select * from {{ ref('markets') }}
    where market_ticker = candles_filled.ticker

),

coverage as (

    select * from {{ ref('coverage') }}
    where market_ticker = candles_filled.ticker

),

bounds as (

    -- Kalshi has no candle yet of a period that has not ended
    select
        greatest(candles_filled.since, markets.open_time) as since,
        least(candles_filled.until, now(), markets.close_time + interval '1 day' + {{ length_of('candles_filled.minutes') }}) as until
    from markets

),

period_ends as (

    select ends.end_ts
    from bounds
    cross join lateral generate_series(
        {{ period_floor('bounds.since', minutes='candles_filled.minutes') }} + {{ length_of('candles_filled.minutes') }},
        bounds.until,
        {{ length_of('candles_filled.minutes') }}
    ) as ends (end_ts)
    where candles_filled.minutes <> 1440

    union all

    select days.midnight at time zone '{{ new_york }}'
    from bounds
    cross join lateral generate_series(
        date_trunc('day', bounds.since at time zone '{{ new_york }}') + interval '1 day',
        bounds.until at time zone '{{ new_york }}',
        interval '1 day'
    ) as days (midnight)
    where candles_filled.minutes = 1440

),

periods as (

    select
        case candles_filled.minutes
            when 1440 then {{ period_floor("(end_ts - interval '1 hour')", time_zone=new_york) }}
            else end_ts - {{ length_of('candles_filled.minutes') }}
        end as start_ts,
        end_ts
    from period_ends

),

open_periods as (

    -- after its close a market has no price
    select
        periods.start_ts,
        periods.end_ts,
        tstzrange(periods.start_ts, periods.end_ts, '(]')
        * tstzrange(markets.open_time, null, '(]')
        * tstzrange(null, markets.close_time, '(]') as open_range
    from periods
    cross join markets
    where
        periods.start_ts < markets.close_time
        or markets.close_time is null

),

span as (

    select
        min(start_ts) as since,
        max(end_ts) as until
    from open_periods

),

kalshis_candles as (

    select
        candles.end_ts,
        {% for value in values -%}
        candles.{{ value }},
        {% endfor -%}
        1 as preference
    from candles
    cross join span
    where
        candles.interval_min = candles_filled.minutes
        and candles.end_ts > span.since
        and candles.end_ts <= span.until

),

rolled_up_candles as (

    {% for table, minutes in {'candles_1h': 60, 'candles_1d': 1440}.items() -%}
    select
        {{ table }}.end_ts,
        {% for value in values -%}
        {{ table }}.{{ value }},
        {% endfor -%}
        2 as preference
    from {{ ref(table) }} as {{ table }}
    cross join span
    where
        {{ table }}.market_ticker = candles_filled.ticker
        and {{ table }}.end_ts > span.since
        and {{ table }}.end_ts <= span.until
        and candles_filled.minutes = {{ minutes }}

    union all

    {% endfor -%}
    select
        periods_of_minutes.end_ts,
        {% for value in values -%}
        periods_of_minutes.{{ value }},
        {% endfor -%}
        2 as preference
    from (
        select
            {{ period_ceil('candles.end_ts', minutes='candles_filled.minutes') }} as end_ts,
            {{ rolled_up('candles') }}
        from candles
        cross join span
        where
            candles.interval_min = 1
            and candles.end_ts > span.since
            and candles.end_ts <= span.until
            and candles_filled.minutes not in (1, 60, 1440)
        group by {{ period_ceil('candles.end_ts', minutes='candles_filled.minutes') }}
    ) as periods_of_minutes

),

candles_of_periods as (

    select distinct on (found.end_ts) found.*
    from (
        select * from kalshis_candles
        union all
        select * from rolled_up_candles
    ) as found
    order by found.end_ts, found.preference

),

last_candles_before as (

    select newest.*
    from unnest(array[1, 60, 1440]) as lengths (interval_min)
    cross join span
    cross join lateral (
        select candles.* from candles
        where
            candles.interval_min = lengths.interval_min
            and candles.end_ts <= span.since
        order by candles.end_ts desc
        limit 1
    ) as newest
    where lengths.interval_min <= candles_filled.minutes

),

last_candle_before as (

    select * from last_candles_before
    order by end_ts desc, interval_min
    limit 1

),

timeline as (

    select
        open_periods.start_ts,
        open_periods.end_ts,
        open_periods.open_range,
        candles_of_periods.end_ts as candle_end_ts,
        {% for value in values -%}
        candles_of_periods.{{ value }}{{ ',' if not loop.last }}
        {% endfor -%}
    from open_periods
    left join candles_of_periods
        on open_periods.end_ts = candles_of_periods.end_ts

    union all

    select
        null as start_ts,
        end_ts,
        null as open_range,
        end_ts as candle_end_ts,
        {% for value in values -%}
        {{ value }}{{ ',' if not loop.last }}
        {% endfor -%}
    from last_candle_before

),

numbered as (

    select
        *,
        count(candle_end_ts) over (order by end_ts) as candle_number
    from timeline

),

carried as (

    select
        *,
        candle_end_ts is null as is_filled,
        first_value(yes_bid_close_dollars) over same_candle as carried_yes_bid_dollars,
        first_value(yes_ask_close_dollars) over same_candle as carried_yes_ask_dollars,
        first_value(coalesce(trade_close_dollars, trade_prev_dollars)) over same_candle as last_trade_dollars,
        first_value(open_interest_fp) over same_candle as carried_open_interest_fp
    from numbered
    window same_candle as (partition by candle_number order by end_ts)

),

filled as (

    select
        candles_filled.ticker as market_ticker,
        candles_filled.minutes as interval_min,
        carried.start_ts,
        carried.end_ts,
        {% for price in trade -%}
        carried.{{ price }},
        {% endfor -%}
        carried.last_trade_dollars,
        {% for quote in quotes -%}
        case
            when carried.is_filled then carried.carried_{{ quote.rsplit('_', 2)[0] }}_dollars
            else carried.{{ quote }}
        end as {{ quote }},
        {% endfor -%}
        coalesce(carried.volume_fp, 0) as volume_fp,
        carried.carried_open_interest_fp as open_interest_fp,
        {{ implied_probability(
            'carried.carried_yes_bid_dollars', 'carried.carried_yes_ask_dollars', 'carried.last_trade_dollars'
        ) }} as probability,
        carried.is_filled,
        (
            select coalesce(bool_or(carried.open_range <@ coverage.covered), false)
            from coverage
            where coverage.interval_min in (1, candles_filled.minutes)
        ) as is_covered
    from carried
    where
        carried.start_ts is not null
        and carried.candle_number > 0

)

select * from filled
order by end_ts
