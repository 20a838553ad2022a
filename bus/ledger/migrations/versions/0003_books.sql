-- What a counterparty is alike by, normalised: "inn:7707083893", "name:ромашка", "phone:+7912...", "email:a@b.ru".
CREATE TABLE trait (
    entity_id  uuid NOT NULL REFERENCES entity (id) ON DELETE CASCADE,
    trait      text NOT NULL,
    PRIMARY KEY (entity_id, trait)
);
CREATE INDEX trait_trait ON trait (trait);

-- "Who is this?": a record that may be one we know, or a payment that may be for an order we know. The event (or the
-- delivery that was to create a record) waits; a person answers. Never guessed.
CREATE TABLE question (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asks        text NOT NULL CHECK (asks IN ('counterparty', 'order')),
    system      text NOT NULL,
    subject     text NOT NULL,
    entity_id   uuid REFERENCES entity (id),
    about       jsonb NOT NULL DEFAULT '{}',
    candidates  jsonb NOT NULL DEFAULT '[]',
    opened_at   timestamptz NOT NULL DEFAULT now(),
    deadline    timestamptz NOT NULL,
    state       text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'decided', 'expired', 'moot')),
    decision    text,
    decided_by  text,
    decided_at  timestamptz
);
CREATE UNIQUE INDEX question_open ON question (system, subject) WHERE state = 'open';
CREATE INDEX question_subject ON question (system, subject);
CREATE INDEX question_entity ON question (entity_id) WHERE entity_id IS NOT NULL;
CREATE INDEX question_deadline ON question (deadline) WHERE state = 'open';
CREATE INDEX question_decision ON question (decision) WHERE decision IS NOT NULL;

-- A task in the CRM for whoever is to decide a conflict, made once, and when the conflict was made more pressing.
ALTER TABLE conflict ADD COLUMN task_id text;
ALTER TABLE conflict ADD COLUMN task_key uuid NOT NULL DEFAULT gen_random_uuid();
ALTER TABLE conflict ADD COLUMN task_state text NOT NULL DEFAULT 'wanted'
    CHECK (task_state IN ('wanted', 'asking', 'there', 'closed', 'none'));
ALTER TABLE conflict ADD COLUMN task_since timestamptz;
ALTER TABLE conflict ADD COLUMN escalated_at timestamptz;
CREATE INDEX conflict_task ON conflict (id) WHERE task_state IN ('wanted', 'asking', 'there');

-- What 1C sends us as to a site, as it came: chunks in their order, kept for replay until retention takes them.
CREATE TABLE exchange_file (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    system       text NOT NULL,
    session      text NOT NULL,
    type         text NOT NULL,
    name         text NOT NULL,
    profile      text NOT NULL,
    state        text NOT NULL CHECK (state IN ('receiving', 'waiting', 'importing', 'done', 'failed', 'aside')),
    bytes        bigint NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    lease        uuid,
    lease_until  timestamptz,
    error        text,
    report       jsonb NOT NULL DEFAULT '{}',
    UNIQUE (system, session, type, name)
);
CREATE INDEX exchange_file_open ON exchange_file (state, updated_at) WHERE state IN ('receiving', 'waiting', 'importing');
CREATE INDEX exchange_file_finished ON exchange_file (created_at);

CREATE TABLE exchange_chunk (
    file_id  bigint NOT NULL REFERENCES exchange_file (id) ON DELETE CASCADE,
    n        integer NOT NULL,
    body     bytea NOT NULL,
    PRIMARY KEY (file_id, n)
);
ALTER TABLE exchange_chunk ALTER COLUMN body SET STORAGE EXTERNAL;

-- A payment that names no order is looked for among the payer's orders.
CREATE INDEX entity_order_inn ON entity ((fields ->> 'customer.inn')) WHERE kind = 'order' AND fields ? 'customer.inn';

-- When the reading began that was heard last of a record whose system counts no changes (1C): an earlier reading is old.
ALTER TABLE record ADD COLUMN heard_at timestamptz;
