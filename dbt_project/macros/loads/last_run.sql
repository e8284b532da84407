{#
    A condition that holds for the rows of the loads that the last run saw first, in a build; in
    `dbt test` (`make check`) for all that a run has seen.
#}
{% macro is_of_last_run(load_id) -%}
    {{ load_id }} in (
        select loads.load_id from kalshi_ops.loads
        {%- if flags.WHICH != 'test' %}
        where loads.run = (select max(newest_loads.run) from kalshi_ops.loads as newest_loads)
        {%- endif %}
    )
{%- endmacro %}
