{#
    Boundaries of periods. `minutes` is a number or an SQL expression. Where `time_zone` is given, the
    periods are the days of that zone instead. Periods of minutes are counted from midnight UTC, as
    Kalshi's are.
#}


{# The last boundary at or before a time. #}
{% macro period_floor(ts, minutes=none, time_zone=none) -%}
    {%- if time_zone -%}
        date_trunc('day', {{ ts }} at time zone '{{ time_zone }}') at time zone '{{ time_zone }}'
    {%- else -%}
        date_bin({{ length_of(minutes) }}, {{ ts }}, timestamptz '2000-01-01 00:00:00+00')
    {%- endif -%}
{%- endmacro %}


{# The first boundary at or after a time: the end of the period in which a candle with that end lies. #}
{% macro period_ceil(ts, minutes=none, time_zone=none) -%}
    {%- set before = '(' ~ ts ~ " - interval '1 microsecond')" -%}
    {%- if time_zone -%}
        (date_trunc('day', {{ before }} at time zone '{{ time_zone }}') + interval '1 day') at time zone '{{ time_zone }}'
    {%- else -%}
        {{ period_floor(before, minutes) }} + {{ length_of(minutes) }}
    {%- endif -%}
{%- endmacro %}


{# So many minutes as an interval. #}
{% macro length_of(minutes) -%}
    {%- if minutes is number -%} interval '{{ minutes }} minutes' {%- else -%} make_interval(mins => {{ minutes }}) {%- endif -%}
{%- endmacro %}
