-- noqa: disable=RF01
-- names qualified by that of the function are its arguments
with

events as (

    select * from {{ ref('events') }}
    where event_ticker = event_probabilities.event

),

markets as (

    select * from {{ ref('markets') }}
    where event_ticker = event_probabilities.event

),

prices as (

    select
        markets.event_ticker,
        filled.market_ticker,
        filled.start_ts,
        filled.end_ts,
        filled.probability,
        filled.is_filled,
        filled.is_covered
    from markets
    cross join lateral {{ ref('candles_filled') }}(
        markets.market_ticker,
        event_probabilities.minutes,
        event_probabilities.since,
        event_probabilities.until
    ) as filled

),

priced_periods as (

    select
        start_ts,
        end_ts,
        count(probability) as priced_markets,
        sum(probability) as total_probability
    from prices
    group by start_ts, end_ts

),

periods as (

    -- a total means something only where exactly one of the event's markets can pay
    select
        priced_periods.start_ts,
        priced_periods.end_ts,
        priced_periods.priced_markets,
        count(markets.market_ticker) as open_markets,
        case when events.mutually_exclusive then priced_periods.total_probability end as total_probability
    from priced_periods
    cross join events
    left join markets
        on
            (priced_periods.end_ts > markets.open_time or markets.open_time is null)
            and (priced_periods.start_ts < markets.close_time or markets.close_time is null)
    group by
        priced_periods.start_ts,
        priced_periods.end_ts,
        priced_periods.priced_markets,
        priced_periods.total_probability,
        events.mutually_exclusive

),

normalised as (

    select
        prices.event_ticker,
        prices.market_ticker,
        prices.end_ts,
        prices.probability,
        prices.is_filled,
        prices.is_covered,
        periods.open_markets,
        periods.priced_markets,
        periods.total_probability,
        periods.total_probability - 1 as overround,
        round(prices.probability / nullif(periods.total_probability, 0), 6) as normalised_probability
    from prices
    inner join periods
        on prices.end_ts = periods.end_ts

)

select * from normalised
order by end_ts, market_ticker
