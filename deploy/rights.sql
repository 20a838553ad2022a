-- Least rights in PostgreSQL: the role `bus_run` for everything that runs, apart from the owner, who migrates.
-- Run it as the owner of the database, after each `bus migrate`; again does no harm. Beforehand, once, as an administrator:
--
--   CREATE ROLE bus_run LOGIN PASSWORD '…';
--   GRANT bus_run TO bus;            -- the owner: history's partitions are bus_run's, and he migrates them too
--
-- `bus migrate`, `bus backup` and `bus restore` use the owner's URL; all else BUS_DATABASE_URL with bus_run.

GRANT USAGE, CREATE ON SCHEMA public TO bus_run;   -- CREATE: for next month's partition of history, no other table
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO bus_run;
REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM bus_run;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO bus_run;

-- Beat makes the next month's partition and drops what is past its keeping; PostgreSQL asks ownership for both.
DO $$
DECLARE
  part regclass;
BEGIN
  FOR part IN SELECT 'history'::regclass UNION SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'history'::regclass
  LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO bus_run', part);
  END LOOP;
END $$;
