"""A server that never answers and writes down what it receives, frame by frame."""

import contextlib
import socket
import threading
from typing import Self

import h2.config
import h2.connection
import h2.events

PATIENCE = 10.0


class FrameServer:
    """Accepts any number of connections, one after the other or at once. `events` are `data`, `end`, `reset`."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.events: list[str] = []
        self._told = threading.Condition()
        self._waited: dict[str, int] = {}

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def wait_for(self, event: str) -> None:
        """The next event of this name that nobody has waited for."""
        number = self._waited[event] = self._waited.get(event, 0) + 1
        with self._told:
            assert self._told.wait_for(lambda: self.events.count(event) >= number, PATIENCE), self.events

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        state.initiate_connection()
        with contextlib.suppress(OSError), connection:
            connection.sendall(state.data_to_send())
            while received := connection.recv(1 << 16):
                for event in state.receive_data(received):
                    self._note(state, event)
                connection.sendall(state.data_to_send())

    def _note(self, state: h2.connection.H2Connection, event: h2.events.Event) -> None:
        match event:
            case h2.events.DataReceived() if event.data:
                state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                name = "data"
            case h2.events.StreamEnded():
                name = "end"
            case h2.events.StreamReset():
                name = "reset"
            case _:
                return
        with self._told:
            self.events.append(name)
            self._told.notify_all()
