with

source as (

    select * from {{ source('kalshi_raw', 'series') }}

),

renamed as (

    select

        ---------- ids
        payload ->> 'ticker' as series_ticker,

        ---------- text
        payload ->> 'title' as title,
        {{ text_or_null('payload', 'category') }} as category,
        {{ text_or_null('payload', 'frequency') }} as frequency,
        {{ text_or_null('payload', 'contract_url') }} as contract_url,
        {{ text_or_null('payload', 'contract_terms_url') }} as contract_terms_url,
        payload ->> 'fee_type' as fee_type,

        ---------- numbers
        (payload ->> 'fee_multiplier')::numeric as fee_multiplier,
        {{ contracts('payload', 'volume') }}::numeric(20, 2) as volume_fp,
        (payload ->> 'exchange_index')::integer as exchange_index,

        ---------- objects and lists
        {{ json_or_null('payload', 'categories') }} as categories,
        {{ json_or_null('payload', 'tags') }} as tags,
        {{ json_or_null('payload', 'settlement_sources') }} as settlement_sources,
        {{ json_or_null('payload', 'product_metadata') }} as product_metadata,
        {{ json_or_null('payload', 'additional_prohibitions') }} as additional_prohibitions,

        ---------- timestamps
        {{ moment('payload', 'last_updated_ts') }} as last_updated_ts,

        ---------- where it came from
        fetched_at,
        _dlt_load_id

    from source

)

select * from renamed
