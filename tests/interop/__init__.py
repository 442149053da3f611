"""Other people's programs against ours: curl, nghttp2, nginx, HAProxy, Chromium, grpcio …"""
