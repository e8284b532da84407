with

stg_series as (

    select * from {{ ref('stg_kalshi__series') }}

),

new_series as (

    select * from stg_series
    where
        problem is null
        and {{ is_new_load('_dlt_load_id') }}

),

newest_answers as (

    select distinct on (series_ticker) *
    from new_series
    order by series_ticker, fetched_at desc, _dlt_load_id desc

),

typed as (

    select
        newest_answers.series_ticker,
        newest_answers.title,
        newest_answers.category,
        newest_answers.categories,
        newest_answers.frequency,
        newest_answers.tags,
        newest_answers.settlement_sources,
        newest_answers.contract_url,
        newest_answers.contract_terms_url,
        newest_answers.product_metadata,
        newest_answers.fee_type,
        newest_answers.fee_multiplier,
        newest_answers.additional_prohibitions,
        newest_answers.volume_fp,
        newest_answers.last_updated_ts,
        newest_answers.exchange_index,
        newest_answers.fetched_at,
        now() as updated_at
    from newest_answers

)

select * from typed
