"""Example programs: `python -m cno.examples.websocket`, `.grpc`, `.proxy` …"""
