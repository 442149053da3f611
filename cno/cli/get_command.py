"""`cno get`: from arguments to `GetOptions`.

Knows which options exclude each other. Must never know how a request is sent.
"""

import os
from typing import Any

from cno.aio.client.connection import CLIENT_LIMITS
from cno.cli import request_data
from cno.cli.connect_arguments import connect_options
from cno.cli.fetch import GetOptions
from cno.cli.get import run as fetch
from cno.cli.get_options import table
from cno.cli.option_table import ArgumentError, help_of
from cno.cli.request_data import Content
from cno.cli.running import run_loop, split_header, with_scheme
from cno.cli.views import ViewOptions, Views


def run(args: list[str]) -> int:
    """Run the command. Return its status. Raises ArgumentError and Problem."""
    known = table()
    if "--help" in args or "-h" in args:
        print(help_of(known))
        return 0
    values = known.parse(args)
    return run_loop(fetch(options_of(values), Views(view_options(values))))


def view_options(values: dict[str, Any]) -> ViewOptions:
    """Return which views are wanted."""
    return ViewOptions(
        frames=bool(values["verbose"]),
        trace=values["trace"],
        waterfall=values["waterfall"],
        har=values["har"],
        explain=bool(values["explain"]),
    )


def options_of(values: dict[str, Any]) -> GetOptions:
    """Return the options of a parsed command line. Raises ArgumentError and Problem."""
    check(values)
    urls = [with_scheme(url) for url in values["arguments"]]
    data, method = content_of(values), values["method"]
    if values["in_url"] and values["data"]:
        query = request_data.joined(values["data"])
        urls = [request_data.with_query(url, query) for url in urls]
        data = None
    if values["upload"] is not None:
        urls = [request_data.upload_url(url, values["upload"]) for url in urls]
    if values["in_url"] and values["head"] and method is None:
        method = "HEAD"
    return GetOptions(
        urls=tuple(urls),
        connect=connect_options(values, CLIENT_LIMITS),
        method=method,
        headers=[split_header(line) for line in values["headers"]],
        data=data,
        upload=values["upload"],
        outputs=outputs_of(values["output"], len(urls)),
        remote_name=bool(values["remote_name"]),
        server_name=bool(values["remote_header_name"]),
        folder=values["output_dir"],
        make_folders=bool(values["create_dirs"]),
        keep_time=bool(values["remote_time"]),
        resume=values["resume"],
        range=values["range"],
        include=bool(values["include"]),
        dump_heads=values["dump_header"],
        verbose=bool(values["verbose"]),
        silent=bool(values["silent"]),
        errors=bool(values["show_error"] or not values["silent"]),
        head=bool(values["head"]),
        max_time=values["max_time"],
        limit_rate=values["limit_rate"],
        follow=bool(values["follow"]),
        max_redirects=values["max_redirects"],
        fail="with body" if values["fail_with_body"] else "fail" if values["fail"] else "",
        compressed=bool(values["compressed"]),
        agent=values["user_agent"],
        referer=values["referer"],
        cookies=tuple(values["cookie"]),
        cookie_jar=values["cookie_jar"],
        credentials=credentials_of(values),
        retries=values["retry"],
        retry_delay=values["retry_delay"],
        retry_refused=bool(values["retry_connrefused"]),
        write_out=format_of(values["write_out"]),
    )


def outputs_of(paths: list[str], count: int) -> tuple[str, ...]:
    """Return the file of each URL; the null device may be that of all."""
    if paths == [os.devnull]:
        return (os.devnull,) * count
    return tuple(path for path in paths if path != "-")


def check(values: dict[str, Any]) -> None:
    """Raise ArgumentError if options exclude each other."""
    urls, outputs = values["arguments"], values["output"]
    for_all = outputs == [os.devnull]
    if outputs and (values["remote_name"] or not (for_all or len(urls) == len(outputs))):
        raise ArgumentError("-o is for one URL; use -O for several, or -o once for each")
    if len(outputs) > 1 and "-" in outputs:
        raise ArgumentError("-o -: standard output is for one URL")
    if values["head"] and (values["data"] or values["form"]) and not values["in_url"]:
        raise ArgumentError("-I sends no body: leave out -d")
    kinds = [name for name in ("data", "form", "upload") if values[name]]
    if len(kinds) > 1:
        raise ArgumentError("-d, -F and -T exclude each other")
    if values["in_url"] and (values["form"] or values["upload"]):
        raise ArgumentError("-G is for -d")
    if values["remote_header_name"] and not values["remote_name"]:
        raise ArgumentError("-J needs -O")
    if values["resume"] is not None and (values["range"] or values["remote_header_name"]):
        raise ArgumentError("-C excludes -r and -J")
    if values["resume"] is not None and not (outputs or values["remote_name"]):
        raise ArgumentError("-C needs -o or -O")


def content_of(values: dict[str, Any]) -> Content | None:
    """Return the content of the requests."""
    if values["data"]:
        return request_data.data_content(values["data"])
    if values["form"]:
        return request_data.form(values["form"])
    if values["upload"] is not None:
        return request_data.upload(values["upload"])
    return None


def credentials_of(values: dict[str, Any]) -> Any:
    """Return the function that knows credentials; None: there are none."""
    if values["user"] is not None:
        from cno.cli.credentials import of_user

        return of_user(values["user"])
    if values["netrc"] or values["netrc_file"]:
        from cno.cli.credentials import of_netrc

        return of_netrc(values["netrc_file"])
    return None


def format_of(text: str | None) -> str | None:
    """Return the format of -w."""
    if text is None:
        return None
    from cno.cli.write_out import format_of as read

    return read(text)
