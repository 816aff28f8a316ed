-- Up Migration

-- What an operator wants to look up after an incident; the same as the log lines of that name.
-- At rest: a session appears as a keyed hash, a person as the provider's `sub`; never an id or a token.
CREATE TABLE security_event (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL,
  event text NOT NULL,
  session_label text,
  subject text,
  ip text,
  request_id text,
  detail jsonb NOT NULL DEFAULT '{}'
);

CREATE INDEX security_event_at ON security_event (at);
CREATE INDEX security_event_subject ON security_event (subject, at) WHERE subject IS NOT NULL;
