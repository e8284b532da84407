{#
    A price in dollars, from any shape of Kalshi's payloads:

        live        {"yes_bid_dollars": "0.3460"}
        historical  {"yes_bid": "0.3460"}
        legacy      {"yes_bid": 34}, mostly beside "yes_bid_dollars"

    The key's name tells the tier, the JSON type tells dollars (string) from cents (number). This is
    the only place that knows it.
#}
{% macro dollars(object, key) -%}
    coalesce(
        nullif({{ object }} ->> '{{ key }}_dollars', '')::numeric,
        case jsonb_typeof({{ object }} -> '{{ key }}')
            when 'string' then nullif({{ object }} ->> '{{ key }}', '')::numeric
            when 'number' then ({{ object }} ->> '{{ key }}')::numeric / 100
        end
    )
{%- endmacro %}


{# Dollars as whole cents where they are whole, else NULL: never rounded. #}
{% macro cents(dollars, type='smallint') -%}
    case when {{ dollars }} * 100 = trunc({{ dollars }} * 100) then ({{ dollars }} * 100)::{{ type }} end
{%- endmacro %}
