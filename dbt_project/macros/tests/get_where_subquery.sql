{#
    What a data test reads. On large tables a build tests only the rows that are new, and leaves out
    what Postgres enforces by itself; `dbt test` (`make check`) tests everything. A test asks for that
    in `config.where`, by one of these names. "New loads" are those that the newest build saw first:

        __new_candles__      in a build, candles that were fetched since the first candle of the new loads
        __changed_markets__  in a build, rows of markets of which the new loads have an answer
        __only_in_check__    in a build, no rows
#}
{% macro get_where_subquery(relation) -%}
    {%- set where = config.get('where', '') or '' -%}
    {%- if where.startswith('__') and flags.WHICH == 'test' -%}
        {%- set where = '' -%}
    {%- elif where == '__new_candles__' -%}
        {%- set where = "fetched_at >= '" ~ first_fetch_of_last_build() ~ "'" -%}
    {%- elif where == '__changed_markets__' -%}
        {%- set where -%}
            market_ticker in (
                select landed.market_ticker from kalshi_raw.markets as landed
                where {{ is_of_last_build('landed._dlt_load_id') }}
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


{#
    When the first candles of the new loads were fetched. As a literal, of which Postgres's statistics
    tell that few rows are newer, it makes Postgres use the BRIN index.
#}
{% macro first_fetch_of_last_build() -%}
    {%- if not is_building() -%}
        {{ return('-infinity') }}
    {%- endif -%}
    {%- set query -%}
        select coalesce(min(landed.fetched_at), 'infinity')::text from kalshi_raw.candlesticks as landed
        where {{ is_of_last_build('landed._dlt_load_id') }}
    {%- endset -%}
    {{ return(run_query(query).columns[0].values()[0]) }}
{%- endmacro %}
