{#
    A staging view types payloads in three steps (DECISIONS.md, 18):

    read   every value as text, whatever the payload is: this can't fail
    check  what is wrong with them, in the column `problem`: the first thing found, or NULL
    cast   where there is no problem; else the values are NULL, and the row is a reject
#}


{#
    Begins a subquery whose expressions are to be evaluated once. Postgres would write them into the
    query around it, once for each use there, but never merges a subquery that has a `with` of its
    own. A condition on the rows still goes down to the raw table's index, as it would not behind
    `offset 0`; a CTE instead of the subquery would be merged. `problem` is the result of unnest(),
    as a condition on it would go down too, and be evaluated with all that it depends on.

    Citus leaves the `with` out (68 s instead of 0.1 for 3,565 candles), so there it is an unnest(),
    too: that costs 0.2 microseconds a row more.
#}
{% macro select_once() -%}
    {%- if is_distributed() -%}
    select
        unnest(array[true]) as is_once,
    {%- else -%}
    with evaluated_once as (select)
    select
    {%- endif -%}
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
