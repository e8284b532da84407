{#
    A condition that holds for the rows of the loads that the last run saw first, in a build; in
    `dbt test` (`make check`) for all that a run has seen. Literals, so that indexes are used.
#}
{% macro is_of_last_run(load_id) -%}
    {%- if not is_building() -%}
        {{ load_id }} in (select loads.load_id from kalshi_ops.loads)
    {%- else -%}
        {%- set query -%}
            select load_id from kalshi_ops.loads
            where run = (select max(newest_loads.run) from kalshi_ops.loads as newest_loads)
            order by load_id
        {%- endset -%}
        {{ load_id }} = {{ any_of(run_query(query).columns[0].values()) }}
    {%- endif -%}
{%- endmacro %}
