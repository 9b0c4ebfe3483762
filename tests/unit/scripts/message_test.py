"""Proves tests/harness/message.py by the recorded frames: each decodes and encodes to the same bytes."""
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from tests.harness import message  # noqa: E402


class GoldenFrames(unittest.TestCase):
    def test_every_frame_comes_back(self):
        names = {re.sub(r"(?<!^)([A-Z])", r"_\1", api).lower(): api for api in message.API_KEYS}
        count = 0
        for path in sorted((ROOT / "tests/wire/golden").glob("*.hex")):
            stem, version, kind = re.fullmatch(r"(\w+)_v(\d+)_(request|response)", path.stem).groups()
            api, version = names[stem], int(version)
            frame = bytes.fromhex(path.read_text().replace("\n", ""))
            with self.subTest(path.name):
                if kind == "response":
                    _, values = message.response_of(api, version, frame)
                else:
                    size = int.from_bytes(frame[8:10], "big", signed=True)
                    start = 10 + max(size, 0)
                    flexible = message.within(message.MESSAGES[api + "Request"].flexible, version)
                    values = message.decode(api + "Request", version, frame[start + flexible:])
                name = api + kind.capitalize()
                self.assertTrue(frame.endswith(message.encode(name, version, values)))
            count += 1
        self.assertGreater(count, 300)


if __name__ == "__main__":
    unittest.main()
