"""A relay between a client and a gateway that counts what the client sends, and can be slow."""

import socket
import threading
import time


class Wire:
    """Listens on a port of its own. `limit`: bytes per second over all connections, or None."""

    def __init__(self, url, limit=None):
        scheme, place = url.split("://")
        host, port = place.split(":")
        self.to = (host, int(port))
        self.limit = limit
        self.sent = 0
        self._paid_until = time.monotonic()
        # Told of what is sent.
        self._lock = threading.Condition()
        self._ends = []
        self._listener = socket.socket()
        # A line holds little: what a client has sent is soon with the gateway, or not yet gone from the client.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def until_sent(self, size, client):
        """Waits until the client has sent so much. False where it ended before."""
        with self._lock:
            while self.sent < size and client.poll() is None:
                # Nobody tells of the client's end.
                self._lock.wait(0.2)
            return self.sent >= size

    def cut(self):
        """Ends every connection, as a line does that goes away."""
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
            # Either end is gone: so must be the other.
            shut(source)
            shut(sink)

    def _count(self, size):
        with self._lock:
            self.sent += size
            self._lock.notify_all()
            if not self.limit:
                return
            now = time.monotonic()
            self._paid_until = max(self._paid_until, now) + size / self.limit
            pause = self._paid_until - now
        # The line itself is slow: this is what is simulated, not a wait for something to happen.
        threading.Event().wait(pause)


def shut(end):
    """Ends a connection that may have ended already."""
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
