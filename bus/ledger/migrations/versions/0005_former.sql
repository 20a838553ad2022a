-- What a record had said until our own write, whose answer was lost: read with the event that shows that write.
ALTER TABLE event ADD COLUMN former jsonb;
