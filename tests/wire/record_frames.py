#!/usr/bin/env python3
"""Records golden frames: a TCP proxy between clients and a Kafka broker of another make.

usage: record_frames.py --listen PORT --broker PORT --out FOLDER [--lower N]

Each frame of an API that has a schema in lib/protocol/schema is written, without its length field, to
FOLDER/<api>_v<version>_{request,response}.hex, unless that file exists already or the frame is larger
than 4 KiB. A later, larger frame (more fields set) replaces a smaller one within one run.
The broker must advertise the proxy's port, so that clients come back to it.
--lower N takes N from the highest version of each API in the broker's ApiVersions answer (not below
the lowest), so that clients speak old versions; such answers are not recorded.
"""
import argparse
import pathlib
import re
import socket
import struct
import threading

FRAME_SIZE_MAX = 4096
API_VERSIONS = 18
ROOT = pathlib.Path(__file__).resolve().parents[2]


def known_apis():
    apis = {}
    for path in (ROOT / "lib/protocol/schema").glob("*.txt"):
        match = re.match(r"api (\d+) ", path.read_text())
        if match:
            apis[int(match.group(1))] = path.stem
    return apis


class Recorder:
    def __init__(self, folder):
        self.folder, self.apis = folder, known_apis()
        self.lock = threading.Lock()
        self.sizes = {}  # of files written in this run
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, api, version, kind, frame):
        if api not in self.apis or len(frame) > FRAME_SIZE_MAX:
            return
        path = self.folder / f"{self.apis[api]}_v{version}_{kind}.hex"
        with self.lock:
            if path in self.sizes and self.sizes[path] >= len(frame):
                return
            if path not in self.sizes and path.exists():
                return
            self.sizes[path] = len(frame)
            text = frame.hex()
            path.write_text("".join(text[i:i + 96] + "\n" for i in range(0, len(text), 96)))


def read_frame(source):
    head = b""
    while len(head) < 4:
        part = source.recv(4 - len(head))
        if not part:
            return None
        head += part
    left, parts = struct.unpack(">i", head)[0], []
    while left > 0:
        part = source.recv(min(left, 1 << 20))
        if not part:
            return None
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def lower_versions(frame, version, by):
    """The ApiVersions answer with highest versions lowered; entries are fixed in size."""
    out = bytearray(frame)
    at = 6  # correlation id, error code
    if version >= 3:
        count = shift = 0
        while True:
            byte = out[at]
            at += 1
            count |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        count, step = count - 1, 7
    else:
        count, step = struct.unpack_from(">i", out, at)[0], 6
        at += 4
    for _ in range(count):
        key, low, high = struct.unpack_from(">hhh", out, at)
        low = 3 if key == 0 else low  # Produce is advertised from 0, though 0-2 are refused
        struct.pack_into(">h", out, at + 4, max(low, high - by))
        at += step
    return bytes(out)


def pump_requests(client, broker, pending, recorder):
    while (frame := read_frame(client)) is not None:
        api, version, correlation = struct.unpack_from(">hhi", frame)
        pending[correlation] = (api, version)  # of Produce with acks=0: stays unused
        recorder.keep(api, version, "request", frame)
        broker.sendall(struct.pack(">i", len(frame)) + frame)
    broker.shutdown(socket.SHUT_WR)


def pump_responses(broker, client, pending, recorder, lower):
    while (frame := read_frame(broker)) is not None:
        api, version = pending.pop(struct.unpack_from(">i", frame)[0], (None, None))
        if api == API_VERSIONS and lower and struct.unpack_from(">h", frame, 4)[0] == 0:
            frame = lower_versions(frame, version, lower)
        elif api == API_VERSIONS and struct.unpack_from(">h", frame, 4)[0] == 35:
            pass  # in the layout of version 0, whatever was asked
        elif api is not None:
            recorder.keep(api, version, "response", frame)
        client.sendall(struct.pack(">i", len(frame)) + frame)
    client.shutdown(socket.SHUT_WR)


def guarded(pump, *arguments):
    try:
        pump(*arguments)
    except OSError:
        pass  # one side went away: the other pump ends by itself
    finally:
        for side in arguments[:2]:
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--listen", type=int, required=True)
    parser.add_argument("--broker", type=int, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--lower", type=int, default=0)
    options = parser.parse_args()
    recorder = Recorder(options.out)
    server = socket.create_server(("127.0.0.1", options.listen))
    while True:
        client, _ = server.accept()
        broker = socket.create_connection(("127.0.0.1", options.broker))
        pending = {}
        for pump in ((pump_requests, client, broker, pending, recorder),
                     (pump_responses, broker, client, pending, recorder, options.lower)):
            threading.Thread(target=guarded, args=pump, daemon=True).start()


if __name__ == "__main__":
    main()
