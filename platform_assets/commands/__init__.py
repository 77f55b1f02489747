"""Commands for people: set-up, demo, UI, stop, migrate, preflight. Each is a file; nothing imports them."""
