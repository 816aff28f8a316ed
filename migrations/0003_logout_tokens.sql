-- Up Migration

-- Logout tokens that were carried out, so that none is carried out twice, in whichever process.
-- At rest: the SHA-256 of issuer and `jti`; a row can go once its token has expired.
CREATE TABLE logout_token (
  id text PRIMARY KEY,
  expires_at timestamptz NOT NULL
);

CREATE INDEX logout_token_expires_at ON logout_token (expires_at);
