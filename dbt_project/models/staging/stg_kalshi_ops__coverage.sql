with

source as (

    select * from {{ source('kalshi_ops', 'coverage') }}

),

renamed as (

    select
        market_ticker,
        interval_min,
        wanted,
        covered,
        has_gap
    from source

)

select * from renamed
