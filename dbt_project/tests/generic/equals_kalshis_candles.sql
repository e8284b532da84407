{#
    Fails with the rolled-up candles that differ from Kalshi's own of the same period, where both are
    there and all minutes of the period were asked for. A build looks at Kalshi's new candles,
    `dbt test` at all.

    All but the means are compared exactly. Kalshi writes a mean with four decimals, so each of its means,
    of a minute and of a longer period alike, is off the true one by at most 0.00005 where it is rounded,
    and by less than 0.0001, always downwards, where it is cut. A mean of the minutes' means, weighted by
    volume, is off by no more than they are. Either way it lies within 0.0001 of Kalshi's own, and what we
    round it to six decimals adds 0.0000005: once for an hour, which is made of minutes, and once more for
    a day, which is made of hours.
#}
{% test equals_kalshis_candles(model, interval_min) %}

{%- set farthest_mean = '0.0001005' if interval_min < 1440 else '0.0001010' -%}
{%- set exact = ['volume_fp', 'open_interest_fp'] -%}
{%- for price in [
    'trade_open', 'trade_high', 'trade_low', 'trade_close',
    'yes_bid_open', 'yes_bid_high', 'yes_bid_low', 'yes_bid_close',
    'yes_ask_open', 'yes_ask_high', 'yes_ask_low', 'yes_ask_close',
] -%}
    {%- do exact.append(price ~ '_dollars') -%}
{%- endfor %}

select
    rolled_up.*,
    to_jsonb(kalshis) as kalshis_candle
from {{ ref('candles') }} as kalshis
inner join {{ model }} as rolled_up
    on
        kalshis.market_ticker = rolled_up.market_ticker
        and kalshis.end_ts = rolled_up.end_ts
inner join {{ ref('coverage') }} as coverage
    on
        kalshis.market_ticker = coverage.market_ticker
        and coverage.interval_min = 1
where
    kalshis.interval_min = {{ interval_min }}
    and kalshis.fetched_at >= '{{ first_fetch_of_last_build() }}'
    and tstzrange(
        {{ period_floor("(kalshis.end_ts - interval '1 microsecond')", minutes=interval_min) if interval_min < 1440
            else period_floor("(kalshis.end_ts - interval '1 microsecond')", time_zone='America/New_York') }},
        kalshis.end_ts,
        '(]'
    ) <@ coverage.covered
    and (
        ({% for column in exact %}kalshis.{{ column }}{{ ', ' if not loop.last }}{% endfor %})
        is distinct from
        ({% for column in exact %}rolled_up.{{ column }}{{ ', ' if not loop.last }}{% endfor %})
        or (kalshis.trade_mean_dollars is null) <> (rolled_up.trade_mean_dollars is null)
        or abs(kalshis.trade_mean_dollars - rolled_up.trade_mean_dollars) > {{ farthest_mean }}
    )

{% endtest %}
