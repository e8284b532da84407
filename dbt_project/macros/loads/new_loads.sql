{# The number of this dbt run in kalshi_ops.runs. #}
{% macro this_run() %}
    {% set query %}
        select max(run) from kalshi_ops.runs where invocation_id = '{{ invocation_id }}'
    {% endset %}
    {{ return(run_query(query).columns[0].values()[0]) }}
{% endmacro %}


{# The run up to which this model has typed; 0 when everything is to be typed (again). #}
{% macro typed_run() %}
    {% if should_full_refresh() or load_relation(this) is none %}
        {{ return(0) }}
    {% endif %}
    {% set query %}
        select coalesce(max(run), 0) from kalshi_ops.typed_models where model = '{{ this.identifier }}'
    {% endset %}
    {{ return(run_query(query).columns[0].values()[0]) }}
{% endmacro %}


{#
    A condition that holds for rows of loads which this model has not typed yet. Load ids are
    literals, so that the index on them is used and the condition can be pushed down to shards.
#}
{% macro is_new_load(load_id) %}
    {%- if not execute or flags.WHICH not in ['run', 'build'] -%}
        true
    {%- else -%}
        {%- set typed = typed_run() -%}
        {%- if typed == 0 -%}
            {{ load_id }} in (select loads.load_id from kalshi_ops.loads where loads.run <= {{ this_run() }})
        {%- else -%}
            {%- set query -%}
                select load_id from kalshi_ops.loads
                where run > {{ typed }} and run <= {{ this_run() }}
                order by load_id
            {%- endset -%}
            {{ load_id }} = any (array[
                {%- for id in run_query(query).columns[0].values() %}'{{ id }}'{{ ', ' if not loop.last }}{% endfor -%}
            ]::text[])
        {%- endif -%}
    {%- endif -%}
{% endmacro %}


{# Remember that this model has typed all loads that this run saw. #}
{% macro mark_typed() %}
    insert into kalshi_ops.typed_models (model, run)
    values ('{{ this.identifier }}', {{ this_run() }})
    on conflict (model) do update set run = greatest(typed_models.run, excluded.run)
{% endmacro %}
