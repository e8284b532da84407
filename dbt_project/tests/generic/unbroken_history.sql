{#
    Fails with the markets that do not have exactly one current state, or where a state does not end
    when the next one begins.
#}
{% test unbroken_history(model) %}

with

followed as (

    select
        *,
        lead(valid_from) over (
            partition by market_ticker
            order by valid_from
        ) as next_valid_from
    from {{ model }}

)

select market_ticker
from followed
group by market_ticker
having
    count(*) filter (where is_current) <> 1
    or count(*) filter (where valid_to is distinct from next_valid_from) > 0
    or count(*) filter (where last_seen_at < valid_from or last_seen_at >= valid_to) > 0

{% endtest %}
