{# Text where "" means that the value is missing, as in `result` before a market is determined. #}
{% macro text_or_null(object, key) -%}
    nullif({{ object }} ->> '{{ key }}', '')
{%- endmacro %}


{# A point in time. Kalshi's zero time 0001-01-01T00:00:00Z means that none is known. #}
{% macro moment(object, key) -%}
    nullif(nullif({{ object }} ->> '{{ key }}', '')::timestamptz, '0001-01-01T00:00:00Z'::timestamptz)
{%- endmacro %}


{# An object or a list as it came; JSON null is NULL. #}
{% macro json_or_null(object, key) -%}
    nullif({{ object }} -> '{{ key }}', 'null'::jsonb)
{%- endmacro %}
