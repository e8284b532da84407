with

stg_series as (

    select * from {{ ref('stg_kalshi__series') }}

),

stg_events as (

    select * from {{ ref('stg_kalshi__events') }}

),

stg_markets as (

    select * from {{ ref('stg_kalshi__markets') }}

),

stg_windows as (

    select * from {{ ref('stg_kalshi__candlestick_windows') }}

),

stg_candlesticks as (

    select * from {{ ref('stg_kalshi__candlesticks') }}

),

series as (

    select * from {{ ref('series') }}

),

events as not materialized (

    -- not materialized, so that each step looks up only the rows that it needs
    select * from {{ ref('events') }}

),

markets as not materialized (

    select * from {{ ref('markets') }}

),

candles as (

    select * from {{ ref('candles') }}

),

rejected_series as (

    select
        'series' as entity,
        coalesce(series_ticker, 'no key, ' || md5(payload::text)) as reject_key,
        series_ticker,
        null::text as event_ticker,
        '' as market_ticker,
        null::integer as interval_min,
        null::timestamptz as window_start,
        null::timestamptz as end_ts,
        problem as reason,
        payload,
        _dlt_load_id,
        fetched_at
    from stg_series
    where
        problem is not null
        and (
            {{ is_untyped('series') }}
            {{ or_is_reopened('series') }}
        )

),

rejected_events as (

    select
        'event' as entity,
        coalesce(event_ticker, 'no key, ' || md5(payload::text)) as reject_key,
        payload ->> 'series_ticker' as series_ticker,
        event_ticker,
        '' as market_ticker,
        null::integer as interval_min,
        null::timestamptz as window_start,
        null::timestamptz as end_ts,
        problem as reason,
        payload,
        _dlt_load_id,
        fetched_at
    from stg_events
    where
        problem is not null
        and (
            {{ is_untyped('event') }}
            {{ or_is_reopened('event') }}
        )

),

rejected_markets as (

    select
        'market' as entity,
        coalesce(
            {{ key_text('stg_markets.payload', 'ticker') }}, 'no key, ' || md5(stg_markets.payload::text)
        ) as reject_key,
        null::text as series_ticker,
        stg_markets.event_ticker,
        coalesce({{ key_text('stg_markets.payload', 'ticker') }}, '') as market_ticker,
        null::integer as interval_min,
        null::timestamptz as window_start,
        null::timestamptz as end_ts,
        coalesce(stg_markets.problem, 'unknown event ' || stg_markets.event_ticker) as reason,
        stg_markets.payload,
        stg_markets._dlt_load_id,
        stg_markets.fetched_at
    from (
        select * from stg_markets
        where
            {{ is_untyped('market', 'market') }}
            {{ or_is_reopened('market') }}
    ) as stg_markets
    left join events
        on stg_markets.event_ticker = events.event_ticker
    where stg_markets.problem is not null or events.event_ticker is null

),

rejected_windows as (

    select
        'window' as entity,
        {{ window_key('stg_windows') }} as reject_key,
        null::text as series_ticker,
        null::text as event_ticker,
        stg_windows.market_ticker,
        stg_windows.interval_min,
        stg_windows.window_start,
        stg_windows.window_end as end_ts,
        coalesce(
            stg_windows.problem,
            'unknown market ' || stg_windows.market_ticker || ', ' || stg_windows.candle_count || ' candles'
        ) as reason,
        stg_windows.payload,
        stg_windows._dlt_load_id,
        stg_windows.fetched_at
    from stg_windows
    left join markets
        on stg_windows.market_ticker = markets.market_ticker
    where
        {{ is_new_load('stg_windows._dlt_load_id', 'candle', 'stg_windows.market_ticker') }}
        and (
            stg_windows.problem is not null
            or markets.market_ticker is null and stg_windows.candle_count > 0
        )

),

rejected_candles as (

    select
        'candle' as entity,
        stg_candlesticks.market_ticker || ' ' || stg_candlesticks.interval_min || ' '
        || coalesce(
            {{ time_key(end_of_period('stg_candlesticks.payload')) }},
            'no time, ' || md5(stg_candlesticks.payload::text)
        ) as reject_key,
        null::text as series_ticker,
        null::text as event_ticker,
        stg_candlesticks.market_ticker,
        stg_candlesticks.interval_min,
        null::timestamptz as window_start,
        {{ end_of_period('stg_candlesticks.payload') }} as end_ts,
        stg_candlesticks.problem as reason,
        stg_candlesticks.payload,
        stg_candlesticks._dlt_load_id,
        stg_candlesticks.fetched_at
    from (
        select * from stg_candlesticks
        where
            {{ is_of_untyped_window() }}
            {{ or_is_reopened('candle') }}
    ) as stg_candlesticks
    -- a window of an unknown market is rejected as a whole, above, and not candle by candle
    inner join markets
        on stg_candlesticks.market_ticker = markets.market_ticker
    where stg_candlesticks.problem is not null

),

new_rejects as (

    select * from rejected_series
    union all
    select * from rejected_events
    union all
    select * from rejected_markets
    union all
    select * from rejected_windows
    union all
    select * from rejected_candles

),

present_rejects as (

    {% if has_earlier_rows() -%}
    select * from {{ this }}
    {%- else -%}
    -- there are none before the first build
    select
        *,
        fetched_at as first_seen_at
    from new_rejects
    where false
    {%- endif %}

),

all_rejects as (

    select
        *,
        fetched_at as first_seen_at
    from new_rejects

    union all

    select
        entity,
        reject_key,
        series_ticker,
        event_ticker,
        market_ticker,
        interval_min,
        window_start,
        end_ts,
        reason,
        payload,
        _dlt_load_id,
        fetched_at,
        first_seen_at
    from present_rejects

),

typed_series as (

    -- here and below, rows of typed tables are looked up for the rejects alone: with 2,500 rejects,
    -- 50,000 markets and 3 million candles that takes 60 ms, and plain left joins take 120 ms
    select
        series_ticker,
        fetched_at
    from series
    where series_ticker in (select all_rejects.series_ticker from all_rejects)

),

typed_events as (

    select
        event_ticker,
        fetched_at
    from events
    where event_ticker in (select all_rejects.event_ticker from all_rejects)

),

typed_markets as (

    select
        market_ticker,
        fetched_at
    from markets
    where market_ticker in (select all_rejects.market_ticker from all_rejects)

),

typed_candles as (

    select
        market_ticker,
        interval_min,
        end_ts,
        fetched_at
    from candles
    where
        (market_ticker, interval_min, end_ts) in (
            select
                all_rejects.market_ticker,
                all_rejects.interval_min,
                all_rejects.end_ts
            from all_rejects
            where all_rejects.entity = 'candle'
        )

),

later_windows as (

    -- answers for a window of which an earlier answer was not a list
    {% if has_windows_without_a_list() -%}
    select
        all_rejects.market_ticker,
        all_rejects.reject_key,
        max(stg_windows.fetched_at) as fetched_at
    from all_rejects
    inner join stg_windows
        on
            all_rejects.market_ticker = stg_windows.market_ticker
            and all_rejects.interval_min = stg_windows.interval_min
            and all_rejects.window_start = stg_windows.window_start
            and all_rejects.end_ts = stg_windows.window_end
    where
        all_rejects.entity = 'window'
        and all_rejects.reason not like 'unknown market %'
        and stg_windows.problem is null
        and {{ is_typed_load('stg_windows._dlt_load_id') }}
    group by all_rejects.market_ticker, all_rejects.reject_key
    {%- else -%}
    select
        market_ticker,
        reject_key,
        fetched_at
    from all_rejects
    where false
    {%- endif %}

),

compared as (

    select
        all_rejects.*,
        -- up to this time the answers for the key are typed, or superseded by one that is typed
        coalesce(
            typed_series.fetched_at, typed_events.fetched_at, typed_markets.fetched_at, typed_candles.fetched_at, later_windows.fetched_at,
            -- a window of an unknown market ends as a reject when the market has come: from then on its
            -- candles are judged one by one
            case when window_markets.market_ticker is not null then 'infinity'::timestamptz end,
            '-infinity'::timestamptz
        ) as typed_at
    from all_rejects
    left join typed_series
        on
            all_rejects.entity = 'series'
            and all_rejects.series_ticker = typed_series.series_ticker
    left join typed_events
        on
            all_rejects.entity = 'event'
            and all_rejects.event_ticker = typed_events.event_ticker
    left join typed_markets
        on
            all_rejects.entity = 'market'
            and all_rejects.market_ticker = typed_markets.market_ticker
    left join typed_candles
        on
            all_rejects.entity = 'candle'
            and all_rejects.market_ticker = typed_candles.market_ticker
            and all_rejects.interval_min = typed_candles.interval_min
            and all_rejects.end_ts = typed_candles.end_ts
    left join later_windows
        on
            all_rejects.entity = 'window'
            and all_rejects.market_ticker = later_windows.market_ticker
            and all_rejects.reject_key = later_windows.reject_key
    left join typed_markets as window_markets
        on
            all_rejects.entity = 'window'
            and all_rejects.reason like 'unknown market %'
            and all_rejects.market_ticker = window_markets.market_ticker

),

open_rejects as (

    select
        *,
        min(
            -- an answer that was typed in the meantime ends the reject that was first seen before it
            case when first_seen_at > typed_at then first_seen_at else fetched_at end
        ) over (partition by entity, market_ticker, reject_key) as first_open_at
    from compared
    where fetched_at > typed_at

),

newest_answers as (

    select distinct on (entity, market_ticker, reject_key) *
    from open_rejects
    order by entity, market_ticker, reject_key, fetched_at desc, _dlt_load_id desc, payload::text

),

judged as (

    select
        entity,
        reject_key,
        series_ticker,
        event_ticker,
        market_ticker,
        interval_min,
        window_start,
        end_ts,
        reason,
        payload,
        first_open_at as first_seen_at,
        fetched_at,
        _dlt_load_id,
        false as is_removed
    from newest_answers

    union all

    select
        present_rejects.entity,
        present_rejects.reject_key,
        present_rejects.series_ticker,
        present_rejects.event_ticker,
        present_rejects.market_ticker,
        present_rejects.interval_min,
        present_rejects.window_start,
        present_rejects.end_ts,
        present_rejects.reason,
        present_rejects.payload,
        present_rejects.first_seen_at,
        present_rejects.fetched_at,
        present_rejects._dlt_load_id,
        true as is_removed
    from present_rejects
    left join newest_answers
        on
            present_rejects.entity = newest_answers.entity
            and present_rejects.market_ticker = newest_answers.market_ticker
            and present_rejects.reject_key = newest_answers.reject_key
    where newest_answers.reject_key is null

)

select * from judged
