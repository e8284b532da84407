{#
    A view that is replaced when its definition changes, and otherwise left alone.

    dbt's own view is made anew in every build: that waits for whoever reads the old one, and drops the
    views that users have built on it. Here a temporary view is made of the new definition first, and
    Postgres tells whether it differs from the view that is there. Views that depend on it are dropped
    only when a column goes or changes its type, as Postgres can't replace a view then.
#}
{% materialization stable_view, adapter='postgres' %}

    {%- set target_relation = this.incorporate(type='view') -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- if config.get('contract').enforced %}
    {{ get_assert_columns_equivalent(sql) }}
    {%- endif %}
    {%- set change = view_change(target_relation, sql) -%}

    {% call statement('main') %}
        {%- if change == 'none' %}
        select 'unchanged'
        {%- else %}
        {{ 'drop view ' ~ target_relation ~ ' cascade;' if change == 'columns' }}
        create or replace view {{ target_relation }} as (
            {{ sql }}
        )
        {%- endif %}
    {% endcall %}

    {% do persist_docs(target_relation, model) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [target_relation]}) }}

{% endmaterialization %}


{#
    What a new definition would change of a view: `none`; `definition`, where `create or replace` does;
    or `columns`, where a column that is there would go or change its type.
#}
{% macro view_change(relation, sql) %}
    {%- set aside = 'pg_temp.' ~ adapter.quote(relation.identifier) -%}
    {%- set query -%}
        create or replace temporary view {{ adapter.quote(relation.identifier) }} as (
            {{ sql }}
        );

        with

        columns as (

            select
                attrelid,
                array_agg((attname, atttypid, atttypmod)::text order by attnum) as names
            from pg_attribute
            where
                attrelid in ('{{ aside }}'::regclass, to_regclass('{{ relation }}'))
                and attnum > 0
            group by attrelid

        )

        select
            case
                when present.attrelid is null then 'definition'
                when pg_get_viewdef(present.attrelid) = pg_get_viewdef(wanted.attrelid) then 'none'
                when present.names = wanted.names[:cardinality(present.names)] then 'definition'
                else 'columns'
            end
        from columns as wanted
        left join columns as present
            on present.attrelid = to_regclass('{{ relation }}')
        where wanted.attrelid = '{{ aside }}'::regclass
    {%- endset -%}
    {%- set change = run_query(query).columns[0].values()[0] -%}
    {#- by its bare name, under which a temporary view is found before any other -#}
    {%- do run_query('drop view ' ~ adapter.quote(relation.identifier)) -%}
    {{ return(change) }}
{% endmacro %}
