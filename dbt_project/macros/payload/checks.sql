{#
    A staging view types payloads in three steps (DECISIONS.md, 18):

    read   every value as text, whatever the payload is: this can't fail
    check  what is wrong with them, in the column `problem`: the first thing found, or NULL
    cast   where there is no problem; else the values are NULL, and the row is a reject
#}


{#
    A column that has the expressions of its subquery evaluated once. Postgres would write them into
    the query around it, once for each use there, but never merges a subquery with a volatile column.
    A condition on the rows still goes down to the raw table's index, as it would not behind
    `offset 0`. (A CTE within it does the same on one server, but Citus leaves it out: 68 s instead
    of 0.1 for 3,565 candles.) `problem` is the result of unnest(), as a condition on it would go
    down too, and be evaluated with all that it depends on.
#}
{% macro evaluated_once(name) -%}
    clock_timestamp() as {{ name }}_evaluated_at
{%- endmacro %}


{# The first of the given problems; NULL where there is none. #}
{% macro first_problem(problems) -%}
    coalesce(
        {{ problems | map('trim') | join(',\n        ') }}
    )
{%- endmacro %}


{# A value that was read as text, cast in a row without a problem. #}
{% macro sound(expression, type) -%}
    (case when problem is null then {{ expression }} end)::{{ type }}
{%- endmacro %}
