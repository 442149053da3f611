"""The tests mirror cno/ one to one; support.py speaks wire, peers.py finds programs."""
