// Transactions of the Java client, for transactions_java_test.py. One line on stdout for each thing that
// happened; run as: java -cp JARS/* TransactionPeer.java COMMAND BOOTSTRAP ARGUMENTS.
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;

import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class TransactionPeer {
    static KafkaProducer<String, String> producer(String bootstrap, String id) {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("transactional.id", id);
        config.put("linger.ms", "1");
        config.put("max.block.ms", "60000");
        return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(String bootstrap, String group) {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("group.id", group);
        config.put("isolation.level", "read_committed");
        config.put("enable.auto.commit", "false");
        config.put("auto.offset.reset", "earliest");
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    // `count` transactions over the three partitions of a topic; each fourth is aborted.
    static void alternate(String bootstrap, String id, String topic, int count) {
        try (KafkaProducer<String, String> producer = producer(bootstrap, id)) {
            producer.initTransactions();
            for (int i = 0; i < count; i++) {
                boolean aborts = i % 4 == 3;
                producer.beginTransaction();
                for (int partition = 0; partition < 3; partition++) {
                    producer.send(new ProducerRecord<>(topic, partition, null,
                            (aborts ? "aborted-" : "committed-") + i));
                }
                if (aborts) {
                    producer.flush();
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
        }
        System.out.println("done");
    }

    // The second producer of an id fences the first.
    static void fence(String bootstrap, String id, String topic) {
        KafkaProducer<String, String> first = producer(bootstrap, id);
        first.initTransactions();
        first.beginTransaction();
        first.send(new ProducerRecord<>(topic, 0, null, "of the first"));
        first.flush();
        try (KafkaProducer<String, String> second = producer(bootstrap, id)) {
            second.initTransactions();
            second.beginTransaction();
            second.send(new ProducerRecord<>(topic, 0, null, "of the second"));
            second.commitTransaction();
        }
        try {
            first.send(new ProducerRecord<>(topic, 0, null, "too late"));
            first.commitTransaction();
            System.out.println("not fenced");
        } catch (ProducerFencedException | InvalidProducerEpochException e) {
            System.out.println("fenced");
        } catch (KafkaException e) {
            System.out.println("failed " + e.getClass().getSimpleName());
        }
        first.close(Duration.ZERO);
    }

    // Leaves a transaction open and dies without a word.
    static void hang(String bootstrap, String id, String topic) {
        KafkaProducer<String, String> producer = producer(bootstrap, id);
        producer.initTransactions();
        producer.beginTransaction();
        producer.send(new ProducerRecord<>(topic, 0, null, "open"));
        producer.flush();
        System.out.println("open");
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    // Copies `count` records exactly once, offsets inside of the transactions, whatever breaks.
    static void copy(String bootstrap, String id, String from, String to, int count) {
        int copied = 0;
        while (copied < count) {
            try (KafkaConsumer<String, String> consumer = consumer(bootstrap, id + "-group");
                    KafkaProducer<String, String> producer = producer(bootstrap, id)) {
                producer.initTransactions();
                List<TopicPartition> partitions = List.of(new TopicPartition(from, 0),
                        new TopicPartition(from, 1), new TopicPartition(from, 2));
                consumer.assign(partitions);
                copied = 0;
                for (TopicPartition partition : partitions) {
                    OffsetAndMetadata at =
                            consumer.committed(java.util.Set.of(partition)).get(partition);
                    copied += at == null ? 0 : Integer.parseInt(at.metadata());
                }
                Map<TopicPartition, Integer> done = new HashMap<>();
                while (copied < count) {
                    ConsumerRecords<String, String> records =
                            consumer.poll(Duration.ofMillis(200));
                    if (records.isEmpty()) {
                        continue;
                    }
                    producer.beginTransaction();
                    Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                    int now = 0;
                    for (TopicPartition partition : records.partitions()) {
                        OffsetAndMetadata before =
                                consumer.committed(java.util.Set.of(partition)).get(partition);
                        int sum = before == null ? 0 : Integer.parseInt(before.metadata());
                        long next = 0;
                        for (ConsumerRecord<String, String> record : records.records(partition)) {
                            producer.send(new ProducerRecord<>(to, partition.partition(), null,
                                    record.value()));
                            next = record.offset() + 1;
                            sum++;
                            now++;
                        }
                        offsets.put(partition, new OffsetAndMetadata(next, Integer.toString(sum)));
                    }
                    producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
                    producer.commitTransaction();
                    copied += now;
                    System.out.println("copied " + copied);
                    System.out.flush();
                }
            } catch (KafkaException e) {
                System.out.println("again " + e.getClass().getSimpleName());
                System.out.flush();
            }
        }
        System.out.println("done");
    }

    public static void main(String[] args) {
        switch (args[0]) {
            case "alternate" -> alternate(args[1], args[2], args[3], Integer.parseInt(args[4]));
            case "fence" -> fence(args[1], args[2], args[3]);
            case "hang" -> hang(args[1], args[2], args[3]);
            case "copy" -> copy(args[1], args[2], args[3], args[4], Integer.parseInt(args[5]));
            default -> throw new IllegalArgumentException(args[0]);
        }
    }
}
