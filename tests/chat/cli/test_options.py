"""A node's options: where they come from, which of them wins, and how a bad one is refused."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.auth.proxies import TrustedProxies
from chat.cli.option_table import LOG_LEVELS, OptionRefused
from chat.cli.options import PREFIX, Options, read_options

THREE = "http://127.0.0.1:12379,http://127.0.0.1:22379,http://127.0.0.1:32379"
FLAGS = ("id", "cluster", "port", "host", "advertise", "base-path", "trust-proxy",
         "allowed-host", "allow-origin", "auth-header", "auth-role-header",
         "data-dir", "auth", "signup", "heartbeat-ms", "election-timeout-ms", "compact-mib", "scrub-mb-per-s",
         "log-level", "log-format",
         "cluster-secret-file", "peer-cert", "peer-key", "peer-ca")  # fmt: skip

CERTIFICATE = ("--peer-cert", "c", "--peer-key", "k", "--peer-ca", "a")


def options(*arguments: str, environment: Mapping[str, str] | None = None) -> Options:
    return read_options(arguments, environment or {})


def refusal(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    with pytest.raises(OptionRefused) as refused:
        read_options(arguments, environment or {})
    return str(refused.value)


def config(tmp_path: Path, text: str) -> str:
    path = tmp_path / "raft-chat.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


# What they are


def test_no_flags_at_all_are_a_single_node() -> None:
    assert options() == Options(
        id=1,
        members={1: "http://127.0.0.1:12379"},
        port=12380,
        host="127.0.0.1",
        peer_host="",
        peer_port=0,
        join=False,
        advertise="http://127.0.0.1:12380",
        certificate=None,
        certificate_key=None,
        http_port=0,
        base_path="",
        trusted_proxies=TrustedProxies(),
        allowed_hosts=(),
        allowed_origins=frozenset(),
        auth_headers=None,
        data_dir=Path("raft-chat-1"),
        moved=False,
        auth=None,
        signup="invite",
        heartbeat_ms=60,
        election_timeout_ms=300,
        compact_mib=64,
        scrub_mb_per_s=8,
        metrics_token="",
        log_level="info",
        log_format="text",
        cluster_secret_file=None,
        accept_unsigned_peers=False,
        has_guarded_peers=False,
        access_log=False,
        peer_certificate=None,
    )


def test_a_certificate_makes_the_clients_urls_https() -> None:
    found = options("--cert", "a.crt", "--key", "a.key", "--http-port", "80")
    assert (found.certificate, found.certificate_key, found.http_port) == (Path("a.crt"), Path("a.key"), 80)
    assert found.advertise == "https://127.0.0.1:12380"
    text = refusal("--cert", "a.crt", "--key", "a.key", "--host", "::", "--cluster", THREE)
    assert "like https://chat1.example:12380" in text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (("--cert", "a.crt"), "--cert needs --key"),
        (("--key", "a.key"), "--key needs --cert"),
        (("--http-port", "80"), "--http-port needs --cert"),
        (("--cert", "a", "--key", "b", "--http-port", "12380"), "--http-port 12380 is --port too"),
        (("--cert", "a", "--key", "b", "--http-port", "0"), "--http-port '0' is not a number"),
        (("--cert", "", "--key", "b"), "--cert '' is not a path"),
    ],
)
def test_options_of_tls_that_do_not_fit_together_are_refused(given: tuple[str, ...], text: str) -> None:
    assert refusal(*given).startswith(text)


def test_the_id_is_the_place_in_the_cluster() -> None:
    second = options("--id", "2", "--cluster", THREE, "--port", "22380")
    assert second.members == {1: "http://127.0.0.1:12379", 2: "http://127.0.0.1:22379", 3: "http://127.0.0.1:32379"}
    assert (second.id, second.data_dir, second.advertise) == (2, Path("raft-chat-2"), "http://127.0.0.1:22380")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0.0.0.0", ("0.0.0.0", 0)),
        ("10.0.0.7:12379", ("10.0.0.7", 12379)),
        ("::", ("::", 0)),
        ("[::1]", ("::1", 0)),
        ("[::1]:7", ("::1", 7)),
    ],
)
def test_peer_host_is_an_address_with_or_without_a_port(text: str, address: tuple[str, int]) -> None:
    read = options("--peer-host", text, "--insecure-peers")
    assert (read.peer_host, read.peer_port) == address


@pytest.mark.parametrize("text", ["http://a:1", "a:", "a:0", "a:70000", ":7", "a b"])
def test_any_other_peer_host_is_refused(text: str) -> None:
    with pytest.raises(OptionRefused, match="--peer-host"):
        options("--peer-host", text)


@pytest.mark.parametrize(
    "more",
    [(), ("--insecure-peers",), ("--cluster-secret-file", "s"), ("--config", "INSECURE"), CERTIFICATE],
    ids=lambda more: more[:1],
)
@pytest.mark.parametrize(
    ("given", "host"),
    [
        (("--cluster", "http://10.0.0.1:12379"), "10.0.0.1"),
        (("--cluster", "http://127.0.0.1:1,http://chat2:1"), "chat2"),
        (("--cluster", "http://127.0.0.1:1,http://[fe80::1]:1"), "fe80::1"),
        (("--peer-host", "0.0.0.0:7"), "0.0.0.0"),
        (("--peer-host", "::"), "::"),
    ],
)
def test_peers_that_other_machines_reach_need_a_secret_or_a_word(
    given: tuple[str, ...], host: str, more: tuple[str, ...], tmp_path: Path
) -> None:
    more = tuple(config(tmp_path, "insecure-peers = true\n") if word == "INSECURE" else word for word in more)
    if more:
        assert options(*given, *more).cluster_secret_file == (Path("s") if "s" in more else None)
    else:
        said = refusal(*given)
        assert f"talk to each other at {host}," in said
        assert "Pass --cluster-secret-file or --peer-cert, or --insecure-peers" in said


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://127.9.9.9:1", "http://[::1]:1", "http://localhost:1", "http://LOCALHOST:1"]
)
def test_peers_on_this_machine_need_neither(url: str) -> None:
    assert options("--cluster", url, "--peer-host", "127.0.0.2").cluster_secret_file is None


def test_a_certificate_of_peers_is_three_files() -> None:
    assert options(*CERTIFICATE).peer_certificate == (Path("c"), Path("k"), Path("a"))
    assert "--peer-cert needs --peer-key, --peer-ca too" in refusal(*CERTIFICATE[:2])
    assert "--peer-key needs --peer-cert too" in refusal(*CERTIFICATE[2:])


def test_peer_urls_may_say_that_they_are_tls_where_they_are() -> None:
    urls = ("--cluster", "1=https://127.0.0.1:1,2=http://127.0.0.1:2")
    assert options(*urls, *CERTIFICATE).members == {1: "http://127.0.0.1:1", 2: "http://127.0.0.1:2"}
    assert "'https://127.0.0.1:1' needs --peer-cert, --peer-key and --peer-ca" in refusal(*urls)


def test_unsigned_peers_are_accepted_beside_a_secret_only() -> None:
    assert options("--cluster-secret-file", "s", "--accept-unsigned-peers").accept_unsigned_peers
    assert not options("--cluster-secret-file", "s").accept_unsigned_peers
    assert "--accept-unsigned-peers needs --cluster-secret-file" in refusal("--accept-unsigned-peers")


def test_ids_can_be_named_outright() -> None:
    assert options("--id", "3", "--cluster", "3=http://c:1, 1=http://a:1/", "--insecure-peers").members == {
        3: "http://c:1",
        1: "http://a:1",
    }


def test_named_and_counted_ids_can_be_mixed() -> None:
    assert options("--cluster", "http://a:1,7=http://b:1,http://c:1", "--insecure-peers").members == {
        1: "http://a:1",
        7: "http://b:1",
        3: "http://c:1",
    }


@pytest.mark.parametrize(
    ("host", "url"), [("::1", "http://[::1]:12380"), ("chat.example.org", "http://chat.example.org:12380")]
)
def test_clients_are_told_host_and_port_where_nothing_else_is_said(host: str, url: str) -> None:
    assert options("--host", host).advertise == url


def test_what_clients_are_told_may_be_a_proxy_that_speaks_tls() -> None:
    assert options("--advertise", "https://chat.example.org:443/").advertise == "https://chat.example.org:443"


def test_moved_is_a_flag_without_a_value() -> None:
    assert options("--moved").moved
    assert not options(environment={"RAFT_CHAT_MOVED": "false"}).moved


def test_joining_is_a_flag_without_a_value() -> None:
    assert options("--join").join
    assert options(environment={"RAFT_CHAT_JOIN": "true"}).join
    assert not options(environment={"RAFT_CHAT_JOIN": "false"}).join


def test_help_is_printed_and_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options("--help")
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"--{name}" in shown for name in (*FLAGS, "join", "moved", "access-log", "config"))


# Which wins


def test_flags_win_over_the_environment_which_wins_over_the_file(tmp_path: Path) -> None:
    path = config(tmp_path, 'port = 1\nhost = "file"\ndata-dir = "file"\n')
    environment = {"RAFT_CHAT_HOST": "environment", "RAFT_CHAT_DATA_DIR": "environment"}
    given = options("--data-dir", "flag", "--config", path, environment=environment)
    assert (given.port, given.host, given.data_dir) == (1, "environment", Path("flag"))


def test_the_environment_can_name_the_file_and_a_flag_another_one(tmp_path: Path) -> None:
    path = config(tmp_path, "port = 7")
    environment = {"RAFT_CHAT_CONFIG": path}
    assert options(environment=environment).port == 7
    other = tmp_path / "other.toml"
    other.write_text("port = 8")
    assert options("--config", str(other), environment=environment).port == 8


def test_every_option_has_its_three_spellings(tmp_path: Path) -> None:
    values = {
        "id": "2",
        "cluster": "2=http://a:1",
        "port": "7",
        "host": "h",
        "advertise": "http://b:1/chat",
        "base-path": "/chat",
        "trust-proxy": "10.0.0.0/8",
        "allowed-host": "chat.lan",
        "allow-origin": "https://intranet.example",
        "auth-header": "X-Remote-User",
        "auth-role-header": "X-Remote-Role",
        "data-dir": "d",
        "auth": "login",
        "signup": "open",
        "heartbeat-ms": "20",
        "election-timeout-ms": "200",
        "compact-mib": "5",
        "scrub-mb-per-s": "3",
        "log-level": "debug",
        "log-format": "json",
        "cluster-secret-file": "secret",
        "peer-cert": "c",
        "peer-key": "k",
        "peer-ca": "a",
    }
    assert set(values) == set(FLAGS)
    by_flags = options(*[word for name, value in values.items() for word in (f"--{name}", value)])
    by_environment = options(environment={PREFIX + n.upper().replace("-", "_"): v for n, v in values.items()})
    text = "".join(f"{n} = {v}\n" if v.isdecimal() else f'{n} = "{v}"\n' for n, v in values.items())
    assert by_flags == by_environment == options("--config", config(tmp_path, text))
    assert options("--config", config(tmp_path, "join = true\n")).join
    assert options("--access-log") == options("--config", config(tmp_path, "access-log = true\n"))
    assert options("--access-log").access_log


def test_what_others_have_in_the_environment_is_nobodys_business() -> None:
    assert options(environment={"PATH": "/bin", "RAFT_CHATTER": "1", "PORT": "1"}) == options()


# What is refused


@pytest.mark.parametrize("arguments", [["--prot", "1"], ["--por", "1"], ["stray"], ["-p", "1"], ["--id"]])
def test_unknown_flags_are_refused_and_named(arguments: list[str]) -> None:
    assert arguments[0] in refusal(*arguments)


@pytest.mark.parametrize("name", ["RAFT_CHAT_PROT", "RAFT_CHAT_", "RAFT_CHAT_port", "RAFT_CHAT_DATA-DIR"])
def test_unknown_keys_in_the_environment_are_refused_and_named(name: str) -> None:
    said = refusal(environment={name: "1"})
    assert f"{name} is not an option" in said
    assert "RAFT_CHAT_DATA_DIR" in said  # as it is spelt


@pytest.mark.parametrize("key", ["prot", "data_dir", "config", "Port", "raft.port"])
def test_unknown_keys_in_the_file_are_refused_and_named(tmp_path: Path, key: str) -> None:
    path = config(tmp_path, f"{key} = 1\n")
    said = refusal("--config", path)
    assert path in said
    assert f"{key.split('.')[0]} is not an option" in said


BAD = [
    ("id", "0"),
    ("id", "-1"),
    ("id", "two"),
    ("id", "1.0"),
    ("id", ""),
    ("id", "\u0661"),  # a digit, but not ours
    ("id", "9" * 5_000),
    ("id", "2"),  # not in --cluster
    ("port", "0"),
    ("port", "65536"),
    ("port", " 1"),
    ("port", "1_000"),
    ("host", ""),
    ("host", "a b"),
    ("host", "a..b"),
    ("host", "[::1]"),
    ("host", "h" * 64),
    ("host", "a\nb"),
    ("cluster", ""),
    ("cluster", "127.0.0.1:12379"),
    ("cluster", "https://a:1"),
    ("cluster", "http://a"),
    ("cluster", "http://a:0"),
    ("cluster", "http://a:1/path"),
    ("cluster", "http://a..b:1"),
    ("cluster", "http://a:1,"),
    ("cluster", "http://a:1,http://a:1/"),
    ("cluster", "1=http://a:1,1=http://b:1"),
    ("cluster", "1=http://a:1,01=http://b:1"),
    ("cluster", "0=http://a:1"),
    ("cluster", "x=http://a:1"),
    ("cluster", "=http://a:1"),
    ("cluster", "1=2=http://a:1"),
    ("cluster", ",".join(f"http://a:{port}" for port in range(1, 66))),
    ("cluster", "\udcff"),  # what the shell hands on is not always text
    ("advertise", "chat"),
    ("advertise", "https://chat.example/elsewhere"),
    ("advertise", "https://chat.example?x"),
    ("base-path", "chat"),
    ("trust-proxy", "10.0.0.0/33"),
    ("trust-proxy", "10.0.0.1/8"),
    ("trust-proxy", "proxy.example"),
    ("allowed-host", "chat.lan:80"),
    ("allowed-host", "http://chat.lan"),
    ("allowed-host", "*.lan"),
    ("allow-origin", "*"),
    ("allow-origin", "https://intranet.example/chat"),
    ("advertise", "ftp://a:1"),
    ("advertise", "http://user:password@a:1"),
    ("advertise", "\udcff"),
    ("data-dir", ""),
    ("auth", "closed"),
    ("auth", ""),
    ("signup", "login"),
    ("signup", "open"),  # but nobody logs in
    ("heartbeat-ms", "0"),
    ("heartbeat-ms", "60001"),
    ("heartbeat-ms", "151"),  # more than half of the election timeout
    ("election-timeout-ms", "x"),
    ("election-timeout-ms", "100"),
    ("compact-mib", "0"),
    ("scrub-mb-per-s", "-1"),
    ("scrub-mb-per-s", "10001"),
    ("log-level", "INFO"),
    ("log-level", "loud"),
    ("log-format", "JSON"),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=[f"{name}={value[:30]!a}" for name, value in BAD])
def test_a_bad_value_is_refused_in_one_line_that_names_the_flag_wherever_it_came_from(name: str, value: str) -> None:
    by_flag = refusal(f"--{name}={value}")
    assert f"--{name}" in by_flag
    assert by_flag.isprintable()
    assert refusal(environment={PREFIX + name.upper().replace("-", "_"): value}) == by_flag


def test_an_advertised_url_may_leave_out_its_port_and_names_the_base_path() -> None:
    assert options("--advertise", "https://chat.example").advertise == "https://chat.example"
    for url in ("https://chat.example", "https://chat.example/", "https://chat.example/chat/"):
        assert options("--advertise", url, "--base-path", "/chat/").advertise == "https://chat.example/chat"
    assert options("--base-path", "/chat").advertise == "http://127.0.0.1:12380/chat"


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_every_address_is_no_url_to_advertise(host: str) -> None:
    assert options("--host", host).advertise == ""
    assert options("--host", host, "--advertise", "http://10.0.0.1:12380").advertise == "http://10.0.0.1:12380"
    for shared in (["--cluster", "http://a:1,http://b:1"], ["--join"]):
        with pytest.raises(OptionRefused, match="--advertise"):
            options("--host", host, *shared)


def test_an_empty_advertised_url_is_the_default() -> None:
    assert options("--advertise=") == options()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("port = ", "is not TOML"),
        ("port = 1\nport = 2", "is not TOML"),
        ("port = " + "[" * 5_000, "is not TOML"),
        ("port = " + "9" * 5_000, "is not TOML"),
        ("port = 1.5", "port is neither a text nor a number"),
        ("port = [1]", "port is neither a text nor a number"),
        ("port = 2026-11-23", "port is neither a text nor a number"),
        ("[port]\na = 1", "port is neither a text nor a number"),
        ("port = true", "--port 'true'"),
        ("join = 1", "--join '1'"),
        ('data-dir = "a\\u0000b"', "--data-dir"),
        ('host = "a\\u0000b"', "--host"),
        ('"a\\nb" = 1', "a\\nb is not an option"),
    ],
)
def test_a_file_that_will_not_do_is_refused_in_one_line_that_says_why(tmp_path: Path, text: str, words: str) -> None:
    said = refusal("--config", config(tmp_path, text))
    assert words in said
    assert said.isprintable()


@pytest.mark.parametrize("name", ["missing.toml", "", ".", "\udcff"])
def test_a_file_that_cannot_be_read_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    said = refusal("--config", str(tmp_path / name) if name else "")
    assert "--config" in said and "cannot be read" in said
    assert said.isprintable()


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary"
    path.write_bytes(b"\xff\xfe\x00")
    assert "is not TOML" in refusal("--config", str(path))


@pytest.mark.parametrize("end", ["\r", "\n", "\x1b[0m", "\x7f", "\x85", "\ufeff", "\u2028"])
def test_a_value_with_a_control_character_is_refused_wherever_it_comes_from(tmp_path: Path, end: str) -> None:
    file = config(tmp_path, f"data-dir = {json.dumps('data' + end)}")
    for said in (
        refusal("--data-dir", f"data{end}"),
        refusal(environment={"RAFT_CHAT_DATA_DIR": f"data{end}"}),
        refusal("--config", file),
    ):
        assert "--data-dir" in said
        assert "control character" in said


def test_a_config_path_that_ends_in_a_carriage_return_is_refused() -> None:
    assert "RAFT_CHAT_CONFIG" in refusal(environment={"RAFT_CHAT_CONFIG": "raft-chat.toml\r"})


def test_a_config_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert options("--config", config(tmp_path, "\ufeffport = 8080")).port == 8080


def test_an_id_that_is_not_in_the_cluster_is_told_which_are() -> None:
    assert refusal("--id", "4", "--cluster", THREE) == "--id 4 is not a place in --cluster, which has 1, 2, 3"


# Whatever comes


def is_options_or_one_line(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    try:
        given = read_options(arguments, environment)
    except OptionRefused as refused:
        said = str(refused)
    else:
        said = ""
        check_sound(given)
    assert said.isprintable()


def check_sound(given: Options) -> None:
    assert given.id in given.members
    assert 1 <= given.port <= 65535
    assert 2 * given.heartbeat_ms <= given.election_timeout_ms
    assert given.log_level in LOG_LEVELS


values = st.one_of(
    st.text(max_size=20),
    st.integers().map(str),
    st.sampled_from([THREE, "1=http://a:1", "http://[::1]:1", "true", "info", "\udc80", "http://\u00e4:1"]),
    st.lists(st.sampled_from(["http://", "a", ":", "1", "=", ",", "[", "]", "/", "\0", "@", "%"]), max_size=8).map(
        "".join
    ),
)
names = st.sampled_from(FLAGS)


@settings(deadline=None)
@given(st.dictionaries(names, values), st.lists(values, max_size=2))
def test_no_arguments_are_a_traceback(flags: dict[str, str], stray: list[str]) -> None:
    stray = [word for word in stray if word not in ("-h", "--help")]
    is_options_or_one_line([*(f"--{name}={value}" for name, value in flags.items()), *stray], {})


@settings(deadline=None)
@given(st.dictionaries(names.map(lambda name: PREFIX + name.upper().replace("-", "_")), values))
def test_no_environment_is_a_traceback(environment: dict[str, str]) -> None:
    is_options_or_one_line([], environment)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("options") / "raft-chat.toml"


toml_values = st.one_of(
    st.booleans().map(lambda flag: str(flag).lower()),
    st.integers().map(str),
    st.floats(allow_nan=False).map(str),
    values.filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text)).map(
        lambda text: '"' + "".join(f"\\U{ord(c):08x}" for c in text) + '"'
    ),
    st.text(max_size=10),
)


@settings(deadline=None)
@given(st.dictionaries(st.one_of(names, st.text(max_size=5)), toml_values))
def test_no_file_is_a_traceback(file: Path, table: dict[str, str]) -> None:
    text = "".join(f"{name} = {value}\n" for name, value in table.items())
    file.write_bytes(text.encode(errors="surrogatepass"))
    is_options_or_one_line(["--config", str(file)], {})


def test_what_the_environment_has_for_sub_commands_does_not_stop_a_node() -> None:
    environment = {"RAFT_CHAT_FROM": "http://10.0.0.1:12380", "RAFT_CHAT_TOKEN": "rt_x"}
    assert read_options([], environment) == read_options([], {})


def test_trusted_proxies_are_named_with_commas_or_flag_by_flag_and_none_is_lost() -> None:
    flags = ["--trust-proxy", "10.0.0.0/8", "--trust-proxy", "::1, 127.0.0.1"]
    trusted = read_options(flags, {}).trusted_proxies
    assert [str(network) for network in trusted.networks] == ["10.0.0.0/8", "::1/128", "127.0.0.1/32"]


def test_allowed_hosts_are_named_with_commas_or_flag_by_flag() -> None:
    flags = ["--allowed-host", "Chat.lan,chat.example.org", "--allowed-host", "chat.lan."]
    assert read_options(flags, {}).allowed_hosts == ("chat.lan", "chat.example.org")


@pytest.mark.parametrize("content", ["t" * 16, "t" * 16 + "\n", "  " + "~" * 512 + "\r\n"], ids=len)
def test_the_metrics_token_is_the_one_line_of_its_file(tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    assert options("--metrics-token-file", str(file)).metrics_token == content.strip()


@pytest.mark.parametrize(
    "content", ["", "\n", "t" * 15, "t" * 513, "t" * 20 + "\n" + "u" * 20, "t" * 20 + " u", "é" * 20]
)
def test_a_file_without_a_token_is_refused_and_not_shown(tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content, encoding="utf-8")
    words = refusal("--metrics-token-file", str(file))
    assert words.startswith("--metrics-token-file: ") and "16 to 512" in words
    assert content.strip() == "" or content.strip() not in words


def test_a_file_of_the_metrics_token_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refusal("--metrics-token-file", str(tmp_path / "missing"))


PROXIED = ("--trust-proxy", "10.0.0.1", "--auth", "login")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--auth", "login", "--auth-header", "X-User"), "--trust-proxy"),
        (("--trust-proxy", "10.0.0.1", "--auth-header", "X-User"), "--auth login"),
        (("--trust-proxy", "10.0.0.1", "--auth", "open", "--auth-header", "X-User"), "--auth login"),
        (("--trust-proxy", "::1,0.0.0.0/0", "--auth", "login", "--auth-header", "X-User"), "not everybody"),
        (("--trust-proxy", "::/0", "--auth", "login", "--auth-header", "X-User"), "not everybody"),
        ((*PROXIED, "--auth-role-header", "X-Role"), "needs --auth-header"),
        ((*PROXIED, "--auth-header", "X_User"), "not the name of a header"),
        ((*PROXIED, "--auth-header", "X-User:"), "not the name of a header"),
        ((*PROXIED, "--auth-header", "Host"), "not the name of a header"),
        ((*PROXIED, "--auth-header", "authorization"), "not the name of a header"),
        ((*PROXIED, "--auth-header", "X-Forwarded-For"), "not the name of a header"),
        ((*PROXIED, "--auth-header", "X-User", "--auth-role-header", "cookie"), "not the name of a header"),
        ((*PROXIED, "--auth-header", "X-User", "--auth-role-header", "x-user"), "both"),
    ],
)
def test_headers_that_name_users_need_to_be_sure(arguments: tuple[str, ...], what: str) -> None:
    assert what in refusal(*arguments)


def test_headers_that_name_users_are_kept_as_the_server_has_them() -> None:
    named = options(*PROXIED, "--auth-header", "X-Remote-User", "--auth-role-header", "X-Remote-Role").auth_headers
    assert named == ("HTTP_X_REMOTE_USER", "HTTP_X_REMOTE_ROLE")
    forwarded = options(*PROXIED, "--auth-header", "X-Forwarded-User").auth_headers  # oauth2-proxy's
    assert forwarded == ("HTTP_X_FORWARDED_USER", "")
