{#
    A number of contracts as text, from any shape of Kalshi's payloads:

        live        {"volume_fp": "792.32"}
        historical  {"volume": "792.32"}
        legacy      {"volume": 792}, later beside "volume_fp"

    Reading never fails: what is not a count stays the text that it is, and count_problem() finds it.
#}
{% macro count_text(object, key) -%}
    coalesce(nullif({{ object }} ->> '{{ key }}_fp', ''), nullif({{ object }} ->> '{{ key }}', ''))
{%- endmacro %}


{# What is wrong with a count that count_text() read; NULL where nothing is. #}
{% macro count_problem(text, object, key, path='') -%}
    case
        when {{ text }} is null then null
        when
            {{ text }} ~ '^\d+\.\d\d$' and length({{ text }}) < 20
            and jsonb_typeof({{ object }} -> '{{ key }}') is distinct from 'number'
            then null
        when length({{ text }}) > 40 or {{ text }} !~ '^-?\d+(\.\d+)?$'
            then {{ complaint(object, key, '_fp', path, 'is not a count') }}
        when {{ text }}::numeric < 0
            then {{ complaint(object, key, '_fp', path, 'is negative') }}
        when {{ text }}::numeric >= 1e17
            then {{ complaint(object, key, '_fp', path, 'is too large a count') }}
        when {{ text }} !~ '^-?\d+(\.\d{0,2}0*)?$'
            then {{ complaint(object, key, '_fp', path, 'has more than 2 decimals') }}
        when jsonb_typeof({{ object }} -> '{{ key }}') = 'number'
            and {{ object }} ? '{{ key }}_fp'
            and trunc({{ text }}::numeric) <> ({{ object }} ->> '{{ key }}')::numeric
            then {{ complaint(object, key, '', path, 'is not the count beside it, cut to whole contracts') }}
    end
{%- endmacro %}


{# Contracts cut to whole ones. #}
{% macro whole_contracts(contracts) -%}
    trunc({{ contracts }})::bigint
{%- endmacro %}
