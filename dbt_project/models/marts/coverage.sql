with

stg_coverage as (

    select * from {{ ref('stg_kalshi_ops__coverage') }}

)

select * from stg_coverage
