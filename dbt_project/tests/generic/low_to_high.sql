{# Fails with the rows in which open or close lies outside low to high. NULL passes. #}
{% test low_to_high(model, prefixes) %}

select *
from {{ model }}
where
    {%- for prefix in prefixes %}
    {{ 'or ' if not loop.first }}{{ prefix }}_open_dollars not between {{ prefix }}_low_dollars and {{ prefix }}_high_dollars
    or {{ prefix }}_close_dollars not between {{ prefix }}_low_dollars and {{ prefix }}_high_dollars
    or {{ prefix }}_low_dollars > {{ prefix }}_high_dollars
    {%- endfor %}

{% endtest %}
