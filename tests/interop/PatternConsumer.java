// A consumer of the new group protocol that subscribes by an expression the broker resolves, and says
// one line for each topic that it gets: PatternConsumer BOOTSTRAP GROUP EXPRESSION
import java.time.Duration;
import java.util.Collection;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.TopicPartition;

public class PatternConsumer {
    public static void main(String[] args) {
        Properties config = new Properties();
        config.put("bootstrap.servers", args[0]);
        config.put("group.id", args[1]);
        config.put("group.protocol", "consumer");
        config.put("auto.offset.reset", "earliest");
        config.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        config.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(config)) {
            consumer.subscribe(new SubscriptionPattern(args[2]), new ConsumerRebalanceListener() {
                public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                    for (TopicPartition partition : partitions) {
                        System.out.println("assigned " + partition.topic());
                    }
                }
                public void onPartitionsRevoked(Collection<TopicPartition> partitions) {}
            });
            while (true) {
                consumer.poll(Duration.ofMillis(200)).forEach(r -> System.out.println("read " + r.value()));
            }
        } catch (Exception e) {
            System.out.println("failed " + e);
        }
    }
}
