{#
    A condition on landed rows for tests. During a build it holds for the rows of those loads that the
    newest build saw first. In `dbt test` (`make check`) it holds for the rows of all loads that any
    build has seen. The load ids are literals, so that Postgres uses the index on them.
#}
{% macro is_of_last_build(load_id) -%}
    {%- if not is_building() -%}
        {{ load_id }} in (select loads.load_id from kalshi_ops.loads)
    {%- else -%}
        {%- set query -%}
            select load_id from kalshi_ops.loads
            where build = (select max(newest_loads.build) from kalshi_ops.loads as newest_loads)
            order by load_id
        {%- endset -%}
        {{ load_id }} = {{ any_of(run_query(query).columns[0].values()) }}
    {%- endif -%}
{%- endmacro %}
