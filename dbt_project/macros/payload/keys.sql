{# A time as a key among the rejects spells it. #}
{% macro time_key(moment) -%}
    to_char({{ moment }} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
{%- endmacro %}


{# The key of a window of candles among the rejects. #}
{% macro window_key(window) -%}
    {{ window }}.market_ticker || ' ' || {{ window }}.interval_min || ' ' || {{ time_key(window ~ '.window_start') }}
    || ' to ' || {{ time_key(window ~ '.window_end') }}
{%- endmacro %}
