"""The options of `cno get`: one table, for parsing, `--help`, docs/get.md and shells.

Knows the words that users type; they are curl's where curl has the option. Must never know HTTP.
"""

from typing import Final

from cno.cli.connect_table import CONNECTION, CONNECTIONS, SECURITY
from cno.cli.option_table import Option, Table, count, float_of, positive, size
from cno.cli.request_data import data_option

REQUEST: Final = "Request"
DATA: Final = "Data"
OUTPUT: Final = "Output"
FILES: Final = "Files"
VIEWS: Final = "Views"


def resume(text: str) -> int:
    """Parse the offset of -C; -1 for `-`."""
    return -1 if text == "-" else count(text)


REQUESTS: Final = (
    Option("-X --request", "Use this method, not GET (or POST).", "METHOD", "method", REQUEST),
    Option(
        "-H --header",
        "Send this field; without VALUE, leave out a default one; 'NAME;': without a value.",
        "'NAME: VALUE'",
        "headers",
        REQUEST,
        many=True,
    ),
    Option("-I --head", "Request the head only.", group=REQUEST),
    Option("-L --location", "Follow redirects.", name="follow", group=REQUEST),
    Option(
        "--max-redirs",
        "Follow at most this number of redirects (50).",
        "NUMBER",
        "max_redirects",
        REQUEST,
        parse=count,
        default=50,
    ),
    Option("-u --user", "Send these credentials (Basic).", "USER:PASSWORD", group=REQUEST),
    Option("-n --netrc", "Send the credentials that ~/.netrc has for a host.", group=REQUEST),
    Option("--netrc-file", "Do so from this file.", "FILE", group=REQUEST, files=True),
    Option("-A --user-agent", "Send this User-Agent; '': none.", "TEXT", group=REQUEST),
    Option("-e --referer", "Send this Referer.", "URL", group=REQUEST),
    Option(
        "-b --cookie",
        "Send these cookies; without '=', read them from this file.",
        "'NAME=VALUE' | FILE",
        group=REQUEST,
        many=True,
        files=True,
    ),
    Option(
        "-c --cookie-jar",
        "Keep cookies, and write them to this file at the end (-: standard output).",
        "FILE",
        group=REQUEST,
        files=True,
    ),
    Option("-r --range", "Ask for these bytes: 0-99, 100-, -100.", "RANGE", group=REQUEST),
    Option(
        "--compressed",
        "Ask for a compressed response, and decode it: gzip, and br and zstd with cno[compressed].",
        group=REQUEST,
    ),
    Option(
        "--retry",
        "Try again after failures that may pass: timeouts, broken connections, 408, 429, 5xx.",
        "NUMBER",
        group=REQUEST,
        parse=count,
        default=0,
    ),
    Option(
        "--retry-delay", "Wait this long before each.", "SECONDS", group=REQUEST, parse=float_of
    ),
    Option("--retry-connrefused", "Retry where no connection could be made, too.", group=REQUEST),
)

BODIES: Final = (
    Option(
        "-d --data --data-ascii",
        "Send this data by POST; of @FILE without its line ends. Several are joined by '&'.",
        "DATA",
        "data",
        DATA,
        data_option("data"),
        many=True,
        files=True,
    ),
    Option(
        "--data-binary",
        "As -d, with all bytes of @FILE.",
        "DATA",
        "data",
        DATA,
        data_option("binary"),
        many=True,
        files=True,
    ),
    Option(
        "--data-raw",
        "As -d, where '@' has no meaning.",
        "DATA",
        "data",
        DATA,
        data_option("raw"),
        True,
    ),
    Option(
        "--data-urlencode",
        "As -d, percent-encoded: CONTENT, =CONTENT, NAME=CONTENT, @FILE, NAME@FILE.",
        "DATA",
        "data",
        DATA,
        data_option("urlencode"),
        many=True,
    ),
    Option(
        "--json",
        "Send this JSON by POST (@FILE: of a file), and ask for JSON.",
        "DATA",
        "data",
        DATA,
        data_option("json"),
        many=True,
        files=True,
    ),
    Option("-G --get", "Add the data to the URL, and use GET.", name="in_url", group=DATA),
    Option(
        "-F --form",
        "Send a form: NAME=CONTENT, NAME=@FILE, NAME=<FILE, with ;type=... and ;filename=...",
        "NAME=CONTENT",
        "form",
        DATA,
        data_option("form"),
        many=True,
        files=True,
    ),
    Option(
        "--form-string",
        "As -F, as it is.",
        "NAME=TEXT",
        "form",
        DATA,
        data_option("string"),
        True,
    ),
    Option(
        "-T --upload-file",
        "Send this file by PUT (-: standard input); a URL that ends in '/' gets its name.",
        "FILE",
        "upload",
        DATA,
        files=True,
    ),
)

OUTPUTS: Final = (
    Option("-i --include", "Write heads to standard output, too.", group=OUTPUT),
    Option("-D --dump-header", "Write heads to this file.", "FILE", group=OUTPUT, files=True),
    Option("-f --fail", "Status 400 and above: exit with 22, print no body.", group=OUTPUT),
    Option("--fail-with-body", "Status 400 and above: exit with 22.", group=OUTPUT),
    Option("-s --silent", "Show no progress and no errors.", group=OUTPUT),
    Option("-S --show-error", "Show errors in spite of -s.", group=OUTPUT),
    Option(
        "-w --write-out",
        "Write this at the end of each transfer, with curl's variables: '%{http_code}\\n'; @FILE.",
        "FORMAT",
        group=OUTPUT,
    ),
)

SAVING: Final = (
    Option(
        "-o --output",
        "Save the body in this file; -: print it. Give it once for each URL.",
        "FILE",
        "output",
        FILES,
        many=True,
        files=True,
    ),
    Option("-O --remote-name", "Save each body under the last name of its URL.", group=FILES),
    Option("-J --remote-header-name", "With -O: the server may choose the name.", group=FILES),
    Option("--output-dir", "Save files in this folder.", "FOLDER", group=FILES, files=True),
    Option("--create-dirs", "Make the folders of files that are saved.", group=FILES),
    Option("-R --remote-time", "Give files the time that the server says.", group=FILES),
    Option(
        "-C --continue-at",
        "Continue a file that was cut short (-), or from this offset.",
        "OFFSET",
        "resume",
        FILES,
        resume,
    ),
)

TIMES: Final = (
    Option(
        "-m --max-time", "Give up after this time.", "SECONDS", group=CONNECTION, parse=positive
    ),
    Option(
        "--limit-rate",
        "Receive and send at most this many bytes a second.",
        "BYTES",
        "",
        CONNECTION,
        size,
    ),
)

SHOWN: Final = (
    Option(
        "-v --verbose",
        "Write requests and responses to standard error; over HTTP/2 frame by frame.",
        group=VIEWS,
    ),
    Option(
        "--trace", "Write all frames to this file, as lines of JSON.", "FILE", "", VIEWS, files=True
    ),
    Option(
        "--waterfall",
        "Draw when each stream waited and flowed, and why the slowest is slow; a FILE: as SVG.",
        "FILE.svg",
        group=VIEWS,
        optional="",
        files=True,
    ),
    Option("--har", "Write an HTTP Archive (HAR 1.2), with frames.", "FILE", "", VIEWS, files=True),
    Option(
        "--explain",
        "Where a peer breaks a rule, accepted or not, show it, the bytes, and what to do.",
        group=VIEWS,
    ),
    Option("-h --help", "Show this text."),
)

OPTIONS: Final = (
    *REQUESTS, *BODIES, *OUTPUTS, *SAVING, *TIMES, *CONNECTIONS, *SECURITY, *SHOWN,
)  # fmt: skip  # in the order of the help


def table() -> Table:
    """Return the table of the command."""
    from cno.cli.limit_option import epilog

    return Table(
        "get",
        "[OPTIONS] URL...",
        "Fetch URLs, those of one server over one connection.\n\n"
        "On a terminal, heads and pushes are shown and text is formatted. A pipe gets the bodies "
        "only.",
        OPTIONS,
        "URL...",
        epilog(),
    )
