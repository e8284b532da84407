{#
    All that dbt does for a Citus cluster, and only there. Nothing is configured: a warehouse is
    distributed when its raw candles are, which the loader sees to on a server that has the extension
    (pipelines/kalshi_elt/warehouse/citus.py).

        a table with a column market_ticker   is distributed by it, beside the raw candles
        any other table                       is a reference table, whole on each node

    The macros and the materializations call what begins with cluster_ in one line each. On a plain
    server these macros give nothing ('', [] or none), and the caller goes on with its plain form.
    keyed_table also asks is_distributed(), as Citus does not run the look-up of may_meet_rows().

    Everywhere else one SQL serves both. Written for plain Postgres alone, these would look different:

        rejects                market_ticker would not be in the key; every key of a distributed table
                               has to hold the column by which the table is distributed
        market_summary         the newest candle would be looked up laterally over a list of lengths,
                               which is shorter and as fast (1.5 s each for 50,000 markets and 3 million
                               candles); Citus can't send such a list to the nodes
        arrived_parents()      would be a correlated `exists`
        and_not_pruned()       would be a subquery instead of a literal
        landed_rows_are_typed_or_rejected   would ask `not exists` instead of joining newest_rejects
        stable_view            would drop its temporary view by the name pg_temp.<name>
#}


{# Whether the warehouse is spread over the nodes of a cluster. #}
{% macro is_distributed() %}
    {%- if not execute -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set citus_catalog = run_query("select to_regclass('pg_catalog.pg_dist_partition')").columns[0].values()[0] -%}
    {%- if citus_catalog is none -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set query -%}
        select exists (
            select from pg_dist_partition where logicalrelid = to_regclass('kalshi_raw.candlesticks')
        )
    {%- endset -%}
    {{ return(run_query(query).columns[0].values()[0]) }}
{% endmacro %}


{% macro is_distributed_by_market() %}
    {{ return('market_ticker' in model['columns']) }}
{% endmacro %}


{# The statement that spreads a new, empty table over the nodes. #}
{% macro distribute(relation) -%}
    {%- if is_distributed_by_market() -%}
        select create_distributed_table('{{ relation }}', 'market_ticker', colocate_with => 'kalshi_raw.candlesticks')
    {%- else -%}
        select create_reference_table('{{ relation }}')
    {%- endif -%}
{%- endmacro %}


{# For keyed_table: statements to run right after a table was created. #}
{% macro cluster_layout(relation) %}
    {{ return([distribute(relation)] if is_distributed() else []) }}
{% endmacro %}


{#
    For keyed_table: the same statements that define tables, with what has to go before them. A foreign
    key to a reference table makes Citus work through one connection at a time. The queries that ran
    before them in the transaction went to all nodes at once, after which Citus refuses to change to
    one at a time; so that transaction is ended.
#}
{% macro cluster_ddl(statements) %}
    {%- if not statements or not is_distributed() -%}
        {{ return(statements) }}
    {%- endif -%}
    {%- do run_query('commit') -%}
    {{ return(['set local citus.multi_shard_modify_mode to sequential'] + statements) }}
{% endmacro %}


{#
    For keyed_table: the CTE of a full refresh's rows, read from a table in which they were written
    first, each on its market's node. As the rows are read twice, the plain CTE would bring all of them
    to the coordinator. Reference tables have few rows and do without.
#}
{% macro cluster_rows_aside(relation, sql) -%}
    {%- if is_distributed() and is_distributed_by_market() -%}
        {%- set aside = rows_aside(relation) -%}
        {%- set rows = 'select * from (' ~ sql ~ ') as model_sql' -%}
        {%- do run_query('commit') -%}
        {%- do run_query('drop table if exists ' ~ aside) -%}
        {%- do run_query('create unlogged table ' ~ aside ~ ' as ' ~ rows ~ ' where false') -%}
        {%- do run_query(distribute(aside)) -%}
        {%- do run_query('commit') -%}
        {%- do run_query('insert into ' ~ aside ~ ' ' ~ rows) -%}
        not materialized (select * from {{ aside }})
    {%- endif -%}
{%- endmacro %}


{# For keyed_table: drops the table that cluster_rows_aside() made. #}
{% macro cluster_drop_rows_aside(relation) %}
    {%- if is_distributed() and is_distributed_by_market() -%}
        {%- do run_query('drop table ' ~ rows_aside(relation)) -%}
    {%- endif -%}
{% endmacro %}


{% macro rows_aside(relation) %}
    {{ return(relation.incorporate(path={'identifier': relation.identifier ~ '__full_refresh'})) }}
{% endmacro %}


{#
    For table_function: language and body. Citus does not plan an SQL function of distributed tables
    within the query that calls it. In PL/pgSQL the same query is planned for the function's arguments.
#}
{% macro cluster_function_body(body) -%}
    {%- if is_distributed() -%}
    language plpgsql
    as {{ dollar_quoted('#variable_conflict use_column\nbegin\nreturn query\n' ~ body ~ ';\nend') }}
    {%- endif -%}
{%- endmacro %}


{#
    For select_once(): the beginning of a subquery that is evaluated once. Citus leaves out the `with`
    of the plain form, after which 3,565 candles took 68 s instead of 0.1 s. An unnest() has the same
    effect on both, and costs 0.2 microseconds a row.
#}
{% macro cluster_select_once() -%}
    {%- if is_distributed() -%}
    select
        unnest(array[true]) as is_once,
    {%- endif -%}
{%- endmacro %}
