"""A relay between a client and a gateway that counts the bytes of the client and can limit its rate."""

import socket
import threading
import time


class Wire:
    """Listens on a port of its own. `limit` is in bytes per second over all connections; None is unlimited."""

    def __init__(self, url, limit=None):
        scheme, address = url.split("://")
        host, port = address.split(":")
        self.to = (host, int(port))
        self.limit = limit
        self.sent = 0
        self._busy_until = time.monotonic()
        # Notified when bytes are sent.
        self._lock = threading.Condition()
        self._ends = []
        self._listener = socket.socket()
        # Small buffers, so that few bytes are in the relay between client and gateway.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def until_sent(self, size, client):
        """Waits until the client has sent so many bytes. False if it ended before."""
        with self._lock:
            while self.sent < size and client.poll() is None:
                # The end of the client is not notified.
                self._lock.wait(0.2)
            return self.sent >= size

    def cut(self):
        """Closes every connection, as if the network failed."""
        with self._lock:
            ends, self._ends = self._ends, []
        for end in ends:
            shut(end)

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.to)
            with self._lock:
                self._ends += [client, server]
            threading.Thread(target=self._relay, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._relay, args=(server, client, False), daemon=True).start()

    def _relay(self, source, sink, counts):
        with source:
            self._copy(source, sink, counts)

    def _copy(self, source, sink, counts):
        try:
            while data := source.recv(1 << 16):
                if counts:
                    self._count(len(data))
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            # One end is closed, so the other one is closed too.
            shut(source)
            shut(sink)

    def _count(self, size):
        with self._lock:
            self.sent += size
            self._lock.notify_all()
            if not self.limit:
                return
            now = time.monotonic()
            self._busy_until = max(self._busy_until, now) + size / self.limit
            pause = self._busy_until - now
        # Simulates a slow network; this is not a wait for a condition.
        threading.Event().wait(pause)


def shut(end):
    """Closes a connection that may be closed already."""
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
