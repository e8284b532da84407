{# Fails with the rows in which a price in dollars lies outside 0 to 1. NULL passes. #}
{% test between_zero_and_one(model, columns) %}

select *
from {{ model }}
where
    {%- for column in columns %}
    {{ 'or ' if not loop.first }}{{ column }} not between 0 and 1
    {%- endfor %}

{% endtest %}
