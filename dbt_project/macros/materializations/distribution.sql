{#
    How tables lie on a Citus cluster. Nothing is configured: a warehouse is distributed when its raw
    candles are, which the loader sees to on a server that has the extension (pipelines/distribution.py).

        a table with a column market_ticker   distributed by it, beside the raw candles
        any other table                       a reference table, whole on each node
#}


{# Whether the warehouse is spread over the nodes of a cluster. #}
{% macro is_distributed() %}
    {%- if not execute or run_query("select to_regclass('pg_catalog.pg_dist_partition')").columns[0].values()[0] is none -%}
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


{# What spreads a new, empty table over the nodes. #}
{% macro distribute(relation) -%}
    {%- if is_distributed_by_market() -%}
        select create_distributed_table('{{ relation }}', 'market_ticker', colocate_with => 'kalshi_raw.candlesticks')
    {%- else -%}
        select create_reference_table('{{ relation }}')
    {%- endif -%}
{%- endmacro %}


{#
    A table of a full refresh's rows, each on its market's node. As they are read twice, a CTE would
    bring them all to the coordinator. None for a reference table, whose rows are few.
#}
{% macro rows_on_nodes(relation, sql) %}
    {%- if not is_distributed_by_market() -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set aside = relation.incorporate(path={'identifier': relation.identifier ~ '__full_refresh'}) -%}
    {%- do run_query('commit') -%}
    {%- do run_query('drop table if exists ' ~ aside) -%}
    {%- do run_query('create unlogged table ' ~ aside ~ ' as select * from (' ~ sql ~ ') as model_sql where false') -%}
    {%- do run_query(distribute(aside)) -%}
    {%- do run_query('commit') -%}
    {%- do run_query('insert into ' ~ aside ~ ' select * from (' ~ sql ~ ') as model_sql') -%}
    {{ return(aside) }}
{% endmacro %}
