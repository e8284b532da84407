-- Version 3 to 4: a load is the work of one process alone again (DECISIONS.md), so the tables go by which several
-- processes shared one. What they held was work under way: what of it did not land is asked for by the next load.

drop table kalshi_ops.crawl_requests;
drop table kalshi_ops.crawl_loaders;
drop table kalshi_ops.crawls;
drop table kalshi_ops.pace;

-- What dbt does is a build; a run is one of the job (`kalshi-elt run`).

alter table kalshi_ops.dbt_runs rename to builds;
alter table kalshi_ops.builds rename column run to build;
alter table kalshi_ops.builds rename constraint pk_dbt_runs to pk_builds;
alter index kalshi_ops.idx_dbt_runs_invocation_id rename to idx_builds_invocation_id;
alter sequence kalshi_ops.dbt_runs_run_seq rename to builds_build_seq;
alter table kalshi_ops.loads rename column run to build;
alter index kalshi_ops.idx_loads_run rename to idx_loads_build;
alter table kalshi_ops.typed_models rename column run to build;
alter table kalshi_ops.waiting rename column run to build;

comment on table kalshi_ops.builds is
    'One row per build (dbt build or dbt run), numbered.';
comment on table kalshi_ops.loads is
    'One row per finished load, with the build that saw it first.';
comment on table kalshi_ops.typed_models is
    'One row per incremental model: the build up to which it has typed.';
comment on table kalshi_ops.waiting is
    'One row per market that waits for its event, and per market ticker whose candles wait for it; build is the one that took it up.';

insert into kalshi_ops.warehouse_version (version) values (4);
