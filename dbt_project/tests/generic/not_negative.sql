{# Fails with the rows in which a count is below 0. NULL passes. #}
{% test not_negative(model, columns) %}

select *
from {{ model }}
where
    {%- for column in columns %}
    {{ 'or ' if not loop.first }}{{ column }} < 0
    {%- endfor %}

{% endtest %}
