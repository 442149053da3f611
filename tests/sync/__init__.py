"""The blocking client, against servers in a thread."""
