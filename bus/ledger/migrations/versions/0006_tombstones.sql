-- A record's deletion: when it was, by its system's clock, when we noted it, by ours, and its version, where it has one.
-- By SHA-256 of "system/type/id", as in `erased`: the id may be a person's own (an INN).
CREATE TABLE tombstone (
    record     text PRIMARY KEY,
    at         timestamptz NOT NULL,
    noted_at   timestamptz NOT NULL,
    version    bigint
);

-- Of what is deleted already: as its event told, while the journal has that, else when it was noted. What told us of a
-- deletion (the id of a notification) stood for its version so far; a figure in front of such an id is none.
INSERT INTO tombstone (record, at, noted_at, version)
SELECT encode(sha256(convert_to(system || '/' || type || '/' || external_id, 'UTF8')), 'hex'),
       coalesce(told.at, updated_at), coalesce(told.noted_at, updated_at), told.version
FROM record LEFT JOIN LATERAL (
    SELECT max(occurred_at) AS at, max(received_at) AS noted_at,
           max(event.version) FILTER (WHERE sourceversion !~ '^[0-9a-f]{8}-[0-9a-f]{4}-') AS version
    FROM event
    WHERE event.entity_id = record.entity_id AND source = system AND subject = record.type || '/' || external_id
      AND right(event.type, 8) = '.deleted') AS told ON true
WHERE record.state = 'deleted' AND external_id IS NOT NULL;
