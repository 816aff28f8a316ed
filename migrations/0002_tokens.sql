-- Up Migration

-- The tokens of a session, gone with it.
-- At rest: `sealed` is AES-256-GCM, bound to this row, under a key derived from SESSION_SECRET and the
-- session id, which only the browser's cookie carries: this table and the secret together open nothing.
CREATE TABLE token (
  sid text PRIMARY KEY REFERENCES session (sid) ON DELETE CASCADE,
  sealed bytea NOT NULL,
  -- Counts the refreshes, so that whoever comes late can tell that another one won.
  version integer NOT NULL DEFAULT 1,
  access_token_issued_at timestamptz NOT NULL,
  access_token_expires_at timestamptz NOT NULL,
  -- While it lies ahead, one process is asking the provider for new tokens.
  lease_until timestamptz
);
