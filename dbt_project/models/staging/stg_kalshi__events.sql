with

source as (

    select * from {{ source('kalshi_raw', 'events') }}

),

renamed as (

    select

        ---------- ids
        payload ->> 'event_ticker' as event_ticker,
        payload ->> 'series_ticker' as series_ticker,

        ---------- text
        payload ->> 'title' as title,
        payload ->> 'sub_title' as sub_title,
        payload ->> 'category' as category,
        {{ text_or_null('payload', 'collateral_return_type') }} as collateral_return_type,
        {{ text_or_null('payload', 'strike_period') }} as strike_period,
        payload ->> 'fee_type_override' as fee_type_override,

        ---------- numbers
        (payload ->> 'fee_multiplier_override')::numeric as fee_multiplier_override,
        (payload ->> 'exchange_index')::integer as exchange_index,

        ---------- booleans
        (payload ->> 'available_on_brokers')::boolean as available_on_brokers,
        (payload ->> 'mutually_exclusive')::boolean as mutually_exclusive,

        ---------- objects and lists
        {{ json_or_null('payload', 'settlement_sources') }} as settlement_sources,
        {{ json_or_null('payload', 'product_metadata') }} as product_metadata,

        ---------- timestamps
        {{ moment('payload', 'strike_date') }} as strike_date,
        {{ moment('payload', 'last_updated_ts') }} as last_updated_ts,

        ---------- where it came from
        fetched_at,
        _dlt_load_id

    from source

)

select * from renamed
