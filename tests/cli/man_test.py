"""The man pages and the completion scripts name every option that --help names, and no other."""
import re
import subprocess
import unittest

from tests.cli.cli_case import BIN, QTOOL, ROOT

COMMANDS = (["topic", "create"], ["topic", "list"], ["topic", "describe"], ["topic", "alter"],
            ["topic", "delete"], ["produce"], ["consume"], ["offsets"], ["cluster", "status"],
            ["bench", "produce"], ["bench", "consume"], ["bench", "e2e"], ["bench", "mixed"],
            ["group", "list"], ["group", "describe"], ["group", "reset-offsets"],
            ["group", "delete"], ["group", "export"], ["group", "import"], ["txn", "list"],
            ["txn", "describe"], ["txn", "abort"],
            ["cluster", "disks"], ["cluster", "cordon"], ["cluster", "uncordon"],
            ["cluster", "decommission"], ["cluster", "forget"], ["cluster", "rebalance"],
            ["partition", "move"],
            ["config", "list"], ["config", "describe"], ["config", "set"], ["config", "unset"],
            ["quota", "list"], ["quota", "set"], ["quota", "remove"],
            ["completion"])
HELP = {"-h", "--help"}


def run(*args):
    return subprocess.run([str(arg) for arg in args], check=True, capture_output=True,
                          timeout=30).stdout.decode()


def options_of_help(text):
    """Names at the start of the lines of an options list."""
    return {name for line in re.findall(r"^  (-\S+(?:, ?-\S+)*)", text, re.M)
            for name in re.split(r", ?", line)}


def page(name):
    return (ROOT / "man" / name).read_text().replace("\\-", "-")


def tagged(text):
    """What stands as a term: the option names of the line after each .TP."""
    return {name for line in re.findall(r"^\.TP\n(.*)$", text, re.M)
            for name in re.findall(r"(?<![\w.-])--?[A-Za-z][\w-]*", line)}


def terms(text):
    return set(re.findall(r"^\.TP\n\.B (\S+)$", text, re.M))


class ManTest(unittest.TestCase):
    def test_qtool_options(self):
        text = page("qtool.1")
        general = text[text.index("\n.SH OPTIONS"):text.index("\n.SH COMMANDS")]
        self.assertEqual(tagged(general), options_of_help(run(QTOOL, "--help")))
        for command in COMMANDS:
            with self.subTest(command):
                start = text.index("\n.SS qtool " + " ".join(command))
                section = text[start:min(text.index("\n.S", start + 4), len(text))]
                wanted = options_of_help(run(QTOOL, *command, "--help")) - HELP
                self.assertEqual(tagged(section), wanted)

    def test_qbroker_options(self):
        text = page("qbroker.8")
        flags = text[text.index("\n.SH OPTIONS"):text.index("\n.SH BROKER OPTIONS")]
        self.assertEqual(tagged(flags), options_of_help(run(BIN / "qbroker", "--help")))
        listed = set(re.findall(r"^  ([a-z][\w.]*)", run(BIN / "qbroker", "--help-options"), re.M))
        table = text[text.index("\n.SH BROKER OPTIONS"):text.index("\n.SH TOPIC OPTIONS")]
        self.assertEqual(terms(table), listed)

    def test_pages_are_clean(self):
        for name in ("qtool.1", "qbroker.8"):
            done = subprocess.run(["groff", "-man", "-ww", "-z", ROOT / "man" / name],
                                  capture_output=True)
            self.assertEqual(done.stderr, b"")


class CompletionTest(unittest.TestCase):
    def complete(self, *words):
        """What bash offers for the last of `words`."""
        script = ('source <("$0" completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
                  '_qtool; printf "%s\\n" "${COMPREPLY[@]}"')
        return set(run("bash", "-c", script, QTOOL, *words).split())

    def test_bash(self):
        self.assertIn("produce", self.complete("qtool", ""))
        self.assertEqual(self.complete("qtool", "top"), {"topic"})
        self.assertEqual(self.complete("qtool", "topic", "de"), {"describe", "delete"})
        for command in COMMANDS:
            with self.subTest(command):
                wanted = {o for o in options_of_help(run(QTOOL, *command, "--help"))
                          if o.startswith("--")}
                self.assertLessEqual(wanted, self.complete("qtool", *command, "--"))

    def test_other_shells(self):
        self.assertIn("bashcompinit", run(QTOOL, "completion", "zsh"))
        self.assertIn("complete -c qtool", run(QTOOL, "completion", "fish"))


if __name__ == "__main__":
    unittest.main()
