// Moves replicas to a log directory with the Admin client, says where each was seen until all are
// there: LogDirMover BOOTSTRAP BROKER DIRECTORY TOPIC PARTITION...
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.DescribeReplicaLogDirsResult.ReplicaLogDirInfo;
import org.apache.kafka.common.TopicPartitionReplica;

public class LogDirMover {
    public static void main(String[] args) throws Exception {
        Properties config = new Properties();
        config.put("bootstrap.servers", args[0]);
        Map<TopicPartitionReplica, String> wanted = new HashMap<>();
        for (int i = 4; i < args.length; i++) {
            wanted.put(new TopicPartitionReplica(args[3], Integer.parseInt(args[i]), Integer.parseInt(args[1])), args[2]);
        }
        try (Admin admin = Admin.create(config)) {
            admin.alterReplicaLogDirs(wanted).all().get();
            while (true) {
                Map<TopicPartitionReplica, ReplicaLogDirInfo> seen = admin.describeReplicaLogDirs(wanted.keySet()).all().get();
                int there = 0;
                for (ReplicaLogDirInfo info : seen.values()) {
                    boolean done = args[2].equals(info.getCurrentReplicaLogDir()) && info.getFutureReplicaLogDir() == null;
                    there += done ? 1 : 0;
                    if (info.getFutureReplicaLogDir() != null) {
                        System.out.println("moving " + info.getFutureReplicaOffsetLag());
                    }
                }
                if (there == wanted.size()) {
                    System.out.println("moved " + there);
                    return;
                }
                Thread.sleep(50);
            }
        } catch (ExecutionException e) {
            System.out.println("failed " + e.getCause().getClass().getSimpleName());
        }
    }
}
