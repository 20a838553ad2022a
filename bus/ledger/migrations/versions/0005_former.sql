-- What a record had said until our own write, whose answer was lost: read with the event that shows that write.
ALTER TABLE event ADD COLUMN former jsonb;

-- When a record was told what is noted under `telling`; and what it was told before that without an answer.
ALTER TABLE record ADD COLUMN told_at timestamptz, ADD COLUMN superseded jsonb NOT NULL DEFAULT '[]';
