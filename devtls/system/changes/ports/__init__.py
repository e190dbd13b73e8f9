"""How this machine lets an unprivileged process have ports 443 and 80: one file per way."""
