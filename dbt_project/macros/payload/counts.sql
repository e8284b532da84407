{#
    A number of contracts, from any shape of Kalshi's payloads:

        live        {"volume_fp": "792.32"}
        historical  {"volume": "792.32"}
        legacy      {"volume": 792}
#}
{% macro contracts(object, key) -%}
    coalesce(
        nullif({{ object }} ->> '{{ key }}_fp', '')::numeric,
        nullif({{ object }} ->> '{{ key }}', '')::numeric
    )
{%- endmacro %}


{# Contracts cut to whole ones. #}
{% macro whole_contracts(contracts) -%}
    trunc({{ contracts }})::bigint
{%- endmacro %}
