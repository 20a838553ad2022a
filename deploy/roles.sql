-- Who may do what in the ledger: `bus` owns it, and migrates, backs up and restores; `bus_run` is everything that runs.
-- compose.yaml runs this when its PostgreSQL starts for the first time. By hand, as an administrator, with the two
-- passwords in the environment:   psql -f deploy/roles.sql bus
\getenv owner LEDGER_OWNER_PASSWORD
\getenv run LEDGER_PASSWORD
CREATE ROLE bus LOGIN PASSWORD :'owner';
CREATE ROLE bus_run LOGIN PASSWORD :'run';
GRANT bus_run TO bus;   -- history's partitions are bus_run's, and the owner migrates them too
ALTER DATABASE :"DBNAME" OWNER TO bus;
