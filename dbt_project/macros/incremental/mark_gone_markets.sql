{#
    Sets gone_at of the markets that the loader no longer found in either tier of the API, and clears
    it for those that came back. Nothing is deleted.
#}
{% macro mark_gone_markets() %}
    {%- if execute and load_relation(api.Relation.create(database=target.database, schema='kalshi_ops', identifier='objects')) is not none -%}
        update {{ this }} as present
        set
            gone_at = objects.gone_at,
            updated_at = now()
        from kalshi_ops.objects
        where
            objects.entity = 'market'
            and objects.ticker = present.market_ticker
            and present.gone_at is distinct from objects.gone_at
    {%- endif -%}
{% endmacro %}
