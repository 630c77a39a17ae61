-- What a database of Gatehouse needs before its first migration. Run once in that database, as a superuser, after
-- deploy/roles.sql; the database belongs to gatehouse_owner.

ALTER SCHEMA public OWNER TO gatehouse_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO gatehouse, gatehouse_finder;

-- A temporary table would be found before the real one of its name, by whoever gets the connection next.
DO $$ BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END $$;
