-- The journal. Nothing is acknowledged before it is here; a message on a queue is only a bell.
CREATE TABLE event (
    seq            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source         text NOT NULL,
    id             text NOT NULL,
    type           text NOT NULL,
    subject        text NOT NULL,
    channel        text NOT NULL,
    kind           text NOT NULL,
    occurred_at    timestamptz NOT NULL,
    received_at    timestamptz NOT NULL DEFAULT now(),
    observed_at    timestamptz,
    sourceversion  text,
    version        bigint,
    actor          text,
    correlationid  text,
    causationid    text,
    partitionkey   text,
    data           jsonb,
    raw            jsonb,
    held           jsonb NOT NULL DEFAULT '[]',
    priority       smallint NOT NULL DEFAULT 5,
    state          text NOT NULL CHECK (state IN ('notified', 'pending', 'waiting', 'done', 'dead')),
    outcome        text,
    error          text,
    attempts       integer NOT NULL DEFAULT 0,
    due_at         timestamptz NOT NULL DEFAULT now(),
    lease          uuid,
    lease_until    timestamptz,
    waits_for      text,
    deadline       timestamptz,
    entity_id      uuid,
    finished_at    timestamptz,
    UNIQUE (source, id)
);
CREATE INDEX event_pending ON event (due_at, seq) WHERE state = 'pending';
CREATE INDEX event_pending_entity ON event (entity_id) WHERE state = 'pending';
CREATE INDEX event_notified ON event (source, priority, due_at) WHERE state = 'notified';
CREATE INDEX event_notified_subject ON event (source, subject) WHERE state = 'notified';
CREATE INDEX event_waiting ON event (waits_for) WHERE state = 'waiting';
CREATE INDEX event_deadline ON event (deadline) WHERE state = 'waiting';
CREATE INDEX event_entity ON event (entity_id, seq);
CREATE INDEX event_finished ON event (finished_at) WHERE state = 'done';
CREATE INDEX event_subject ON event (source, subject, seq);

-- What the records of several systems have in common: the agreed state.
CREATE TABLE entity (
    id           uuid PRIMARY KEY,
    kind         text NOT NULL,
    fields       jsonb NOT NULL DEFAULT '{}',
    said         jsonb NOT NULL DEFAULT '{}',
    revision     bigint NOT NULL DEFAULT 0,
    parent_id    uuid REFERENCES entity (id),
    merged_into  uuid REFERENCES entity (id),
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX entity_parent ON entity (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX entity_kind ON entity (kind, updated_at);

-- One object in one system; base is what it held when we last knew.
CREATE TABLE record (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entity_id      uuid NOT NULL REFERENCES entity (id),
    system         text NOT NULL,
    type           text NOT NULL,
    external_id    text,
    base           jsonb NOT NULL DEFAULT '{}',
    version        bigint,
    ours           boolean NOT NULL DEFAULT false,
    state          text NOT NULL CHECK (state IN ('linked', 'creating', 'deleted')),
    creating_since timestamptz,
    promised       jsonb NOT NULL DEFAULT '{}',
    written_at     timestamptz,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (system, type, external_id)
);
CREATE INDEX record_entity ON record (entity_id, system);
CREATE UNIQUE INDEX record_creating_once ON record (entity_id, system, type) WHERE state = 'creating';

-- By which keys an entity is known: "crm/deal/759", "number/shop/1001". Two first events of one thing meet here.
CREATE TABLE identity (
    kind       text NOT NULL,
    key        text NOT NULL,
    entity_id  uuid NOT NULL REFERENCES entity (id),
    PRIMARY KEY (kind, key)
);
CREATE INDEX identity_entity ON identity (entity_id);

-- "This entity's record in this system is not as it should be": one row each, due or not; the row is the lease.
CREATE TABLE delivery (
    entity_id    uuid NOT NULL REFERENCES entity (id),
    system       text NOT NULL,
    state        text NOT NULL CHECK (state IN ('idle', 'due', 'parked', 'dead')),
    priority     smallint NOT NULL DEFAULT 5,
    due_at       timestamptz NOT NULL DEFAULT now(),
    since        timestamptz NOT NULL DEFAULT now(),
    wanted       bigint NOT NULL DEFAULT 0,
    event_seq    bigint,
    lease        uuid,
    lease_until  timestamptz,
    attempts     integer NOT NULL DEFAULT 0,
    last_error   text,
    writes       integer NOT NULL DEFAULT 0,
    writes_since timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (entity_id, system)
);
CREATE INDEX delivery_due ON delivery (system, priority, due_at) WHERE state = 'due';
CREATE INDEX delivery_lease ON delivery (lease_until) WHERE lease IS NOT NULL;

-- What needs a person: an event or a delivery, why, and how it ended.
CREATE TABLE dead_letter (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_seq  bigint REFERENCES event (seq),
    entity_id  uuid REFERENCES entity (id),
    system     text NOT NULL,
    class      text NOT NULL,
    cause      text NOT NULL,
    reason     text NOT NULL,
    sent       jsonb NOT NULL DEFAULT '{}',
    answered   jsonb NOT NULL DEFAULT '{}',
    attempts   integer NOT NULL DEFAULT 1,
    first_at   timestamptz NOT NULL DEFAULT now(),
    last_at    timestamptz NOT NULL DEFAULT now(),
    state      text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'retried', 'resolved', 'discarded')),
    ended_at   timestamptz,
    ended_by   text,
    note       text,
    CHECK (event_seq IS NOT NULL OR entity_id IS NOT NULL)
);
CREATE UNIQUE INDEX dead_letter_event ON dead_letter (event_seq) WHERE event_seq IS NOT NULL;
CREATE UNIQUE INDEX dead_letter_delivery ON dead_letter (entity_id, system) WHERE event_seq IS NULL AND state <> 'discarded';
CREATE INDEX dead_letter_open ON dead_letter (cause, last_at) WHERE state = 'open';

CREATE TABLE conflict (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entity_id   uuid NOT NULL REFERENCES entity (id),
    field       text NOT NULL,
    options     jsonb NOT NULL,
    policy      text NOT NULL,
    opened_at   timestamptz NOT NULL DEFAULT now(),
    deadline    timestamptz NOT NULL,
    assignee    text,
    state       text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'decided', 'expired', 'agreed')),
    decision    jsonb,
    decided_by  text,
    decided_at  timestamptz
);
CREATE UNIQUE INDEX conflict_open ON conflict (entity_id, field) WHERE state = 'open';
CREATE INDEX conflict_deadline ON conflict (deadline) WHERE state = 'open';

-- What changed, why, by which event, rule and call. Monthly partitions; beat makes the next and retention drops the old.
CREATE TABLE history (
    id         bigint GENERATED ALWAYS AS IDENTITY,
    at         timestamptz NOT NULL DEFAULT now(),
    entity_id  uuid NOT NULL,
    event_seq  bigint,
    actor      text NOT NULL,
    what       text NOT NULL,
    system     text,
    field      text,
    old        jsonb,
    new        jsonb,
    rule       text,
    call       text
) PARTITION BY RANGE (at);
CREATE TABLE history_other PARTITION OF history DEFAULT;
CREATE INDEX history_entity ON history (entity_id, id);

CREATE TABLE cursor (
    name        text PRIMARY KEY,
    position    timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now()
);

-- Rollout switches set at run time; they stand above the configuration file.
CREATE TABLE switch (
    system      text NOT NULL,
    kind        text NOT NULL,
    direction   text NOT NULL CHECK (direction IN ('in', 'out')),
    mode        text NOT NULL,
    set_by      text NOT NULL,
    set_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (system, kind, direction)
);

CREATE TABLE run (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    what         text NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    report       jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX run_what ON run (what, id);

CREATE TABLE drift (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id      bigint NOT NULL REFERENCES run (id),
    system      text NOT NULL,
    subject     text NOT NULL,
    entity_id   uuid,
    field       text,
    cause       text NOT NULL,
    healing     text NOT NULL,
    found_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX drift_run ON drift (run_id);

CREATE TABLE operator_action (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT now(),
    actor   text NOT NULL,
    action  text NOT NULL,
    target  text NOT NULL,
    detail  jsonb NOT NULL DEFAULT '{}'
);
