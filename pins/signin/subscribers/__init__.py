"""The accounts of a tenant's own application: registered, found, signed in, changed, blocked."""
