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


{# What spreads a new, empty table over the nodes. #}
{% macro distribute(relation) -%}
    {%- if 'market_ticker' in model['columns'] -%}
        select create_distributed_table('{{ relation }}', 'market_ticker', colocate_with => 'kalshi_raw.candlesticks')
    {%- else -%}
        select create_reference_table('{{ relation }}')
    {%- endif -%}
{%- endmacro %}
