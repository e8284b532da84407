{#
    Warns of each raw table whose newest answer is older than its freshness threshold. It is the same
    as `dbt source freshness`, with the same settings in __kalshi_raw.yml, but a part of every build.
#}
{{ config(severity='warn') }}

{%- set sources = graph.sources.values() if graph.sources is mapping else [] %}

with

newest_answers (raw_table, newest_answer_at, stale_after) as (

    {%- for node in sources if node.config.freshness.warn_after.count %}
    select
        '{{ node.name }}',
        ({{ node.loaded_at_query or 'select max(' ~ node.loaded_at_field ~ ') from ' ~ node.relation_name }}),
        interval '{{ node.config.freshness.warn_after.count }} {{ node.config.freshness.warn_after.period }}'
    union all
    {%- endfor %}
    select
        null,
        null::timestamptz,
        null::interval

)

select *
from newest_answers
where newest_answer_at < now() - stale_after
