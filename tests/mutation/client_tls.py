"""Faults of TLS for clients."""

from chat.cli import cert, tls_client
from chat.server.tls import certificate, openssl
from chat.server.tls.handshakes import Handshakes
from chat.server.tls.tls_connection import TlsConnection
from tests.mutation.mutant import mutant

TLS = "chat/server/tls"

CLIENT_TLS = (
    mutant(
        "renegotiation-allowed",
        "A client of TLS 1.2 may have the private key used again and again on one connection.",
        "the bounds of chat/server/tls/certificate.py",
        certificate.server_context,
        "ssl.OP_NO_RENEGOTIATION",
        "0",
        test=f"{TLS}/test_certificate.py::test_tls_1_2_and_later_without_renegotiation_are_spoken",
    ),
    mutant(
        "handshakes-in-the-order-of-arrival",
        "All that one address begins at once is served before anybody else.",
        "a rule of chat/server/tls/handshakes.py: the networks take turns",
        Handshakes.put,
        "connection.network or connection.descriptor",
        '""',
        test=f"{TLS}/test_handshakes.py::test_the_networks_take_turns",
    ),
    mutant(
        "session-of-another-context-trusted",
        "OpenSSL is called with an address that may not be a session's.",
        "a rule of chat/server/tls/openssl.py: only where the field behind it is the context",
        openssl.address_of,
        "if context == id(tls.context)",
        "if True",
        test=f"{TLS}/test_tls_connection.py::test_a_session_whose_context_was_changed_is_not_trusted_to_be_found[watched]",
    ),
    mutant(
        "end-of-session-not-told",
        "A connection that a draining node closes looks like one that was cut.",
        "RFC 8446 §6.1: close_notify before the end",
        TlsConnection._end_session,
        "data = self._session.end()",
        'data = b""',
        test=f"{TLS}/test_tls_connection.py::test_the_end_of_a_session_is_told_behind_the_last_answer[watched]",
    ),
    mutant(
        "peer-certificate-not-told",
        "The application does not learn whose certificate a client has shown.",
        "the table of chat/server/server.py: raft_chat.peer_cert",
        TlsConnection._take_step,
        "self._session.peer_certificate()",
        "{}",
        test=f"{TLS}/test_tls_connection.py::"
        "test_a_server_that_asks_for_certificates_names_the_clients_to_the_application[watched]",
    ),
    mutant(
        "operators-node-believed-whatever-it-shows",
        "The operator's token goes to whoever listens on the node's port.",
        "a rule of chat/cli/tls_client.py: by its certificate file",
        tls_client._check_certificate,
        "if shown != expected:",
        "if False:",
        test="chat/cli/test_tls_client.py::test_the_node_of_a_data_directory_is_believed_by_its_certificate_file",
    ),
    mutant(
        "keys-for-everybody",
        "Every user of the machine can read the private keys.",
        "the rules of chat/cli/cert.py",
        cert._make_all,
        "0o600 if",
        "0o644 if",
        test="chat/cli/test_cert.py::test_each_host_gets_a_certificate_and_only_its_owner_can_read_a_key",
    ),
)
