{#
    A price as text in dollars, from any shape of Kalshi's payloads:

        live        {"yes_bid_dollars": "0.3460"}
        historical  {"yes_bid": "0.3460"}
        legacy      {"yes_bid": 34}, mostly beside "yes_bid_dollars"

    The key's name tells the tier, and the JSON type tells dollars (string) from cents (number). No
    other place knows that. Reading never fails: what is not a price stays the text that it is, and
    price_problem() finds it.
#}
{% macro price_text(object, key) -%}
    coalesce(
        nullif({{ object }} ->> '{{ key }}_dollars', ''),
        case jsonb_typeof({{ object }} -> '{{ key }}')
            when 'number' then
                case
                    when length({{ object }} ->> '{{ key }}') < 19 and {{ object }} ->> '{{ key }}' ~ '^\d+$'
                        then (({{ object }} ->> '{{ key }}')::numeric * 0.01)::text
                    else ({{ object }} ->> '{{ key }}') || ' cents'
                end
            else nullif({{ object }} ->> '{{ key }}', '')
        end
    )
{%- endmacro %}


{#
    What is wrong with a price that price_text() read; NULL where nothing is. The first condition is
    the usual form, told by a regular expression without counted repetition ({4}), which would cost ten
    times as much.
#}
{% macro price_problem(text, object, key, path='', lowest=0, highest=1, decimals=6) -%}
    case
        when {{ text }} is null then null
        when
            {{ text }} ~ '^(?:0\.\d\d\d\d|1\.0000)$'
            and jsonb_typeof({{ object }} -> '{{ key }}') is distinct from 'number'
            then null
        when length({{ text }}) > 40 or {{ text }} !~ '^-?\d+(\.\d+)?$'
            then {{ complaint(object, key, '_dollars', path, 'is not a price') }}
        when {{ text }} !~ '^-?\d+(\.\d{0,{{ decimals }}}0*)?$'
            then {{ complaint(object, key, '_dollars', path, 'has more than ' ~ decimals ~ ' decimals') }}
        when {{ text }}::numeric not between {{ lowest }} and {{ highest }}
            then {{ complaint(object, key, '_dollars', path, 'is not from ' ~ lowest ~ ' to ' ~ highest) }}
        when jsonb_typeof({{ object }} -> '{{ key }}') = 'number'
            and ({{ object }} ->> '{{ key }}')::numeric <> trunc({{ text }}::numeric * 100)
            then {{ complaint(object, key, '', path, 'is not the dollars beside it, cut to whole cents') }}
    end
{%- endmacro %}


{# Dollars as whole cents where they are whole, else NULL: never rounded. #}
{% macro cents(dollars, type='smallint') -%}
    case when min_scale({{ dollars }}) <= 2 then ({{ dollars }} * 100)::{{ type }} end
{%- endmacro %}


{# Whether an object carries the live shape's keys and those of another one beside them. #}
{% macro has_both_shapes(object, keys) -%}
    ({{ object }} ?| array['{{ keys | join("', '") }}'] and {{ object }} ?| array['{{ keys | join("_dollars', '") }}_dollars'])
{%- endmacro %}
