{# Fails with the names of the given constraints that Postgres does not enforce on the table. #}
{% test enforced_keys(model, constraints) %}

select declared.name
from unnest(array['{{ constraints | join("', '") }}']) as declared (name)
left join pg_constraint
    on pg_constraint.conrelid = '{{ model }}'::regclass
    and declared.name = pg_constraint.conname
    and pg_constraint.convalidated
where pg_constraint.conname is null

{% endtest %}
