// A certificate that nobody has signed but itself, for localhost, and its key: for tests of whom the
// gate trusts. It protects nothing.
export const selfSignedKey = `
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgdN6dVsnwH/4dihB0
AAx17DLDlpq4hZu6MvWkbOIwZ+KhRANCAASaF1FU+6j5u38/yg0F0tRH72CA5aMv
bPMGY+XZZc6c3+ckCdFWn8vzo8J21oqkzWbKD5M7RdyDwdcN7tfdOLPM
-----END PRIVATE KEY-----
`

export const selfSignedCertificate = `
-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUECb/jYUjvZPa96eZDA/KqWerG/YwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTAwMzIyMFoYDzIxMjYxMDI4
MDAzMjIwWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASaF1FU+6j5u38/yg0F0tRH72CA5aMvbPMGY+XZZc6c3+ckCdFWn8vz
o8J21oqkzWbKD5M7RdyDwdcN7tfdOLPMo28wbTAdBgNVHQ4EFgQUcCfzhOtoD0U1
AcqmMm/Fc+2+sBIwHwYDVR0jBBgwFoAUcCfzhOtoD0U1AcqmMm/Fc+2+sBIwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIgBX9JkGkHC6Cu5Ag2DyDRYMIPLlkZlb6ey7+ntU2JqvoCIQDs
I7ENpqYmK/7wmsY7I7FjDq0veHpK6p2SPgJWIEsVaQ==
-----END CERTIFICATE-----
`
