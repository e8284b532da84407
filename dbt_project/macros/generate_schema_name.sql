{# A schema that is given in dbt_project.yml is used as it is: `kalshi_staging`, not `kalshi_kalshi_staging`. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}
