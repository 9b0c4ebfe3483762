import tests.harness  # noqa: F401  (makes confluent_kafka importable)
