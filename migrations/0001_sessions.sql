-- Up Migration

-- One row for each person's login that is alive; ending a session deletes its row.
-- At rest: `sid` is the SHA-256 of the id in the cookie, so a copy of this table opens nothing.
-- `sess` is express-session's record (who the person is, as the ID token said); no token is in it.
CREATE TABLE session (
  sid text PRIMARY KEY,
  sess jsonb NOT NULL,
  expire timestamptz NOT NULL,
  public_id uuid NOT NULL UNIQUE,
  issuer text NOT NULL,
  subject text NOT NULL,
  provider_sid text,
  created_at timestamptz NOT NULL,
  last_seen_at timestamptz NOT NULL,
  user_agent text NOT NULL,
  ip text NOT NULL
);

-- Back-channel logout by `sub`, and a person's own list.
CREATE INDEX session_subject ON session (issuer, subject);
-- Back-channel logout by `sid`.
CREATE INDEX session_provider_sid ON session (issuer, provider_sid) WHERE provider_sid IS NOT NULL;
-- The reaper.
CREATE INDEX session_expire ON session (expire);
CREATE INDEX session_last_seen_at ON session (last_seen_at);
