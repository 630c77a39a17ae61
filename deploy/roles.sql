-- The three database roles of Gatehouse. Run once per PostgreSQL server, as a superuser:
--
--     psql -d postgres -f deploy/roles.sql
--     createdb --owner gatehouse_owner gatehouse
--     psql -d gatehouse -f deploy/database.sql
--     psql -d postgres -c '\password gatehouse_owner' -c '\password gatehouse'
--
-- The embedded server runs these same files.

-- Owns the tables and runs the migrations (DATABASE_OWNER_URL). Row security is forced on it too.
CREATE ROLE gatehouse_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;

-- The application (DATABASE_URL). Must never own a table, nor be a member of a role that does.
CREATE ROLE gatehouse LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;

-- Owns the few functions that look something up before a tenant is known; nobody signs in as it.
CREATE ROLE gatehouse_finder NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;

-- Migrations hand those functions over to the finder, which takes membership.
GRANT gatehouse_finder TO gatehouse_owner;
