"""Proves that scripts/gen_protocol.py writes what it wrote before, on two small schemas that use every
feature of the language, and that it refuses schemas it does not understand.

Run: python3 -m unittest tests/unit/scripts/gen_protocol_test.py
After an intended change of the output: UPDATE_GOLDEN=1 python3 -m unittest ..., then read the diff.
"""
import contextlib
import importlib.util
import io
import os
import pathlib
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
GOLDEN = HERE / "golden"


def load_generator():
    spec = importlib.util.spec_from_file_location("gen_protocol", ROOT / "scripts/gen_protocol.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generator = load_generator()


class Golden(unittest.TestCase):
    def test_two_small_messages(self):
        for stem in ("ping", "note"):
            with tempfile.TemporaryDirectory() as folder:
                self.assertEqual(generator.main(["--out", folder, str(GOLDEN / f"{stem}.txt")]), 0)
                for suffix in (".h", ".cc"):
                    text = (pathlib.Path(folder) / (stem + suffix)).read_text()
                    expected = GOLDEN / f"{stem}{suffix}.expected"
                    if os.environ.get("UPDATE_GOLDEN"):
                        expected.write_text(text)
                    self.assertEqual(text, expected.read_text(), f"{stem}{suffix}")

    def test_an_unchanged_header_keeps_its_time(self):
        with tempfile.TemporaryDirectory() as folder:
            arguments = ["--out", folder, str(GOLDEN / "ping.txt")]
            generator.main(arguments)
            header = pathlib.Path(folder) / "ping.h"
            os.utime(header, (1, 1))
            generator.main(arguments)
            self.assertEqual(header.stat().st_mtime, 1)


class Refusals(unittest.TestCase):
    def refuse(self, text, expected):
        with tempfile.TemporaryDirectory() as folder:
            schema = pathlib.Path(folder) / "bad.txt"
            schema.write_text("api 1 Bad\nversions 0-1 flexible 1+\n" + text)
            errors = io.StringIO()
            with contextlib.redirect_stderr(errors):
                self.assertEqual(generator.main(["--out", folder, str(schema)]), 1)
            self.assertIn(expected, errors.getvalue())

    def test_unknown_attribute(self):
        self.refuse("request\n  name string wonderful\n", "bad.txt:4: unknown attribute 'wonderful'")

    def test_unknown_header_line(self):
        self.refuse("reply\n", "unknown line 'reply'")

    def test_field_outside_a_section(self):
        self.refuse("  name string\n", "a field outside a section")

    def test_structure_without_fields(self):
        self.refuse("request\n  place Place\n", "structure Place has no fields")

    def test_tagged_records(self):
        self.refuse("request\n  data records 1+ tag 0\n", "tagged records are not supported")


class Ranges(unittest.TestCase):
    def test_conditions(self):
        within = generator.Range(1, 5)
        for text, expected in (("1+", None), ("0-9", None), ("3+", "version >= 3"), ("0-2", "version <= 2"),
                               ("2-4", "version >= 2 && version <= 4"), ("9+", "false")):
            self.assertEqual(generator.Range.parse(text, within).test(within), expected, text)


if __name__ == "__main__":
    unittest.main()
