-- A person's data were taken out of it. Its sums stay; what it says of a person is not taken in again.
ALTER TABLE entity ADD COLUMN erased_at timestamptz;
CREATE INDEX entity_erased ON entity (id) WHERE erased_at IS NOT NULL;

-- Records of which nothing personal is taken in any more, by SHA-256 of "system/type/id": the id may be a person's own
-- (an INN). Until a person lifts it.
CREATE TABLE erased (
    record     text PRIMARY KEY,
    entity_id  uuid NOT NULL REFERENCES entity (id),
    erased_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX erased_entity ON erased (entity_id);

-- Of an event: its data were taken out, or were never taken in. Of a file: its body was dropped.
ALTER TABLE event ADD COLUMN erased boolean NOT NULL DEFAULT false;
ALTER TABLE exchange_file ADD COLUMN erased boolean NOT NULL DEFAULT false;

-- What retention asks for, each day, a portion at a time.
CREATE INDEX event_dead ON event (finished_at) WHERE state = 'dead';
CREATE INDEX dead_letter_ended ON dead_letter (ended_at) WHERE state NOT IN ('open', 'retried');
CREATE INDEX conflict_ended ON conflict (decided_at) WHERE state <> 'open';
CREATE INDEX question_ended ON question (decided_at) WHERE state <> 'open';
CREATE INDEX drift_found ON drift (found_at);
CREATE INDEX run_started ON run (started_at);
CREATE INDEX operator_action_at ON operator_action (at);
CREATE INDEX history_other_at ON history_other (at);
-- No time of change is indexed: every update of an entity or a record would have to touch that index (0002).
CREATE INDEX record_deleted ON record (entity_id) WHERE state = 'deleted';

-- This month's lines and the next one's go where they can be dropped whole; the default partition stays small.
DO $$
DECLARE
  first date := date_trunc('month', now() AT TIME ZONE 'UTC')::date;
  after date;
  name  text;
BEGIN
  FOR n IN 1 .. 2 LOOP
    after := (first + interval '1 month')::date;
    name := 'history_' || to_char(first, 'YYYY_MM');
    IF to_regclass(name) IS NULL AND NOT EXISTS (SELECT 1 FROM history_other WHERE at >= first AND at < after) THEN
      EXECUTE 'CREATE TABLE ' || name || ' PARTITION OF history FOR VALUES FROM (' || quote_literal(first) || ') TO ('
              || quote_literal(after) || ')';
    END IF;
    first := after;
  END LOOP;
END $$;
