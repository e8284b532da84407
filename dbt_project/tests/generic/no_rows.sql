{# Fails with every row of a table that ought to be empty. #}
{% test no_rows(model) %}

select * from {{ model }}

{% endtest %}
