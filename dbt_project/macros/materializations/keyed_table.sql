{#
    A table with real keys that is created once and never dropped, renamed or swapped.

    dbt's own strategies break foreign keys: a full refresh drops the parent's old table and with it
    the children's keys, and delete+insert fires `on delete cascade` (DECISIONS.md, 6). Here the
    table is made from the model's contract, with its constraints and indexes under their own names,
    and written by one `insert ... on conflict do update`. Readers are never blocked.

    The model's YAML says:
        constraints         names, keys; a foreign key's `expression` follows its `references` part
        meta.indexes        [{name, columns}]
        meta.written_once   columns that an update leaves alone
        meta.written_always columns that change with every write and are no difference by themselves
        meta.never_back     columns of which the greatest value stays
    A row replaces another one with the same key when it differs and was not fetched earlier.
    A full refresh writes every row again and deletes those that are no longer there.
#}
{% materialization keyed_table, adapter='postgres' %}

    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set is_full_refresh = should_full_refresh() -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {{ get_assert_columns_equivalent(sql) }}
    {% call statement('ensure_table') %}
        {{ keyed_table_ddl(target_relation) }}
    {% endcall %}
    {% call statement('main') %}
        {{ keyed_table_upsert(target_relation, sql, is_full_refresh) }}
    {% endcall %}
    {% call statement('mark_typed') %}
        {{ mark_typed() }}
    {% endcall %}

    {% do persist_docs(target_relation, model) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [target_relation]}) }}

{% endmaterialization %}


{# Create what is missing of the table, its columns, constraints and indexes. #}
{% macro keyed_table_ddl(relation) %}
    {%- set columns = adapter.render_raw_columns_constraints(raw_columns=model['columns']) %}
    create table if not exists {{ relation }} (
        {{ columns | join(',\n        ') }}
    );
    {% for column in columns %}
    alter table {{ relation }} add column if not exists {{ column }};
    {%- endfor %}
    {% for constraint in model['constraints'] %}
    do $$
    begin
        if not exists (
            select from pg_constraint
            where conrelid = '{{ relation }}'::regclass and conname = '{{ constraint['name'] }}'
        ) then
            alter table {{ relation }} add constraint {{ constraint['name'] }} {{ keyed_table_constraint(constraint) }};
        end if;
    end $$;
    {%- endfor %}
    {% for index in config.get('meta', {}).get('indexes', []) %}
    create index if not exists {{ index['name'] }} on {{ relation }} ({{ index['columns'] }});
    {%- endfor %}
{% endmacro %}


{% macro keyed_table_constraint(constraint) -%}
    {%- set columns = constraint['columns'] | join(', ') -%}
    {%- if constraint['type'] == 'primary_key' -%}
        primary key ({{ columns }})
    {%- elif constraint['type'] == 'foreign_key' -%}
        foreign key ({{ columns }})
        references {{ constraint['to'] }} ({{ constraint['to_columns'] | join(', ') }}) {{ constraint['expression'] or '' }}
    {%- else -%}
        {{ exceptions.raise_compiler_error("keyed_table: no constraint of type " ~ constraint['type']) }}
    {%- endif -%}
{%- endmacro %}


{% macro keyed_table_upsert(relation, sql, is_full_refresh) %}
    {%- set meta = config.get('meta', {}) -%}
    {%- set keys = (model['constraints'] | selectattr('type', 'equalto', 'primary_key') | first)['columns'] -%}
    {%- set columns = model['columns'].keys() | list -%}
    {%- set updated = columns | reject('in', keys) | reject('in', meta.get('written_once', [])) | list -%}
    {%- set compared = updated | reject('in', meta.get('written_always', [])) | list -%}
    with

    fresh as {{ 'materialized' if is_full_refresh else '' }} (

        {{ sql }}

    )

    {% if is_full_refresh %}
    , removed as (

        delete from {{ relation }} as present
        where not exists (
            select from fresh
            where {% for key in keys %}fresh.{{ key }} = present.{{ key }}{{ ' and ' if not loop.last }}{% endfor %}
        )

    )
    {% endif %}

    insert into {{ relation }} as present ({{ columns | join(', ') }})
    select {{ columns | join(', ') }} from fresh
    on conflict ({{ keys | join(', ') }}) do update set
        {%- for column in updated %}
        {{ column }} = {{ 'greatest(present.' ~ column ~ ', excluded.' ~ column ~ ')' if column in meta.get('never_back', []) else 'excluded.' ~ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    where
        ({% for column in compared %}present.{{ column }}{{ ', ' if not loop.last }}{% endfor %})
        is distinct from
        ({% for column in compared %}excluded.{{ column }}{{ ', ' if not loop.last }}{% endfor %})
        {% if not is_full_refresh %}and excluded.fetched_at >= present.fetched_at{% endif %}
{% endmacro %}
