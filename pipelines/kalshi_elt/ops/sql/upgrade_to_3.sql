-- Version 2 to 3: tables for loads that several processes share (kalshi-elt load --share), and the
-- market in the key of the rejects: by it a cluster spreads its tables.

create table kalshi_ops.crawls (
    crawl_id bigint generated always as identity,
    asked jsonb not null,
    state text not null default 'preparing',
    leader_pid integer not null,
    requests integer,
    started_at timestamptz not null default now(),
    ended_at timestamptz,
    constraint pk_crawls primary key (crawl_id),
    constraint ck_crawls_state check (state in ('preparing', 'open', 'ended'))
);

create table kalshi_ops.crawl_requests (
    request_id bigint generated always as identity,
    crawl_id bigint not null,
    market_tickers text[] not null,
    interval_min integer not null,
    window_start timestamptz not null,
    window_end timestamptz not null,
    tier text not null,
    loader_id bigint,
    leased_until timestamptz,
    constraint pk_crawl_requests primary key (request_id)
);
create index idx_crawl_requests_loader_id on kalshi_ops.crawl_requests (loader_id) where loader_id is not null;

create table kalshi_ops.crawl_loaders (
    loader_id bigint generated always as identity,
    crawl_id bigint not null,
    host text not null,
    backend_pid integer not null,
    joined_at timestamptz not null default now(),
    requests integer not null default 0,
    windows bigint not null default 0,
    candles bigint not null default 0,
    constraint pk_crawl_loaders primary key (loader_id)
);

create table kalshi_ops.pace (
    api_url text not null,
    highest_rate double precision not null,
    rate double precision not null,
    tokens double precision not null,
    filled_at timestamptz not null,
    constraint pk_pace primary key (api_url)
);

comment on table kalshi_ops.crawls is
    'The load under way, or the last one, that several loaders shared (kalshi-elt load --share); no other row.';
comment on table kalshi_ops.crawl_requests is
    'One row per candle request of a shared load that has not landed yet, and which loader has it until when.';
comment on table kalshi_ops.crawl_loaders is
    'One row per loader of the shared load in kalshi_ops.crawls: what it has landed so far.';
comment on table kalshi_ops.pace is
    'One row per API that loaders have shared: a token bucket of one second''s requests. Times and rates are the server''s.';

-- the rejects belong to the role that transforms, where there are roles
set local role none;

do $$
begin
    if to_regclass('kalshi.rejects') is not null then
        update kalshi.rejects set market_ticker = '' where market_ticker is null;
        alter table kalshi.rejects
            alter column market_ticker set not null,
            drop constraint pk_rejects,
            add constraint pk_rejects primary key (entity, market_ticker, reject_key);
    end if;
end
$$;

insert into kalshi_ops.warehouse_version (version) values (3);
