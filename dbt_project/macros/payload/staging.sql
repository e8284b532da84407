{#
    A staging view, which types the payloads of a raw table in three steps (DECISIONS.md, 18):

        read   every value as text, whatever the payload is: this can't fail
        check  what is wrong with them, in the column `problem`: the first thing found, or NULL
        cast   where there is no problem; else the values are NULL, and the row is a reject

    The model calls it around its columns, cast by sound() and each followed by a comma; the view goes
    on with where a row came from and what keeps it from being typed.

        raw_table  the relation of the source
        steps      [(name, select)]: selects without their `from`; the first reads `source`, each other
                   one the step before it. Where the values of a step are used several times,
                   it begins with select_once().
        problem    an expression on the last step: what is wrong with a row, or NULL
        where      a condition on rows that are rows of the view; none means all

    `problem` is the result of unnest(), as a condition on it would otherwise go down to the raw table,
    and be evaluated there with all that it depends on.
#}
{% macro typed_payloads(raw_table, steps, problem, where=none) -%}
{%- set read = namespace(rows='source') -%}
{%- for name, step in steps -%}
    {%- set read.rows = '(\n    ' ~ (step | trim ~ '\nfrom ' ~ read.rows) | indent ~ '\n) as ' ~ name -%}
{%- endfor -%}
with

source as (

    select * from {{ raw_table }}

),

typed as (

    select

        {{ caller() | trim }}

        ---------- where it came from, and what keeps it from being typed
        fetched_at,
        _dlt_load_id,
        problem,
        payload

    from (
        select
            {{ steps[-1][0] }}.*,
            unnest(array[{{ problem }}]) as problem
        from {{ read.rows | indent(8) }}
    ) as checked
    {%- if where %}
    where
        {{ where | trim | indent(8) }}
    {%- endif %}

)

select * from typed
{%- endmacro %}


{#
    Begins a subquery whose expressions are to be evaluated once. Postgres would write them into the
    query around it, once for each use there, but never merges a subquery that has a `with` of its
    own. A condition on the rows still goes down to the raw table's index, as it would not behind
    `offset 0`; a CTE instead of the subquery would be merged.
#}
{% macro select_once() -%}
    {{ cluster_select_once() or 'with evaluated_once as (select)\nselect' }}
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
