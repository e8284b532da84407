{#
    Monthly partitions of a keyed table. The model's meta.partition_by says:

        column      the timestamp; part of the primary key
        raw_table   raw table whose new rows have to find their partitions
        first, last columns of that table: rows lie after the one and not after the other
        ahead       months from now on that are made before they are needed

    or `like`, another partitioned model, which has all that are needed.

    A partition is made aside and attached, which locks out neither readers nor writers; `create
    table ... partition of` would lock out both.
#}


{# First days of the months, ascending, for which there is no partition yet. #}
{% macro missing_partitions(relation, partition_by) %}
    {%- set query -%}
        {%- if partition_by.get('like') %}
        select replace(right(partitions.relname, 7), '_', '-') || '-01'
        from pg_inherits
        inner join pg_class as partitions
            on pg_inherits.inhrelid = partitions.oid
        where
            pg_inherits.inhparent = '{{ relation.schema }}.{{ partition_by['like'] }}'::regclass
            and to_regclass('{{ relation.schema }}.{{ relation.identifier }}_' || right(partitions.relname, 7)) is null
        order by 1
        {%- else %}
        with

        span as (

            select
                date_trunc('month', least(now(), min({{ partition_by['first'] }})), 'UTC') as first_month,
                date_trunc(
                    'month',
                    greatest(now() + interval '{{ partition_by['ahead'] }} months', max({{ partition_by['last'] }})),
                    'UTC'
                ) as last_month
            from kalshi_raw.{{ partition_by['raw_table'] }}
            where {{ is_new_load('_dlt_load_id') }}

        )

        select to_char(months.month, 'YYYY-MM-DD')
        from span
        cross join lateral generate_series(
            span.first_month at time zone 'UTC',
            span.last_month at time zone 'UTC',
            interval '1 month'
        ) as months (month)
        where to_regclass('{{ relation.schema }}.{{ relation.identifier }}_' || to_char(months.month, 'YYYY_MM')) is null
        order by months.month
        {%- endif %}
    {%- endset -%}
    {{ return(run_query(query).columns[0].values() | list) }}
{% endmacro %}


{# Statements that make the partitions which new rows, and the months to come, have not yet. #}
{% macro partitions_ddl(relation) %}
    {%- set partition_by = config.get('meta', {}).get('partition_by') -%}
    {%- set statements = [] -%}
    {%- for month in (missing_partitions(relation, partition_by) if partition_by else []) -%}
        {%- set start = modules.datetime.date.fromisoformat(month) -%}
        {%- set end = (start + modules.datetime.timedelta(days=31)).replace(day=1) -%}
        {%- set partition = relation.incorporate(path={'identifier': relation.identifier ~ start.strftime('_%Y_%m')}) -%}
        {%- do statements.append(create_partition(relation, partition)) -%}
        {%- do statements.append(attach_partition(relation, partition, start, end)) -%}
    {%- endfor -%}
    {{ return(statements) }}
{% endmacro %}


{% macro create_partition(relation, partition) %}
    create table {{ partition }} (
        like {{ relation }} including defaults including constraints including indexes including storage
    ) {{ keyed_table_settings() }}
{% endmacro %}


{% macro attach_partition(relation, partition, start, end) %}
    alter table {{ relation }}
    attach partition {{ partition }} for values from ('{{ start }} 00:00:00+00') to ('{{ end }} 00:00:00+00')
{% endmacro %}
