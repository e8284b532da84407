{# A point in time as text. Kalshi's zero time 0001-01-01T00:00:00Z means that none is known. #}
{% macro time_text(object, key) -%}
    nullif(nullif({{ object }} ->> '{{ key }}', ''), '0001-01-01T00:00:00Z')
{%- endmacro %}


{#
    What is wrong with a time that time_text() read; NULL where nothing is. The first condition is
    the usual form. The regular expression knows the calendar: a cast would fail where the text is not
    a time, and PostgreSQL 15 has no function that tells before.
#}
{% macro time_problem(text, object, key) -%}
    {%- set year = '(1[6-9]|[2-9][0-9])[0-9][0-9]' -%}
    {%- set leap_year = '((1[6-9]|[2-9][0-9])(0[48]|[2468][048]|[13579][26])|([2468][048]|16|[3579][26])00)' -%}
    {%- set day -%}
        ({{ year }}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))|{{ leap_year }}-02-29)
    {%- endset -%}
    case
        when {{ text }} is null then null
        when
            {{ text }} ~ '^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$'
            and length({{ text }}) <= 30
            and substr({{ text }}, 6, 2) between '01' and '12'
            and substr({{ text }}, 9, 2) between '01' and '28'
            and substr({{ text }}, 12, 2) <= '23'
            and substr({{ text }}, 15, 2) <= '59'
            and substr({{ text }}, 18, 2) <= '59'
            then null
        when
            {{ text }} !~ '^{{ day }}T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-](0\d|1[0-4]):[0-5]\d)$'
            then {{ complaint(object, key, '', '', 'is not a valid time') }}
    end
{%- endmacro %}


{# What is wrong with a time in whole Unix seconds; NULL where nothing is. #}
{% macro unix_seconds_problem(object, key) -%}
    case
        when {{ object }} -> '{{ key }}' is null then '{{ key }} is missing'
        when
            jsonb_typeof({{ object }} -> '{{ key }}') <> 'number'
            or {{ object }} ->> '{{ key }}' !~ '^\d{1,10}$'
            then {{ complaint(object, key, '', '', 'is not a time in Unix seconds') }}
    end
{%- endmacro %}


{# What is wrong with a time in Unix seconds, valid by itself, that has to lie in (start, end]. #}
{% macro window_problem(object, key, start, end) -%}
    case
        when
            to_timestamp(({{ object }} ->> '{{ key }}')::bigint) <= {{ start }}
            or to_timestamp(({{ object }} ->> '{{ key }}')::bigint) > {{ end }}
            then {{ complaint(object, key, '', '', 'is not in the window that was asked for') }}
    end
{%- endmacro %}


{# The end of a candle's period, even if the candle can't be typed; NULL where it has no usable one. #}
{% macro end_of_period(candlestick) -%}
    to_timestamp(
        case
            when {{ candlestick }} ->> 'end_period_ts' ~ '^\d{1,10}$'
                then ({{ candlestick }} ->> 'end_period_ts')::bigint
        end
    )
{%- endmacro %}
