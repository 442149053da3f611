"""Programs to read, run and copy from: `python -m cno.examples.websocket`, `.grpc`, `.proxy` …"""
