{#
    A function that returns rows, for what would be too many rows to store: a call costs as much as the
    rows that it asks for. The model's SQL is its body, the contract's columns are what it returns, and
    meta.arguments are [{name, data_type, description}]. Like a stable_view it is replaced only when it
    differs. Postgres does not keep the precision of a function's columns, so the contract leaves it out.

    It acts with the rights of its caller. As it is one stable select, Postgres plans it as a part of
    the query that calls it.
#}
{% materialization table_function, adapter='postgres' %}

    {%- set target_relation = this.incorporate(type='view') -%}
    {%- set aside = 'pg_temp.' ~ adapter.quote(this.identifier) -%}
    {# the body is kept as text, so it must not name the database: a backup may be restored into another #}
    {%- set database = this.include(schema=false, identifier=false) ~ '.' -%}
    {%- set body = sql | replace(database, '') -%}

    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- do run_query(function_ddl(aside, body)) -%}
    {%- set change = function_change(target_relation, aside) -%}
    {%- do run_query('drop function ' ~ aside) -%}

    {% call statement('main') %}
        {%- if change == 'none' %}
        select 'unchanged'
        {%- else %}
        {{ 'drop function ' ~ target_relation ~ ' cascade;' if change == 'signature' }}
        {{ function_ddl(target_relation, body) }};
        comment on function {{ target_relation }} is {{ dollar_quoted(model['description']) }}
        {%- endif %}
    {% endcall %}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}

    {{ return({'relations': []}) }}

{% endmaterialization %}


{% macro function_ddl(name, body) -%}
    create or replace function {{ name }} (
        {%- for argument in config.get('meta')['arguments'] %}
        {{ argument['name'] }} {{ argument['data_type'] }}{{ ',' if not loop.last }}
        {%- endfor %}
    )
    returns table (
        {%- for column in model['columns'].values() %}
        {{ column['name'] }} {{ column['data_type'] }}{{ ',' if not loop.last }}
        {%- endfor %}
    )
    stable parallel safe
    {{ cluster_function_body(body) or 'language sql as ' ~ dollar_quoted(body) }}
{%- endmacro %}


{# What a new function, made under another name, changes: `none`, the `body` alone, or the `signature`. #}
{% macro function_change(relation, aside) %}
    {%- set query -%}
        select
            case
                when present.oid is null then 'body'
                when
                    pg_get_function_arguments(present.oid) <> pg_get_function_arguments(wanted.oid)
                    or pg_get_function_result(present.oid) <> pg_get_function_result(wanted.oid)
                    then 'signature'
                when
                    present.prosrc <> wanted.prosrc
                    or obj_description(present.oid, 'pg_proc') is distinct from {{ dollar_quoted(model['description']) }}
                    then 'body'
                else 'none'
            end
        from pg_proc as wanted
        left join pg_proc as present
            on present.oid = to_regproc('{{ relation }}')
        where wanted.oid = '{{ aside }}'::regproc
    {%- endset -%}
    {{ return(run_query(query).columns[0].values()[0]) }}
{% endmacro %}


{% macro dollar_quoted(text) -%}
    $kalshi${{ text }}$kalshi$
{%- endmacro %}
