{# Text where "" means that the value is missing, as in `result` before a market is determined. #}
{% macro text_or_null(object, key) -%}
    nullif({{ object }} ->> '{{ key }}', '')
{%- endmacro %}


{# An object or a list as it came; JSON null is NULL. #}
{% macro json_or_null(object, key) -%}
    nullif({{ object }} -> '{{ key }}', 'null'::jsonb)
{%- endmacro %}


{# What is wrong with a value by its JSON type; NULL where nothing is, also where it is missing. #}
{% macro type_problem(object, key, type, path='') -%}
    case
        when jsonb_typeof({{ object }} -> '{{ key }}') not in ('{{ type }}', 'null')
            then {{ complaint(object, key, '', path, 'is not ' ~ ('an ' if type[0] in 'aeiou' else 'a ') ~ type) }}
    end
{%- endmacro %}


{# What is wrong with an integer of at most so many digits; NULL where nothing is. #}
{% macro integer_problem(object, key, digits=9, path='') -%}
    case
        when jsonb_typeof({{ object }} -> '{{ key }}') not in ('number', 'null')
            or {{ object }} ->> '{{ key }}' !~ '^-?\d{1,{{ digits }}}$'
            then {{ complaint(object, key, '', path, 'is not an integer of up to ' ~ digits ~ ' digits') }}
    end
{%- endmacro %}


{# What is wrong with a text that an index holds: an index row has room for 2,700 bytes. #}
{% macro length_problem(object, key) -%}
    case
        when length({{ object }} ->> '{{ key }}') > 500
            then {{ complaint(object, key, '', '', 'has more than 500 characters') }}
    end
{%- endmacro %}


{#
    A key as the loader reads it (key_or_none in pipelines/kalshi_elt/kalshi/records.py); NULL where
    there is no usable one.
#}
{% macro key_text(object, key) -%}
    case
        when jsonb_typeof({{ object }} -> '{{ key }}') = 'string' and length({{ object }} ->> '{{ key }}') <= 500
            then nullif({{ object }} ->> '{{ key }}', '')
    end
{%- endmacro %}


{# What is wrong with a key: it must be a text that is not empty. #}
{% macro key_problem(object, key) -%}
    case
        when jsonb_typeof({{ object }}) is distinct from 'object' then 'the answer is not an object'
        when nullif({{ object }} ->> '{{ key }}', '') is null then '{{ key }} is missing'
        -- as in pipelines/kalshi_elt/kalshi/records.py: an index row has no room for more
        when length({{ object }} ->> '{{ key }}') > 500 then {{ complaint(object, key, '', '', 'is too long for a key') }}
        else {{ type_problem(object, key, 'string') }}
    end
{%- endmacro %}


{# What is wrong with a field: its name in this payload, its value (cut to 80 characters), and `what`. #}
{% macro complaint(object, key, suffix, path, what) -%}
    {%- set suffixed = key ~ suffix -%}
    '{{ path }}' || case when {{ object }} ? '{{ suffixed }}' then '{{ suffixed }}: ' else '{{ key }}: ' end
    || left(coalesce({{ object }} -> '{{ suffixed }}', {{ object }} -> '{{ key }}')::text, 80)
    || ' {{ what }}'
{%- endmacro %}
