"""100,000 partitions on one broker: qbroker alone, Kafka's heap of the other rows does not hold them."""
import time

from scripts.comparison.systems import wait_first_answer
from tests.harness import wire

TOPICS = 20
PARTITIONS = 5000  # of each topic
IN_ONE_REQUEST = 100
IN_FLIGHT = 4
STOP_S_MAX = 300


def produce_request(topic, partitions, batch):
    body = wire.string(None) + wire.int16(-1) + wire.int32(60_000) + wire.int32(1) + wire.string(topic)
    body += wire.int32(len(partitions))
    body += b"".join(wire.int32(partition) + wire.blob(batch) for partition in partitions)
    return wire.request(wire.PRODUCE, 8, body)


def write_one_record_each(port, topics, partitions, seconds_max):
    """How many partitions got one until the time was up."""
    batch = wire.batch([wire.record(b"x" * 100)])
    deadline = time.monotonic() + seconds_max
    written = in_flight = 0
    with wire.Connection(port, timeout=300) as connection:
        for topic in range(topics):
            for first in range(0, partitions, IN_ONE_REQUEST):
                if time.monotonic() > deadline:
                    break
                chosen = range(first, min(first + IN_ONE_REQUEST, partitions))
                connection.send(produce_request(f"many-{topic}", chosen, batch))
                written += len(chosen)
                in_flight += 1
                if in_flight == IN_FLIGHT:
                    connection.answer()
                    in_flight -= 1
        for _ in range(in_flight):
            connection.answer()
    return written


def time_restart(broker):
    begun = time.monotonic()
    broker.restart()
    wait_first_answer(broker.port)
    return time.monotonic() - begun


def many_partitions(side, lengths, put):
    broker = side.broker
    partitions = lengths.count(PARTITIONS)
    begun = time.monotonic()
    for topic in range(TOPICS):
        broker.create_topic(f"many-{topic}", partitions)
    put("create", time.monotonic() - begun)
    put("memory", side.rss_mib())
    begun = time.monotonic()
    written = write_one_record_each(side.port, TOPICS, partitions, 10 * lengths.seconds)
    put("first records", written / (time.monotonic() - begun))
    put("written", written)
    put("memory written", side.rss_mib())
    begun = time.monotonic()
    if broker.stop(timeout=STOP_S_MAX) != 0:
        raise RuntimeError(f"the broker did not stop cleanly: {broker.log()}")
    put("stop", time.monotonic() - begun)
    put("after stop", time_restart(broker))
    write_one_record_each(side.port, TOPICS, partitions, lengths.short_warmup)
    broker.kill()
    put("after kill", time_restart(broker))
    put("memory at last", side.rss_mib())
