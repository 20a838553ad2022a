-- Least rights in PostgreSQL: the role `bus_run` for everything that runs, apart from the owner, who migrates.
-- `bus migrate` and `bus restore` grant them where there is such a role; again does no harm.

GRANT USAGE, CREATE ON SCHEMA public TO bus_run;   -- CREATE: for next month's partition of history, no other table
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO bus_run;
REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM bus_run;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO bus_run;

-- Beat makes the next month's partition and drops what is past its keeping; PostgreSQL asks ownership for both.
DO $$
DECLARE
  part regclass;
BEGIN
  FOR part IN
    SELECT oid FROM pg_class
    WHERE (oid = 'history'::regclass OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'history'::regclass))
      AND relowner <> 'bus_run'::regrole
  LOOP
    EXECUTE 'ALTER TABLE ' || part || ' OWNER TO bus_run';
  END LOOP;
END $$;
