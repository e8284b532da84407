-- Version 3 to 4: a load is the work of one process alone again (DECISIONS.md), so the tables go by which several
-- processes shared one. What they held was work under way: what of it did not land is asked for by the next load.

drop table kalshi_ops.crawl_requests;
drop table kalshi_ops.crawl_loaders;
drop table kalshi_ops.crawls;
drop table kalshi_ops.pace;

insert into kalshi_ops.warehouse_version (version) values (4);
