with

stg_events as (

    select * from {{ ref('stg_kalshi__events') }}

),

stg_markets as (

    select * from {{ ref('stg_kalshi__markets') }}

),

stg_windows as (

    select * from {{ ref('stg_kalshi__candlestick_windows') }}

),

numbered_windows as (

    select
        tier,
        problem,
        payload,
        fetched_at,
        row_number() over (
            partition by _dlt_load_id, tier
            order by hashtext(market_ticker), window_start, interval_min
        ) as position_in_load
    from stg_windows
    where {{ is_new_load('_dlt_load_id') }}

),

-- to look at all candles would cost as much as to type them, and a field that Kalshi adds is in every
-- candle
sampled_windows as (

    select * from numbered_windows
    where
        position_in_load <= {{ var('sampled_windows') }}
        and problem is null

),

new_objects as (

    select
        'event' as entity,
        tier,
        payload,
        fetched_at
    from stg_events
    where {{ is_new_load('_dlt_load_id') }}

    union all

    select
        'market' as entity,
        tier,
        payload,
        fetched_at
    from stg_markets
    where {{ is_new_load('_dlt_load_id') }}

    union all

    select
        'candle' as entity,
        tier,
        candlestick.value as payload,
        fetched_at
    from sampled_windows
    cross join lateral (values (payload -> 0), (nullif(payload -> -1, payload -> 0))) as candlestick (value)
    where candlestick.value is not null

),

top_fields as (

    select
        new_objects.entity,
        new_objects.tier,
        left(field.key, 200) as field_path,
        field.value,
        new_objects.fetched_at
    from new_objects
    cross join lateral jsonb_each(
        case when jsonb_typeof(new_objects.payload) = 'object' then new_objects.payload else '{}' end
    ) as field

),

inner_fields as (

    -- custom_strike and product_metadata have other keys in each object, which count as one field
    select
        top_fields.entity,
        top_fields.tier,
        case
            when top_fields.field_path in ('custom_strike', 'product_metadata')
                then top_fields.field_path || '.*'
            else top_fields.field_path || '.' || left(field.key, 200)
        end as field_path,
        field.value,
        top_fields.fetched_at
    from top_fields
    cross join lateral jsonb_each(
        case when jsonb_typeof(top_fields.value) = 'object' then top_fields.value else '{}' end
    ) as field

),

new_fields as (

    select * from top_fields
    union all
    select * from inner_fields

),

fields_by_type as (

    select
        entity,
        tier,
        field_path,
        array[jsonb_typeof(value)] as json_types,
        min(fetched_at) as first_seen_at,
        max(fetched_at) as last_seen_at,
        count(*) as seen_count
    from new_fields
    group by entity, tier, field_path, jsonb_typeof(value)

    {% if has_earlier_rows() %}
    union all

    select
        entity,
        tier,
        field_path,
        json_types,
        first_seen_at,
        last_seen_at,
        seen_count
    from {{ this }}
    {% endif %}

),

fields as (

    select
        fields_by_type.entity,
        fields_by_type.tier,
        fields_by_type.field_path,
        array_agg(distinct json_type.name order by json_type.name) as json_types,
        min(fields_by_type.first_seen_at) as first_seen_at,
        max(fields_by_type.last_seen_at) as last_seen_at
    from fields_by_type
    cross join lateral unnest(fields_by_type.json_types) as json_type (name)
    group by fields_by_type.entity, fields_by_type.tier, fields_by_type.field_path

),

counts as (

    select
        entity,
        tier,
        field_path,
        sum(seen_count)::bigint as seen_count
    from fields_by_type
    group by entity, tier, field_path

),

removals (entity, field_path, removed_on) as (

    values
    {%- for entity in ['event', 'market', 'candle'] %}
    {%- set is_last_entity = loop.last %}
    {%- for field_path, removed_on in removed_fields(entity).items() %}
    ('{{ entity }}', '{{ field_path }}', '{{ removed_on }}'::date){{ ',' if not (loop.last and is_last_entity) }}
    {%- endfor %}
    {%- endfor %}

),

described as (

    select
        fields.entity,
        fields.tier,
        fields.field_path,
        fields.json_types,
        fields.first_seen_at,
        fields.last_seen_at,
        counts.seen_count,
        removals.removed_on,
        case fields.entity
            {%- for entity in ['event', 'market', 'candle'] %}
            when '{{ entity }}' then fields.field_path = {{ any_of(known_fields(entity)) }}
            {%- endfor %}
        end as is_known,
        max(fields.last_seen_at) over (partition by fields.entity, fields.tier) as newest_answer_at
    from fields
    inner join counts
        on fields.entity = counts.entity
        and fields.tier = counts.tier
        and fields.field_path = counts.field_path
    left join removals
        on fields.entity = removals.entity
        and fields.field_path = removals.field_path
        -- historical candles still have the names that the live tier has given up
        and (fields.entity <> 'candle' or fields.tier = 'live')

),

judged as (

    select
        entity,
        tier,
        field_path,
        json_types,
        first_seen_at,
        last_seen_at,
        seen_count,
        is_known,
        removed_on,
        (
            removed_on is null
            and last_seen_at < newest_answer_at - interval '1 day' * {{ var('field_missing_days') }}
        ) as is_missing
    from described

)

select * from judged
