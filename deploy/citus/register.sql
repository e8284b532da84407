-- Tells a coordinator its own address and its workers'. Again, it changes nothing but adds what is new.
-- Every node has a database of the same name by then. For psql, as a superuser, on the coordinator:
--
--   psql --set=ON_ERROR_STOP=1 --set=coordinator=HOST:PORT --set='workers=HOST:PORT HOST:PORT' --file=register.sql

\set QUIET on
\pset tuples_only on
\pset format unaligned

set client_min_messages = warning;
create extension if not exists citus;

-- how the workers reach the coordinator, which holds no shards
select citus_set_coordinator_host(split_part(address, ':', 1), split_part(address, ':', 2)::integer)
from (select :'coordinator' as address) as coordinators
\gset

-- all of them or, where one can't be reached or lacks the extension, none
select count(citus_add_node(split_part(address, ':', 1), split_part(address, ':', 2)::integer)) as workers
from regexp_split_to_table(trim(:'workers'), '\s+') as address
\gset

select format('worker %s:%s', nodename, nodeport)
from pg_dist_node
where groupid <> 0 and isactive
order by nodeid;
