"""Rules that peers break most, for `--explain`: what the rule says, and what can be done.

Knows sections of RFCs. Must never know a connection.
"""

from typing import Final

#: By section: the rule in short, the advice, and the types of frames that it is about.
RULES: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "RFC 9113 3.4": (
        "The first frame of each side is SETTINGS.",
        "The peer may not speak HTTP/2 here: try --http1.1, and check the port.",
        (),
    ),
    "RFC 9110 5.5": ("Values of fields have no control characters.", "", ()),
    "RFC 9110 6.5.1": ("Fields that frame, route or authenticate are not for trailers.", "", ()),
    "RFC 9110 8.6": (
        "A message has one Content-Length, and a response 1xx or 204 has none.",
        "A program and the server in front of it may both add one.",
        (),
    ),
    "RFC 9110 10.1.4": ("TE of the request says which transfer codings it allows.", "", ()),
    "RFC 9110 15": ("Status codes are from 100 to 599.", "", ()),
    "RFC 9113 4.1": ("Senders leave reserved bits and unused flags unset.", "", ()),
    "RFC 9113 4.2": (
        "No frame is larger than SETTINGS_MAX_FRAME_SIZE allows.",
        "--limit max_frame_size=... announces a larger size; the peer should respect ours.",
        (),
    ),
    "RFC 9113 4.3": (
        "A field block is one HEADERS or PUSH_PROMISE and its CONTINUATIONs, with nothing between, "
        "and decodes by HPACK.",
        "The peer's encoder, or an intermediary that changes frames, is at fault.",
        ("HEADERS", "PUSH_PROMISE", "CONTINUATION"),
    ),
    "RFC 9113 5.1": (
        "Each state of a stream allows some types of frames only.",
        "The peer sent a frame on a stream that was not open for it.",
        (),
    ),
    "RFC 9113 5.1.1": (
        "Stream ids rise; clients use odd ones, servers even ones.",
        "The peer counts its streams wrongly, or uses one that never was.",
        ("HEADERS", "PUSH_PROMISE"),
    ),
    "RFC 9113 6.1": (
        "DATA belongs to a stream, and padding is shorter than its frame.",
        "The peer's framing is at fault.",
        ("DATA",),
    ),
    "RFC 9113 6.4": ("RST_STREAM has four bytes, on a stream that was open.", "", ("RST_STREAM",)),
    "RFC 9113 6.5": ("SETTINGS is for the connection, in entries of six bytes.", "", ("SETTINGS",)),
    "RFC 9113 6.5.2": ("Each setting has a range of values.", "", ("SETTINGS",)),
    "RFC 9113 6.6": (
        "A server pushes only to a client that allows it, on a stream of its own.",
        "`cno get` allows pushes where it shows them: -i and -v.",
        ("PUSH_PROMISE",),
    ),
    "RFC 9113 6.7": ("PING has eight bytes, for the connection.", "", ("PING",)),
    "RFC 9113 6.8": (
        "GOAWAY is for the connection, and never raises its last stream.",
        "",
        ("GOAWAY",),
    ),
    "RFC 9113 6.9": (
        "A WINDOW_UPDATE has four bytes, and an increment above 0.",
        "",
        ("WINDOW_UPDATE",),
    ),
    "RFC 9113 6.9.1": (
        "Nobody sends more than the other side's window, and no window exceeds 2^31-1.",
        "The peer's flow control is at fault. --limit initial_window_size=... hides it.",
        ("DATA", "WINDOW_UPDATE", "SETTINGS"),
    ),
    "RFC 9113 6.10": ("CONTINUATION follows an open field block.", "", ("CONTINUATION",)),
    "RFC 9113 8.1": ("A response is a head, content, and trailers, in this order.", "", ()),
    "RFC 9113 8.1.1": (
        "A malformed message must not be accepted; content-length and DATA agree.",
        "Compare the length of the body with the content-length field.",
        ("HEADERS", "DATA"),
    ),
    "RFC 9113 8.2.1": (
        "Names of fields are lower case, and names and values have no control characters.",
        "The server, or what it passes on, has a field that HTTP/2 cannot carry.",
        ("HEADERS",),
    ),
    "RFC 9113 8.2.2": (
        "Connection, Keep-Alive, Proxy-Connection, Transfer-Encoding and Upgrade are of HTTP/1.1.",
        "A gateway passes on fields of its HTTP/1.1 side: it should remove them.",
        ("HEADERS",),
    ),
    "RFC 9113 8.3": (
        "Pseudo-fields are those that HTTP/2 defines, once, before all others.",
        "",
        ("HEADERS",),
    ),
    "RFC 9113 8.3.2": ("A response has one :status.", "", ("HEADERS",)),
    "RFC 9113 10.5": (
        "An endpoint may end a connection that costs it too much.",
        "See docs/floods.md: the --limit that is named accepts more of it.",
        (),
    ),
    "RFC 9112 2.2": (
        "Lines end with CR LF.",
        "--limit allow_bare_lf=yes accepts lines that end with LF.",
        (),
    ),
    "RFC 9112 4": (
        "A response begins with HTTP/1.1, a space, and a status of three digits.",
        "This may be no HTTP server, or one that expects TLS (https:).",
        (),
    ),
    "RFC 9112 5": ("A field line is a name, a colon, and a value.", "", ()),
    "RFC 9112 5.1": ("No space stands between a field's name and the colon.", "", ()),
    "RFC 9112 5.2": (
        "A field's value is on one line.",
        "--limit allow_obs_fold=yes accepts values that go on in the next line.",
        (),
    ),
    "RFC 9112 6.1": ("Transfer-Encoding ends with chunked, and stands alone.", "", ()),
    "RFC 9112 6.3": (
        "One content-length says how long the body is, and Transfer-Encoding is without one.",
        "Two lengths let attackers smuggle messages: the server must send one.",
        (),
    ),
    "RFC 9112 7.1": ("A chunk is its size in hexadecimal, CR LF, its bytes, CR LF.", "", ()),
    "RFC 9112 8": (
        "A message that is cut short is incomplete.",
        "-C - or --retry continues it, where the server can send the rest.",
        (),
    ),
}


def rule_of(section: str) -> tuple[str, str, tuple[str, ...]]:
    """Return what is known of a section, or of the one that it is a part of."""
    while section:
        if section in RULES:
            return RULES[section]
        before, dot, _ = section.rpartition(".")
        section = before if dot else ""
    return "", "", ()


def address_of(section: str) -> str:
    """Return where a section can be read."""
    words = section.split()
    if len(words) != 3 or words[0] != "RFC" or not words[1].isdecimal():
        return ""
    part = "appendix" if words[2][:1].isalpha() else "section"
    return f"https://www.rfc-editor.org/rfc/rfc{words[1]}#{part}-{words[2]}"
