"""gRPC by hand over python-hyper's h2: an HTTP/2 implementation that knows nothing of gRPC."""

import base64
import socket
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events

PATIENCE = 20.0


class RawCall:
    """One call on a connection of its own: sends `body` as it is, framed or not, and keeps what comes back.

    `headers` and `trailers` are lists of pairs of strings, as they came; `body` is all DATA. It ends with the stream,
    or as soon as `enough(body)`.
    """

    def __init__(self, target, path, body, *more, enough=lambda _: False):
        self.headers, self.trailers, self.body, self.reset = [], [], b"", None
        host, _, port = target.rpartition(":")
        config = h2.config.H2Configuration(header_encoding="utf-8")
        with socket.create_connection((host, int(port)), PATIENCE) as connection:
            self._connection, self._state = connection, h2.connection.H2Connection(config)
            self._state.initiate_connection()
            self._state.send_headers(
                1,
                [
                    (":method", "POST"),
                    (":scheme", "http"),
                    (":path", path),
                    (":authority", target),
                    ("content-type", "application/grpc"),
                    ("te", "trailers"),
                    *more,
                ],
            )
            self._unsent = memoryview(body)
            self._over = False
            self._send()
            while not self._over and not enough(self.body):
                received = connection.recv(1 << 16)
                assert received, "the proxy has hung up"
                for event in self._state.receive_data(received):
                    self._note(event)
                self._send()

    @property
    def code(self):
        return int(self._status("grpc-status", "-1"))

    @property
    def text(self):
        return unquote(self._status("grpc-message", ""))

    @property
    def details(self):
        value = self._status("grpc-status-details-bin", "")
        return base64.b64decode(value + "=" * (-len(value) % 4))

    def _status(self, name, default):
        return dict(self.trailers or self.headers).get(name, default)

    def _send(self):
        state = self._state
        while self._unsent is not None and not self._over:
            size = min(state.local_flow_control_window(1), state.max_outbound_frame_size, len(self._unsent))
            if not size and len(self._unsent):
                break
            last = size == len(self._unsent)
            state.send_data(1, bytes(self._unsent[:size]), end_stream=last)
            self._unsent = None if last else self._unsent[size:]
        self._connection.sendall(state.data_to_send())

    def _note(self, event):
        match event:
            case h2.events.ResponseReceived():
                self.headers = event.headers
            case h2.events.TrailersReceived():
                self.trailers = event.headers
            case h2.events.DataReceived():
                self.body += event.data
                self._state.acknowledge_received_data(event.flow_controlled_length, 1)
            case h2.events.StreamReset():
                self.reset, self._over = event.error_code, True
            case h2.events.StreamEnded():
                self._over = True


def framed(message, flag=0):
    """A message with gRPC's prefix."""
    return bytes((flag,)) + len(message).to_bytes(4, "big") + message
