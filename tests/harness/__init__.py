"""What the Python levels share. Importing it makes Debian's python3-confluent-kafka importable
under a python3 that is not Debian's own (pyenv), as long as both have the same minor version."""
import importlib.util
import sys

DEBIAN = "/usr/lib/python3/dist-packages"
if importlib.util.find_spec("confluent_kafka") is None and DEBIAN not in sys.path:
    sys.path.append(DEBIAN)
