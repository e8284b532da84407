with

stg_events as (

    select * from {{ ref('stg_kalshi__events') }}

),

new_events as (

    select * from stg_events
    where
        problem is null
        and {{ is_new_load('_dlt_load_id') }}

),

newest_answers as (

    select distinct on (event_ticker) *
    from new_events
    order by event_ticker, fetched_at desc, _dlt_load_id desc

),

last_updates as (

    -- GET /events/{event_ticker} sends a zero time where the list of events sends the real one
    -- (docs/kalshi_api.md, 5.2)
    select
        event_ticker,
        max(last_updated_ts) as last_updated_ts
    from new_events
    group by event_ticker

),

typed as (

    select
        newest_answers.event_ticker,
        newest_answers.series_ticker,
        newest_answers.title,
        newest_answers.sub_title,
        newest_answers.category,
        newest_answers.available_on_brokers,
        newest_answers.mutually_exclusive,
        newest_answers.collateral_return_type,
        newest_answers.strike_period,
        newest_answers.strike_date,
        newest_answers.settlement_sources,
        newest_answers.product_metadata,
        newest_answers.fee_type_override,
        newest_answers.fee_multiplier_override,
        newest_answers.exchange_index,
        last_updates.last_updated_ts,
        newest_answers.fetched_at,
        now() as updated_at
    from newest_answers
    left join last_updates
        on newest_answers.event_ticker = last_updates.event_ticker

)

select * from typed
