// Sends one request of each kind with Apache Kafka's Java clients, for record_frames.py to record.
// usage: java -cp "<jars>/*" RecordClient.java BOOTSTRAP
// A step that the (lowered) versions do not allow is reported and skipped.
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.*;

public class RecordClient {
    interface Step { void run() throws Exception; }

    static void step(String name, Step step) {
        try {
            step.run();
        } catch (Throwable e) {
            System.err.println(name + ": " + e);
        }
    }

    public static void main(String[] args) throws Exception {
        Map<String, Object> common = new HashMap<>();
        common.put("bootstrap.servers", args[0]);
        common.put("client.id", "golden");
        common.put("default.api.timeout.ms", "4000");
        common.put("request.timeout.ms", "3000");
        Logger.quiet();
        String topic = "golden-" + Long.toString(System.nanoTime(), 36);
        TopicPartition first = new TopicPartition(topic, 0);
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        try (Admin admin = Admin.create(common)) {
            step("create", () -> admin.createTopics(List.of(
                new NewTopic(topic, 2, (short) 1).configs(Map.of("retention.ms", "60000")),
                new NewTopic("not a name", 1, (short) 1),
                new NewTopic(topic + "-2", Map.of(0, List.of(1))))).values().get(topic).get());
            step("produce", () -> produce(common, topic));
            step("describe", () -> admin.describeTopics(List.of(topic, "missing")).topicNameValues().get(topic).get());
            step("describe by id", () -> {
                Uuid id = admin.describeTopics(List.of(topic)).topicNameValues().get(topic).get().topicId();
                admin.describeTopics(TopicCollection.ofTopicIds(List.of(id))).allTopicIds().get();
            });
            step("list", () -> admin.listTopics().names().get());
            step("cluster", () -> admin.describeCluster(new DescribeClusterOptions().includeAuthorizedOperations(true)).nodes().get());
            step("configs", () -> admin.describeConfigs(List.of(resource),
                new DescribeConfigsOptions().includeSynonyms(false)).all().get());
            step("alter", () -> admin.incrementalAlterConfigs(Map.of(resource, List.of(
                new AlterConfigOp(new ConfigEntry("retention.ms", "70000"), AlterConfigOp.OpType.SET),
                new AlterConfigOp(new ConfigEntry("segment.ms", null), AlterConfigOp.OpType.DELETE)))).all().get());
            step("partitions", () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all().get());
            step("list offsets", () -> admin.listOffsets(Map.of(first, OffsetSpec.latest(),
                new TopicPartition(topic, 1), OffsetSpec.earliest())).all().get());
            step("consume", () -> consume(common, topic));
            step("delete records", () -> admin.deleteRecords(Map.of(first, RecordsToDelete.beforeOffset(1))).all().get());
            step("delete", () -> admin.deleteTopics(List.of(topic, topic + "-2", "missing")).topicNameValues().get(topic).get());
        }
    }

    static void produce(Map<String, Object> common, String topic) throws Exception {
        Map<String, Object> config = new HashMap<>(common);
        config.remove("default.api.timeout.ms");
        config.put("linger.ms", "20");
        config.put("max.block.ms", "4000");
        config.put("delivery.timeout.ms", "5000");
        try (Producer<String, String> producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            for (int partition = 0; partition < 2; partition++) {
                producer.send(new ProducerRecord<>(topic, partition, 1700000000000L, "key", "value",
                    List.of(new RecordHeader("header", "h".getBytes()))));
                producer.send(new ProducerRecord<>(topic, partition, 1700000000001L, null, "second"));
            }
            producer.flush();
        }
        step("transactional id", () -> {
            config.put("transactional.id", topic);
            try (Producer<String, String> producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
                producer.initTransactions();
                producer.beginTransaction();
                producer.send(new ProducerRecord<>(topic, 0, "key", "aborted")).get();
                producer.abortTransaction();
            }
        });
    }

    static void consume(Map<String, Object> common, String topic) {
        Map<String, Object> config = new HashMap<>(common);
        config.put("enable.auto.commit", "false");
        config.put("isolation.level", "read_committed");
        config.put("auto.offset.reset", "earliest");
        config.put("fetch.max.wait.ms", "100");
        config.put("client.rack", "rack-1");
        try (Consumer<String, String> consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            TopicPartition first = new TopicPartition(topic, 0);
            consumer.assign(List.of(first, new TopicPartition(topic, 1)));
            consumer.seekToBeginning(consumer.assignment());
            for (int i = 0; i < 4; i++) {
                consumer.poll(Duration.ofMillis(150));
            }
            consumer.seek(first, new OffsetAndMetadata(1, Optional.of(0), "")); // checked by its leader epoch
            consumer.poll(Duration.ofMillis(200));
            consumer.assign(List.of(first)); // the other partition is forgotten by the fetch session
            consumer.poll(Duration.ofMillis(200));
            step("by time", () -> consumer.offsetsForTimes(Map.of(first, 1700000000001L)));
        }
    }

    static class Logger {
        static void quiet() {
            System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "error");
        }
    }
}
