"""The parts of a client: its connections, their requests, and how they are made."""
