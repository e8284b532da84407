{#
    A table with real keys that is created once and never dropped, renamed or swapped.

    dbt's own strategies break foreign keys: a full refresh drops the parent's old table and with it
    the children's keys, and delete+insert fires `on delete cascade` (DECISIONS.md, 6). Here the
    table is made from the model's contract, with its constraints and indexes under their own names.
    It is written by one `insert ... on conflict do update`, or by a plain insert where no row can be in
    the way. Readers are never blocked.

    The model's YAML says:
        constraints         names, keys; a foreign key's `expression` follows its `references` part
        meta.indexes        [{name, columns, method, with, where}]
        meta.written_once   columns that an update leaves alone
        meta.written_always columns that change with every write; a row that differs only in them
                            counts as unchanged
        meta.never_back     timestamps that an update never sets to an earlier time
        meta.removed_when   a column of the model's SQL, not of the table: where it is true, the table's
                            row with that key is deleted
        meta.pruned_with    raw table from which `prune` may have removed rows that were typed; a full
                            refresh keeps what was typed from them
        meta.waits_for      the parent without which rows are left out, until it has come
        meta.partition_by   a timestamp by whose month the table is partitioned, see partitions.sql
        meta.settings       storage parameters, of each partition where there are some
    A row replaces another one with the same key when it differs and was not fetched earlier.
    A full refresh writes every row again and deletes the rows that the model no longer gives.
#}
{% materialization keyed_table, adapter='postgres' %}

    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set is_full_refresh = should_full_refresh() -%}
    {%- set meta = config.get('meta', {}) -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {#- the column that marks rows to delete is not a column of the table, so it is left out here -#}
    {%- set checked_sql = sql -%}
    {%- if meta.get('removed_when') -%}
        {%- set checked_sql = 'select ' ~ model['columns'].keys() | join(', ') ~ ' from (' ~ sql ~ ') as model_sql' -%}
    {%- endif %}

    {{ get_assert_columns_equivalent(checked_sql) }}
    {%- for ddl in [keyed_table_ddl, partitions_ddl] -%}
        {%- set statements = cluster_ddl(ddl(target_relation)) -%}
        {%- for one in statements -%}
            {% call statement('ensure_table') %}
                {{ one }}
            {% endcall %}
        {%- endfor -%}
        {%- if statements -%}
            {#- a new foreign key locks its parent; this ends the lock before rows are written -#}
            {% do adapter.commit() %}
        {%- endif -%}
    {%- endfor -%}

    {#- JIT compiling these statements costs more than it saves: 14 s of a first build on PostgreSQL 15 -#}
    {%- do run_query('set jit = off') -%}
    {%- set is_all_new = not is_full_refresh and not may_meet_rows(target_relation) -%}
    {%- set rows_aside = cluster_rows_aside(target_relation, sql) if is_full_refresh -%}
    {%- set fresh_rows = rows_aside or fresh_rows_of(sql, is_full_refresh) -%}
    {% call statement('main') %}
        {{ keyed_table_upsert(target_relation, fresh_rows, is_full_refresh, is_all_new) }}
    {% endcall %}
    {%- do cluster_drop_rows_aside(target_relation) if is_full_refresh -%}
    {%- if meta.get('waits_for') %}
    {% call statement('remember_waiting') %}
        {{ remember_waiting(meta['waits_for']) }}
    {% endcall %}
    {%- endif %}
    {% call statement('mark_typed') %}
        {{ mark_typed() }}
    {% endcall %}

    {% do persist_docs(target_relation, model) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [target_relation]}) }}

{% endmaterialization %}


{#
    Statements that make what is missing of the table, its columns, constraints and indexes. Postgres's
    catalog tells what is missing, as even `add column if not exists` locks out readers for a moment.
#}
{% macro keyed_table_ddl(relation) %}
    {%- set rendered = adapter.render_raw_columns_constraints(raw_columns=model['columns']) -%}
    {%- set present = keyed_table_catalog(relation) -%}
    {%- set partition_by = config.get('meta', {}).get('partition_by') -%}
    {%- if partition_by and present['kind'] == ['r'] -%}
        {{ exceptions.raise_compiler_error(
            relation ~ ' is of an older version and has no partitions: `drop table ' ~ relation.include(database=false)
            ~ ' cascade`, then run `make transform`; it is made again from kalshi_raw'
        ) }}
    {%- endif -%}
    {%- set statements = [] -%}
    {%- if not present['column'] -%}
        {%- do statements.append(create_keyed_table(relation, rendered, partition_by)) -%}
        {%- do statements.extend(cluster_layout(relation)) -%}
    {%- else -%}
        {%- for name, column in model['columns'].items() -%}
            {%- if name not in present['column'] -%}
                {%- do statements.append('alter table ' ~ relation ~ ' add column ' ~ rendered[loop.index0]) -%}
            {%- elif name not in present['not null'] and 'not_null' in column['constraints'] | map(attribute='type') | map('string') -%}
                {%- do statements.append('alter table ' ~ relation ~ ' alter column ' ~ name ~ ' set not null') -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {%- for constraint in model['constraints'] if constraint['name'] not in present['constraint'] -%}
        {%- do statements.append(
            'alter table ' ~ relation ~ ' add constraint ' ~ constraint['name'] ~ ' ' ~ keyed_table_constraint(constraint)
        ) -%}
    {%- endfor -%}
    {%- for index in config.get('meta', {}).get('indexes', []) if index['name'] not in present['index'] -%}
        {%- do statements.append(create_keyed_table_index(relation, index)) -%}
    {%- endfor -%}
    {{ return(statements) }}
{% endmacro %}


{% macro create_keyed_table(relation, columns, partition_by) %}
    create table {{ relation }} (
        {{ columns | join(',\n        ') }}
    ) {{ 'partition by range (' ~ partition_by['column'] ~ ')' if partition_by else keyed_table_settings() }}
{% endmacro %}


{% macro create_keyed_table_index(relation, index) %}
    create index {{ index['name'] }} on {{ relation }} using {{ index.get('method', 'btree') }} ({{ index['columns'] }})
    {{ 'with (' ~ index['with'] ~ ')' if index.get('with') }}
    {{ 'where ' ~ index['where'] if index.get('where') }}
{% endmacro %}


{#
    What there is of a table, from Postgres's catalog: the names of its columns, of the columns that
    are not null, of its constraints and its indexes, and its kind (r, or p for partitioned).
#}
{% macro keyed_table_catalog(relation) %}
    {%- set query -%}
        select case when attnotnull then 'not null' else 'null' end, attname::text
        from pg_attribute
        where attrelid = to_regclass('{{ relation }}') and attnum > 0 and not attisdropped
        union all
        select 'constraint', conname::text from pg_constraint where conrelid = to_regclass('{{ relation }}')
        union all
        select 'index', indexrelid::regclass::text from pg_index where indrelid = to_regclass('{{ relation }}')
        union all
        select 'kind', relkind::text from pg_class where oid = to_regclass('{{ relation }}')
    {%- endset -%}
    {%- set found = {'not null': [], 'null': [], 'constraint': [], 'index': [], 'kind': []} -%}
    {%- for kind, name in run_query(query) -%}
        {%- do found[kind].append(name.split('.')[-1]) -%}
    {%- endfor -%}
    {%- do found.update({'column': found['not null'] + found['null']}) -%}
    {{ return(found) }}
{% endmacro %}


{% macro keyed_table_settings() -%}
    {%- set settings = config.get('meta', {}).get('settings', {}) -%}
    {%- if settings -%}
        with ({% for name, value in settings.items() %}{{ name }} = {{ value }}{{ ', ' if not loop.last }}{% endfor %})
    {%- endif -%}
{%- endmacro %}


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


{# Columns of the primary key, in order. #}
{% macro keyed_table_key() %}
    {{ return((model['constraints'] | selectattr('type', 'equalto', 'primary_key') | first)['columns']) }}
{% endmacro %}


{#
    Whether the table may hold rows within the new windows already. Where it holds none, rows are
    inserted without looking for conflicts, which saves a seventh of what typing costs; so only periods
    that were asked for once more pay for it. It takes one look-up for each window, up to the first
    window in which there is a row. A second build at the same time waits for the advisory lock, and so
    finds the rows that this one has written.
#}
{% macro may_meet_rows(relation) %}
    {%- set meta = config.get('meta', {}) -%}
    {%- set partition_by = meta.get('partition_by') -%}
    {%- if not partition_by or not partition_by.get('raw_table') or is_distributed() -%}
        {{ return(true) }}
    {%- endif -%}
    {%- do run_query("select pg_advisory_xact_lock(hashtext('" ~ relation.schema ~ '.' ~ relation.identifier ~ "'))") -%}
    {%- set keys = keyed_table_key() -%}
    {%- set query -%}
        select exists (
            select from kalshi_raw.{{ partition_by['raw_table'] }} as landed
            cross join lateral (
                select from {{ relation }} as present
                where
                    {%- for key in keys | reject('equalto', partition_by['column']) %}
                    present.{{ key }} = landed.{{ key }} and
                    {%- endfor %}
                    present.{{ partition_by['column'] }} > landed.{{ partition_by['first'] }}
                    and present.{{ partition_by['column'] }} <= landed.{{ partition_by['last'] }}
                limit 1
            ) as met
            where {{ is_new_load('landed._dlt_load_id', meta['waits_for']['child'], 'landed.' ~ meta['waits_for']['key']) }}
        )
    {%- endset -%}
    {{ return(run_query(query).columns[0].values()[0]) }}
{% endmacro %}


{# The CTE of the model's rows; a full refresh reads it twice. #}
{% macro fresh_rows_of(sql, is_full_refresh) -%}
    {{ 'materialized ' if is_full_refresh }}(

        {{ sql }}

    )
{%- endmacro %}


{% macro keyed_table_upsert(relation, fresh_rows, is_full_refresh, is_all_new=false) %}
    {%- set meta = config.get('meta', {}) -%}
    {%- set keys = keyed_table_key() -%}
    {%- set columns = model['columns'].keys() | list -%}
    {%- set updated = columns | reject('in', keys) | reject('in', meta.get('written_once', [])) | list -%}
    {%- set compared = updated | reject('in', meta.get('written_always', [])) | list -%}
    {%- set is_newer = 'excluded.fetched_at >= present.fetched_at' if 'fetched_at' in columns and not is_full_refresh -%}
    with

    fresh as {{ fresh_rows }}

    {% if meta.get('removed_when') and not is_full_refresh %}
    , removed as (

        delete from {{ relation }} as present
        using fresh
        where
            fresh.{{ meta['removed_when'] }}
            {% for key in keys %}and fresh.{{ key }} = present.{{ key }}{{ ' ' if not loop.last }}{% endfor %}

    )
    {% endif %}

    {% if is_full_refresh %}
    , removed as (

        delete from {{ relation }} as present
        where
            not exists (
                select from fresh
                where
                    {% for key in keys %}fresh.{{ key }} = present.{{ key }}{{ ' and ' if not loop.last }}{% endfor %}
                    {{ 'and not fresh.' ~ meta['removed_when'] if meta.get('removed_when') }}
            )
            {{ and_not_pruned(meta['pruned_with']) if meta.get('pruned_with') }}

    )
    {% endif %}

    insert into {{ relation }} as present ({{ columns | join(', ') }})
    select {{ columns | join(', ') }} from fresh
    {{ 'where not ' ~ meta['removed_when'] if meta.get('removed_when') }}
    {%- if not is_all_new %}
    on conflict ({{ keys | join(', ') }}) do update set
        {%- for column in updated %}
        {{ column }} = {{ keyed_table_update(column, meta.get('never_back', []), is_newer) }}{{ ',' if not loop.last }}
        {%- endfor %}
    where
        (
            ({% for column in compared %}present.{{ column }}{{ ', ' if not loop.last }}{% endfor %})
            is distinct from
            ({% for column in compared %}excluded.{{ column }}{{ ', ' if not loop.last }}{% endfor %})
            {{ 'and ' ~ is_newer if is_newer }}
        )
        {%- for column in meta.get('never_back', []) %}
        or excluded.{{ column }} > coalesce(present.{{ column }}, '-infinity')
        {%- endfor %}
    {%- endif %}
{% endmacro %}


{# A condition that holds for rows of the table whose raw rows can't have been pruned. #}
{% macro and_not_pruned(raw_table) -%}
    {%- if load_relation(api.Relation.create(database=target.database, schema='kalshi_ops', identifier='pruned')) is not none -%}
        {%- set query -%}
            select coalesce(max(before), '-infinity')::text from kalshi_ops.pruned where raw_table = '{{ raw_table }}'
        {%- endset -%}
        and present.fetched_at >= '{{ run_query(query).columns[0].values()[0] }}'
    {%- endif -%}
{%- endmacro %}


{#
    The value that an update gives to a column. An answer that was fetched earlier changes only the
    timestamps that never go back. A full refresh, which has no is_newer, takes what the raw rows say.
#}
{% macro keyed_table_update(column, never_back, is_newer) -%}
    {%- if column in config.get('meta', {}).get('written_always', []) -%}
        excluded.{{ column }}
    {%- elif column in never_back and is_newer -%}
        greatest(present.{{ column }}, excluded.{{ column }})
    {%- elif never_back and is_newer -%}
        case when {{ is_newer }} then excluded.{{ column }} else present.{{ column }} end
    {%- else -%}
        excluded.{{ column }}
    {%- endif -%}
{%- endmacro %}
