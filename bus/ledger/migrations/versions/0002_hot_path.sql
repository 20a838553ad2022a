-- Every index costs on the insert of an event and again on the update that ends it. What is open is found by its record
-- (events to merge together, notifications that stand for each other, what reconciliation asks); what has ended by its
-- entity (united with another) and by its time (retention). Nobody asks by entity for what is not identified yet.
CREATE INDEX event_open ON event (source, subject, seq) WHERE state <> 'done';
DROP INDEX event_subject;
DROP INDEX event_notified_subject;
DROP INDEX event_pending_entity;
DROP INDEX event_entity;
CREATE INDEX event_entity ON event (entity_id) WHERE entity_id IS NOT NULL;

-- A session keeps its plans. Made while a partial index is empty, a plan that reads all of it looks cheap, whatever is
-- asked for, and goes on reading all of it when a million rows wait. So these say which column they are for: who does
-- not ask by that column cannot be given them. For every hot query one index is left.
DROP INDEX event_pending;
DROP INDEX event_notified;
DROP INDEX event_deadline;
CREATE INDEX event_pending ON event (due_at) WHERE state = 'pending' AND due_at IS NOT NULL;
CREATE INDEX event_notified ON event (source, priority, due_at) WHERE state = 'notified' AND due_at IS NOT NULL;
CREATE INDEX event_deadline ON event (deadline) WHERE state = 'waiting' AND deadline IS NOT NULL;

-- The sweep publishes payments first, then the oldest, a bounded number at a time, however many wait.
CREATE INDEX event_pending_urgent ON event (due_at) WHERE state = 'pending' AND priority <= 0 AND due_at IS NOT NULL;

-- Uniting two entities asks for all that hangs on one.
CREATE INDEX entity_merged ON entity (merged_into) WHERE merged_into IS NOT NULL;
CREATE INDEX conflict_entity ON conflict (entity_id);
CREATE INDEX dead_letter_entity ON dead_letter (entity_id) WHERE entity_id IS NOT NULL;

-- Keys are learnt before the entity they mean is written, whole, at the end of the same transaction.
ALTER TABLE identity ALTER CONSTRAINT identity_entity_id_fkey DEFERRABLE INITIALLY DEFERRED;

-- A changed entity or record stays on its page (a HOT update, no index touched) when the page has room and no indexed
-- column changed: its time of change was indexed, for nobody.
DROP INDEX entity_kind;
ALTER TABLE entity SET (fillfactor = 70);
ALTER TABLE record SET (fillfactor = 75);
ALTER TABLE delivery SET (fillfactor = 80);

-- What an update of ours is about to say. Read before its answer is in, or after the answer was lost, it is our own word.
ALTER TABLE record ADD COLUMN telling jsonb NOT NULL DEFAULT '{}';

-- Claimed and on its way. What the ordinary lane has claimed and not sent yet, a payment may still take from it.
ALTER TABLE delivery ADD COLUMN in_flight boolean NOT NULL DEFAULT false;
CREATE INDEX delivery_stuck ON delivery (system) WHERE state IN ('dead', 'parked');
DROP INDEX delivery_lease;  -- asked by nobody; without it a claim is a HOT update

-- Each event is inserted once and updated once: by default a fifth of the table would be dead before it is vacuumed.
ALTER TABLE event SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
ALTER TABLE entity SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
ALTER TABLE record SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
ALTER TABLE delivery SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- entity.said was {field: {at, source, event}}, the same words over and over: an event says many fields at once. Now it
-- is [[at, source, event, field, field, ...], ...].
ALTER TABLE entity ALTER COLUMN said SET DEFAULT '[]';
UPDATE entity SET said = coalesce(
  (SELECT jsonb_agg(word) FROM (
     SELECT jsonb_build_array(value -> 'at', value -> 'source', value -> 'event') || jsonb_agg(key ORDER BY key) AS word
     FROM jsonb_each(entity.said) GROUP BY value) AS words), '[]')
WHERE jsonb_typeof(said) = 'object';
