{%- set z = 1.96 -%}
with

prices_before_close as (

    select * from {{ ref('prices_before_close') }}

),

bucketed as (

    select
        *,
        least(floor(probability * 10), 9) / 10 as bucket_low,
        case when is_settled_yes then 1 else 0 end as outcome
    from prices_before_close

),

counted as (

    select
        hours_before_close,
        bucket_low,
        bucket_low + 0.1 as bucket_high,
        count(*) as markets,
        avg(probability) as mean_probability,
        avg(outcome) as yes_share,
        avg((probability - outcome) ^ 2) as brier_score
    from bucketed
    group by hours_before_close, bucket_low

),

wilson as (

    -- Wilson's interval of a share, which stays within 0 to 1 even where there are few markets
    select
        *,
        1 + {{ z }} ^ 2 / markets as scale,
        yes_share + {{ z }} ^ 2 / (2 * markets) as centre,
        {{ z }} * sqrt(yes_share * (1 - yes_share) / markets + {{ z }} ^ 2 / (4 * markets::numeric ^ 2)) as margin
    from counted

),

calibration as (

    select
        hours_before_close,
        bucket_low::numeric(2, 1) as bucket_low,
        bucket_high::numeric(2, 1) as bucket_high,
        markets,
        mean_probability::numeric(10, 6) as mean_probability,
        yes_share::numeric(10, 6) as yes_share,
        ((centre - margin) / scale)::numeric(10, 6) as wilson_low,
        ((centre + margin) / scale)::numeric(10, 6) as wilson_high,
        brier_score::numeric(10, 6) as brier_score
    from wilson

)

select * from calibration
