{#
    Monthly partitions of a keyed table. The model's meta.partition_by says:

        column       the timestamp, which is part of the primary key
        raw_table    the raw table whose new rows need partitions
        first, last  columns of the raw table: what is typed from a row has a timestamp after `first`,
                     and not after `last`
        ahead        for so many months from now on partitions are made before they are needed

    Instead of all these it may say `like` and name another partitioned model, whose months are taken.

    A partition is made as a table by itself and then attached, which locks out neither readers nor
    writers; `create table ... partition of` would lock out both.
#}


{# The first days of the months for which a partition is missing, ascending. #}
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


{# Statements that make the partitions that are missing for new rows and for the months to come. #}
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
