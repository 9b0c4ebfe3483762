"""Proves that the test runner counts what ran, and names the cases that failed."""
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from scripts import run_tests  # noqa: E402

UNITTEST_OUTPUT = """test_a (tests.x_test.X.test_a) ... ok
test_b (tests.x_test.X.test_b) ... FAIL
test_c (tests.x_test.X.test_c) ... ERROR

======================================================================
ERROR: test_c (tests.x_test.X.test_c)
----------------------------------------------------------------------
======================================================================
FAIL: test_b (tests.x_test.X.test_b) [lz4]
----------------------------------------------------------------------
Ran 3 tests in 0.1s

FAILED (failures=1, errors=1)
"""

DOCTEST_OUTPUT = """[doctest] doctest version is "2.4.9"
===============================================================================
../../tests/unit/a_test.cc:10:
TEST CASE:  group: one owner

../../tests/unit/a_test.cc:12: FATAL ERROR: REQUIRE( is_new ) is NOT correct!
  values: REQUIRE( false )

===============================================================================
[doctest] test cases:     74 |     73 passed | 1 failed | 0 skipped
"""


class RunTestsTest(unittest.TestCase):
    def test_counts(self):
        self.assertEqual(run_tests.parse_unittest(UNITTEST_OUTPUT), (1, 2))
        self.assertEqual(run_tests.parse_doctest(DOCTEST_OUTPUT), (73, 1))
        self.assertIsNone(run_tests.parse_unittest("Segmentation fault"))
        self.assertIsNone(run_tests.parse_doctest("Segmentation fault"))

    def test_skipped_cases_are_failures(self):
        self.assertEqual(run_tests.parse_unittest("Ran 3 tests in 1s\n\nOK (skipped=1)\n"), (2, 1))

    def test_expected_failures_are_none(self):
        self.assertEqual(
            run_tests.parse_unittest("Ran 9 tests in 1s\n\nOK (expected failures=2)\n"), (9, 0))
        self.assertEqual(run_tests.parse_unittest(
            "Ran 9 tests in 1s\n\nFAILED (failures=1, expected failures=2, "
            "unexpected successes=1)\n"), (7, 2))

    def test_failed_cases_are_named(self):
        self.assertEqual(run_tests.failed_cases(UNITTEST_OUTPUT),
                         ["    ERROR: test_c (tests.x_test.X.test_c)",
                          "    FAIL: test_b (tests.x_test.X.test_b) [lz4]"])
        self.assertEqual(run_tests.failed_cases(DOCTEST_OUTPUT),
                         ["    TEST CASE:  group: one owner ../../tests/unit/a_test.cc:12: "
                          "FATAL ERROR: REQUIRE( is_new ) is NOT correct!"])


if __name__ == "__main__":
    unittest.main()
