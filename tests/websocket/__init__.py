"""WebSockets over both protocols, in both roles."""
