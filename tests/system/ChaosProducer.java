// An idempotent producer of the Java client, for chaos.py: numbers in order to each partition until its input
// ends. One line on stdout for each answer. Run as:
// java -cp JARS/* ChaosProducer.java BOOTSTRAP TOPIC PARTITIONS RECORDS_A_SECOND IN_FLIGHT [NAME=VALUE]...
import java.util.Properties;

import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

public class ChaosProducer {
    static volatile boolean ends = false;

    public static void main(String[] args) throws Exception {
        Properties config = new Properties();
        config.put("bootstrap.servers", args[0]);
        config.put("enable.idempotence", "true");
        config.put("linger.ms", "2");
        config.put("max.block.ms", "600000");
        config.put("delivery.timeout.ms", "600000");
        config.put("request.timeout.ms", "5000");
        config.put("max.in.flight.requests.per.connection", args[4]);
        for (int i = 5; i < args.length; i++) {
            config.put(args[i].split("=")[0], args[i].split("=")[1]);
        }
        int partitions = Integer.parseInt(args[2]);
        long pause_ms = Math.max(1, 1000L * partitions / Long.parseLong(args[3]));
        Thread watch = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {
                }
            } catch (java.io.IOException e) {
                System.err.println(e);
            }
            ends = true;
        });
        watch.setDaemon(true);
        watch.start();
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(config, new StringSerializer(),
                new StringSerializer())) {
            for (long i = 0; !ends; i++) {
                for (int partition = 0; partition < partitions; partition++) {
                    int to = partition;
                    String value = "java:" + i;
                    producer.send(new ProducerRecord<>(args[1], to, null, value), (metadata, error) -> {
                        System.out.println(error == null ? "A " + to + " " + metadata.offset() + " " + value
                                : "E " + to + " " + value + " " + error);
                    });
                }
                Thread.sleep(pause_ms);
            }
            producer.flush();
        }
        System.out.println("D");
    }
}
