"""`devtls cert`, `sign`, `certs`, `revoke`, `unrevoke`."""
