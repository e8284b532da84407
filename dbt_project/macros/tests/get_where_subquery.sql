{#
    What a data test reads. On large tables a build tests the rows that are new, and leaves out what
    Postgres enforces by itself; `dbt test` (`make check`) tests everything. A test says so in
    `config.where`, by one of these names:

        __new_candles__      candles with an answer of the last run's loads
        __changed_markets__  rows of markets that the last run's loads have an answer for
        __only_in_check__    nothing in a build
#}
{% macro get_where_subquery(relation) -%}
    {%- set where = config.get('where', '') or '' -%}
    {%- if where.startswith('__') and flags.WHICH == 'test' -%}
        {%- set where = '' -%}
    {%- elif where == '__new_candles__' -%}
        {%- set where = "fetched_at >= '" ~ first_fetch_of_last_run() ~ "'" -%}
    {%- elif where == '__changed_markets__' -%}
        {%- set where -%}
            market_ticker in (
                select landed.market_ticker from kalshi_raw.markets as landed
                where {{ is_of_last_run('landed._dlt_load_id') }}
            )
        {%- endset -%}
    {%- elif where == '__only_in_check__' -%}
        {%- set where = 'false' -%}
    {%- endif -%}
    {%- if where -%}
        (select * from {{ relation }} where {{ where }}) as tested
    {%- else -%}
        {{ relation }}
    {%- endif -%}
{%- endmacro %}


{# When the first candles of the last run's loads were fetched; a literal, which the planner knows
   to be rare and looks for in the BRIN index. #}
{% macro first_fetch_of_last_run() -%}
    {%- if not is_building() -%}
        {{ return('-infinity') }}
    {%- endif -%}
    {%- set query -%}
        select coalesce(min(landed.fetched_at), 'infinity')::text from kalshi_raw.candlesticks as landed
        where {{ is_of_last_run('landed._dlt_load_id') }}
    {%- endset -%}
    {{ return(run_query(query).columns[0].values()[0]) }}
{%- endmacro %}
