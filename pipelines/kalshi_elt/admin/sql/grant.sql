-- Three roles with no more than they need, and everything owned by the one that makes it. Safe to run
-- again, as after an upgrade. Whoever runs it owns the database or is a superuser.

do $$
declare
    role_name text;
begin
    foreach role_name in array array['kalshi_loader', 'kalshi_transformer', 'kalshi_reader'] loop
        if not exists (select from pg_roles where rolname = role_name) then
            execute format('create role %I nologin', role_name);
        end if;
        -- who is no superuser gives objects away only to roles that he may act as
        if not pg_has_role(role_name, 'member') then
            execute format('grant %I to current_user', role_name);
        end if;
        execute format('grant connect on database %I to %I', current_database(), role_name);
    end loop;
    execute format(
        'grant temporary on database %I to kalshi_loader, kalshi_transformer', current_database()
    );
end $$;

create schema if not exists kalshi_raw;
create schema if not exists kalshi;
create schema if not exists kalshi_staging;

alter schema kalshi_raw owner to kalshi_loader;
alter schema kalshi_ops owner to kalshi_loader;
alter schema kalshi owner to kalshi_transformer;
alter schema kalshi_staging owner to kalshi_transformer;

-- what a table has with it (its sequence, its indexes) goes with it
do $$
declare
    found record;
begin
    for found in
        select
            pg_class.oid::regclass as name,
            pg_namespace.nspowner::regrole as owner
        from pg_class
        inner join pg_namespace on pg_class.relnamespace = pg_namespace.oid
        where
            pg_namespace.nspname in ('kalshi_raw', 'kalshi_ops', 'kalshi', 'kalshi_staging')
            and pg_class.relkind in ('r', 'p', 'v', 'm')
            and pg_class.relowner <> pg_namespace.nspowner
    loop
        execute format('alter table %s owner to %s', found.name, found.owner);
    end loop;
end $$;

-- the transformer reads raw, writes typed, and notes in kalshi_ops what it has typed
grant usage on schema kalshi_raw, kalshi_ops to kalshi_transformer;
grant select on all tables in schema kalshi_raw, kalshi_ops to kalshi_transformer;
grant insert, update on
    kalshi_ops.builds, kalshi_ops.loads, kalshi_ops.typed_models, kalshi_ops.waiting
to kalshi_transformer;

-- the reader reads typed and ops
grant usage on schema kalshi, kalshi_ops to kalshi_reader;
grant select on all tables in schema kalshi, kalshi_ops to kalshi_reader;

-- tables and partitions to come
alter default privileges for role kalshi_loader in schema kalshi_raw
grant select on tables to kalshi_transformer;
alter default privileges for role kalshi_loader in schema kalshi_ops
grant select on tables to kalshi_transformer, kalshi_reader;
alter default privileges for role kalshi_transformer in schema kalshi
grant select on tables to kalshi_reader;
