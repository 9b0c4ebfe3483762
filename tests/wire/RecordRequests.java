// Sends groups, transactions, quotas and log dirs at every version that the broker knows, for
// record_frames.py to record. The frames are encoded by Apache Kafka's own message classes; what a
// client library would not send (old versions, requests between brokers) goes out this way too.
// usage: java -cp "<jars>/*" RecordRequests.java BOOTSTRAP [STEP]
// A step that fails is reported and skipped.
import java.io.*;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.util.*;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.*;
import org.apache.kafka.common.record.internal.*;
import org.apache.kafka.common.requests.RequestHeader;

public class RecordRequests {
    static final int LEVELS_MAX = 14;  // the most versions any of the APIs below has
    static String[] address;
    static Socket socket;
    static DataInputStream in;
    static int correlation = 0;
    static int level;
    static String topic;
    static Uuid topicId;

    static void connect() throws IOException {
        if (socket != null) {
            socket.close();
        }
        socket = new Socket(address[0], Integer.parseInt(address[1]));
        in = new DataInputStream(new BufferedInputStream(socket.getInputStream()));
    }

    interface Step { void run() throws Exception; }

    static void step(String name, Step step) {
        if (address.length > 2 && !address[2].equals(name)) {
            return;
        }
        try {
            connect();  // a connection of its own: the broker closes it on what it does not take
            step.run();
        } catch (Throwable e) {
            System.err.println("level " + level + ", " + name + ": " + e);
        }
    }

    /** The version of this level: each level asks one higher, up to the highest stable one. */
    static short at(ApiKeys api) {
        return (short) Math.min(api.oldestVersion() + level, api.latestVersion(false));
    }

    @SuppressWarnings("unchecked")
    static <T extends ApiMessage> T ask(ApiKeys api, short version, ApiMessage data) throws Exception {
        RequestHeader header = new RequestHeader(api, version, "golden", ++correlation);
        ByteBuffer head = MessageUtil.toByteBufferAccessor(header.data(), header.headerVersion()).buffer();
        ByteBuffer body = MessageUtil.toByteBufferAccessor(data, version).buffer();
        ByteBuffer frame = ByteBuffer.allocate(4 + head.remaining() + body.remaining());
        frame.putInt(head.remaining() + body.remaining()).put(head).put(body);
        socket.getOutputStream().write(frame.array());
        byte[] answer = new byte[in.readInt()];
        in.readFully(answer);
        ByteBufferAccessor reader = new ByteBufferAccessor(ByteBuffer.wrap(answer));
        new ResponseHeaderData(reader, api.responseHeaderVersion(version));
        ApiMessage response = api.messageType.newResponse();
        response.read(reader, version);
        return (T) response;
    }

    static <T extends ApiMessage> T ask(ApiKeys api, ApiMessage data) throws Exception {
        return ask(api, at(api), data);
    }

    public static void main(String[] args) throws Exception {
        address = (args[0] + (args.length > 1 ? ":" + args[1] : "")).split(":");
        connect();
        topic = "golden-" + Long.toString(System.nanoTime(), 36);
        CreateTopicsRequestData create = new CreateTopicsRequestData().setTimeoutMs(5000);
        create.topics().add(new CreateTopicsRequestData.CreatableTopic().setName(topic)
            .setNumPartitions(2).setReplicationFactor((short) 1));
        CreateTopicsResponseData created =
            ask(ApiKeys.CREATE_TOPICS, ApiKeys.CREATE_TOPICS.latestVersion(), create);
        topicId = created.topics().iterator().next().topicId();
        level = LEVELS_MAX;
        findCoordinator();
        Thread.sleep(3000);  // until the coordinators have loaded
        for (level = 0; level < LEVELS_MAX; level++) {
            step("coordinator", RecordRequests::findCoordinator);
            step("classic group", RecordRequests::classicGroup);
            step("consumer group", RecordRequests::consumerGroup);
            step("transaction", RecordRequests::transaction);
            step("hanging transaction", RecordRequests::hangingTransaction);
            step("quotas", RecordRequests::quotas);
            step("log dirs", RecordRequests::logDirs);
            step("config resources", RecordRequests::configResources);
            step("replicas", RecordRequests::replicas);
        }
    }

    /** Asks until the coordinator is there: its internal topic is made by the first question. */
    static void findCoordinator() throws Exception {
        short version = at(ApiKeys.FIND_COORDINATOR);
        for (byte type = 0; type <= (version == 0 ? 0 : 1); type++) {
            for (int i = 0; i < 100; i++) {
                FindCoordinatorRequestData data = new FindCoordinatorRequestData();
                if (version >= 4) {
                    data.setCoordinatorKeys(List.of("golden-" + level, "another"));
                } else {
                    data.setKey("golden-" + level);
                }
                if (version >= 1) {
                    data.setKeyType(type);
                }
                FindCoordinatorResponseData found = ask(ApiKeys.FIND_COORDINATOR, version, data);
                short code = version >= 4 ? found.coordinators().get(0).errorCode() : found.errorCode();
                if (code == 0) {
                    break;
                }
                Thread.sleep(200);
            }
        }
    }

    // ---- groups

    static void classicGroup() throws Exception {
        String group = "golden-" + level;
        short version = at(ApiKeys.JOIN_GROUP);
        JoinGroupRequestData join = new JoinGroupRequestData().setGroupId(group).setSessionTimeoutMs(30000)
            .setMemberId("").setProtocolType("consumer");
        if (version >= 1) {
            join.setRebalanceTimeoutMs(5000);
        }
        if (version >= 8) {
            join.setReason("recorded");
        }
        for (String name : List.of("range", "cooperative-sticky")) {
            join.protocols().add(new JoinGroupRequestData.JoinGroupRequestProtocol().setName(name)
                .setMetadata(subscription(topic)));
        }
        JoinGroupResponseData joined = ask(ApiKeys.JOIN_GROUP, version, join);
        if (joined.errorCode() == Errors.MEMBER_ID_REQUIRED.code()) {
            joined = ask(ApiKeys.JOIN_GROUP, version, join.setMemberId(joined.memberId()));
        }
        check("join", joined.errorCode());
        String member = joined.memberId();
        int generation = joined.generationId();
        if (version >= 5) {  // the same group with a static member, whose join interrupts the first one's
            LeaveGroupRequestData leave = new LeaveGroupRequestData().setGroupId(group)
                .setMembers(List.of(new LeaveGroupRequestData.MemberIdentity().setMemberId(member)));
            ask(ApiKeys.LEAVE_GROUP, ApiKeys.LEAVE_GROUP.latestVersion(), leave);
            join.setMemberId("").setGroupInstanceId("instance-" + level);
            joined = ask(ApiKeys.JOIN_GROUP, version, join);
            check("static join", joined.errorCode());
            member = joined.memberId();
            generation = joined.generationId();
        }

        version = at(ApiKeys.SYNC_GROUP);
        SyncGroupRequestData sync = new SyncGroupRequestData().setGroupId(group).setGenerationId(generation)
            .setMemberId(member).setAssignments(List.of(new SyncGroupRequestData.SyncGroupRequestAssignment()
                .setMemberId(member).setAssignment(assignment(topic))));
        if (version >= 3) {
            sync.setGroupInstanceId(join.groupInstanceId());
        }
        if (version >= 5) {
            sync.setProtocolType("consumer").setProtocolName(joined.protocolName());
        }
        check("sync", ((SyncGroupResponseData) ask(ApiKeys.SYNC_GROUP, version, sync)).errorCode());

        HeartbeatRequestData beat = new HeartbeatRequestData().setGroupId(group).setGenerationId(generation)
            .setMemberId(member);
        if (at(ApiKeys.HEARTBEAT) >= 3) {
            beat.setGroupInstanceId(join.groupInstanceId());
        }
        check("heartbeat", ((HeartbeatResponseData) ask(ApiKeys.HEARTBEAT, beat)).errorCode());

        commitOffsets(group, generation, member, join.groupInstanceId());
        fetchOffsets(group);

        DescribeGroupsRequestData describe = new DescribeGroupsRequestData().setGroups(List.of(group, "missing"));
        if (at(ApiKeys.DESCRIBE_GROUPS) >= 3) {
            describe.setIncludeAuthorizedOperations(true);
        }
        ask(ApiKeys.DESCRIBE_GROUPS, describe);
        ListGroupsRequestData list = new ListGroupsRequestData();
        if (at(ApiKeys.LIST_GROUPS) >= 4) {
            list.setStatesFilter(List.of("Stable", "Empty"));
        }
        if (at(ApiKeys.LIST_GROUPS) >= 5) {
            list.setTypesFilter(List.of("classic", "consumer"));
        }
        ask(ApiKeys.LIST_GROUPS, list);

        version = at(ApiKeys.LEAVE_GROUP);
        LeaveGroupRequestData leave = new LeaveGroupRequestData().setGroupId(group);
        if (version < 3) {
            leave.setMemberId(member);
        } else {
            LeaveGroupRequestData.MemberIdentity identity = new LeaveGroupRequestData.MemberIdentity()
                .setMemberId(member).setGroupInstanceId(join.groupInstanceId());
            if (version >= 5) {
                identity.setReason("recorded");
            }
            leave.setMembers(List.of(identity));
        }
        ask(ApiKeys.LEAVE_GROUP, version, leave);

        OffsetDeleteRequestData delete = new OffsetDeleteRequestData().setGroupId(group);
        delete.topics().add(new OffsetDeleteRequestData.OffsetDeleteRequestTopic().setName(topic)
            .setPartitions(List.of(new OffsetDeleteRequestData.OffsetDeleteRequestPartition().setPartitionIndex(1))));
        ask(ApiKeys.OFFSET_DELETE, delete);
        ask(ApiKeys.DELETE_GROUPS, new DeleteGroupsRequestData().setGroupsNames(List.of(group, "missing")));
    }

    static void commitOffsets(String group, int generation, String member, String instance) throws Exception {
        short version = at(ApiKeys.OFFSET_COMMIT);
        OffsetCommitRequestData commit = new OffsetCommitRequestData().setGroupId(group)
            .setGenerationIdOrMemberEpoch(generation).setMemberId(member);
        if (version >= 2 && version <= 4) {
            commit.setRetentionTimeMs(3600000);
        }
        if (version >= 7) {
            commit.setGroupInstanceId(instance);
        }
        OffsetCommitRequestData.OffsetCommitRequestTopic one = new OffsetCommitRequestData.OffsetCommitRequestTopic();
        if (version >= 10) {
            one.setTopicId(topicId);
        } else {
            one.setName(topic);
        }
        for (int partition : List.of(0, 1, 7)) {
            OffsetCommitRequestData.OffsetCommitRequestPartition entry =
                new OffsetCommitRequestData.OffsetCommitRequestPartition().setPartitionIndex(partition)
                    .setCommittedOffset(partition + 5).setCommittedMetadata("note");
            if (version >= 6) {
                entry.setCommittedLeaderEpoch(0);
            }
            one.partitions().add(entry);
        }
        ask(ApiKeys.OFFSET_COMMIT, version, commit.setTopics(List.of(one)));
    }

    static void fetchOffsets(String group) throws Exception {
        short version = at(ApiKeys.OFFSET_FETCH);
        OffsetFetchRequestData fetch = new OffsetFetchRequestData();
        if (version >= 7) {
            fetch.setRequireStable(true);
        }
        if (version < 8) {
            ask(ApiKeys.OFFSET_FETCH, version, fetch.setGroupId(group).setTopics(List.of(
                new OffsetFetchRequestData.OffsetFetchRequestTopic().setName(topic)
                    .setPartitionIndexes(List.of(0, 1, 9)))));
            return;
        }
        OffsetFetchRequestData.OffsetFetchRequestTopics topics =
            new OffsetFetchRequestData.OffsetFetchRequestTopics().setPartitionIndexes(List.of(0, 9));
        if (version >= 10) {
            topics.setTopicId(topicId);
        } else {
            topics.setName(topic);
        }
        ask(ApiKeys.OFFSET_FETCH, version, fetch.setGroups(List.of(
            new OffsetFetchRequestData.OffsetFetchRequestGroup().setGroupId(group).setTopics(null),
            new OffsetFetchRequestData.OffsetFetchRequestGroup().setGroupId("missing").setTopics(List.of(topics)))));
    }

    static byte[] subscription(String name) {
        return MessageUtil.toVersionPrefixedByteBuffer((short) 1,
            new ConsumerProtocolSubscription().setTopics(List.of(name))).array();
    }

    static byte[] assignment(String name) {
        ConsumerProtocolAssignment assignment = new ConsumerProtocolAssignment();
        assignment.assignedPartitions().add(
            new ConsumerProtocolAssignment.TopicPartition().setTopic(name).setPartitions(List.of(0, 1)));
        return MessageUtil.toVersionPrefixedByteBuffer((short) 1, assignment).array();
    }

    static void consumerGroup() throws Exception {
        short version = at(ApiKeys.CONSUMER_GROUP_HEARTBEAT);
        String group = "golden-next-" + level;
        String member = version == 0 ? "" : Uuid.randomUuid().toString();
        int epoch = 0;
        for (int round = 0; round < 4; round++) {  // joins, then repeats until the assignment has come
            ConsumerGroupHeartbeatRequestData beat = new ConsumerGroupHeartbeatRequestData()
                .setGroupId(group).setMemberId(member).setMemberEpoch(epoch);
            if (epoch == 0) {
                beat.setInstanceId("instance").setRackId("rack").setRebalanceTimeoutMs(9000)
                    .setServerAssignor("uniform").setTopicPartitions(List.of())
                    .setSubscribedTopicNames(List.of(topic));
                if (version >= 1) {
                    beat.setSubscribedTopicRegex("golden-x.*");
                }
            } else {
                beat.setTopicPartitions(List.of(new ConsumerGroupHeartbeatRequestData.TopicPartitions()
                    .setTopicId(topicId).setPartitions(List.of(0, 1))));
            }
            ConsumerGroupHeartbeatResponseData done = ask(ApiKeys.CONSUMER_GROUP_HEARTBEAT, version, beat);
            check("consumer heartbeat", done.errorCode());
            member = done.memberId() == null ? member : done.memberId();
            epoch = done.memberEpoch();
            if (round == 0) {  // while the answer before this one carried an assignment
                ask(ApiKeys.CONSUMER_GROUP_DESCRIBE, new ConsumerGroupDescribeRequestData()
                    .setGroupIds(List.of(group, "missing")).setIncludeAuthorizedOperations(true));
            }
        }
        ask(ApiKeys.CONSUMER_GROUP_HEARTBEAT, version, new ConsumerGroupHeartbeatRequestData()
            .setGroupId(group).setMemberId(member).setMemberEpoch(-1).setInstanceId("instance"));
    }

    // ---- transactions

    static InitProducerIdResponseData initProducer(String id) throws Exception {
        InitProducerIdRequestData init =
            new InitProducerIdRequestData().setTransactionalId(id).setTransactionTimeoutMs(60000);
        InitProducerIdResponseData answer = null;
        for (int i = 0; i < 100; i++) {
            answer = ask(ApiKeys.INIT_PRODUCER_ID, init);
            if (answer.errorCode() != Errors.CONCURRENT_TRANSACTIONS.code()
                    && answer.errorCode() != Errors.COORDINATOR_LOAD_IN_PROGRESS.code()) {
                break;
            }
            Thread.sleep(50);
        }
        check("init producer", answer.errorCode());
        return answer;
    }

    static void produce(String id, InitProducerIdResponseData producer, int sequence) throws Exception {
        ProduceRequestData data = new ProduceRequestData().setTransactionalId(id).setAcks((short) -1).setTimeoutMs(5000);
        data.topicData().add(new ProduceRequestData.TopicProduceData().setName(topic).setPartitionData(List.of(
            new ProduceRequestData.PartitionProduceData().setIndex(0).setRecords(MemoryRecords.withTransactionalRecords(
                Compression.NONE, producer.producerId(), producer.producerEpoch(), sequence,
                new SimpleRecord("key".getBytes(), "value".getBytes()))))));
        ProduceResponseData answer = ask(ApiKeys.PRODUCE, (short) 9, data);
        check("produce", answer.responses().iterator().next().partitionResponses().get(0).errorCode());
    }

    static AddPartitionsToTxnRequestData.AddPartitionsToTxnTopicCollection txnTopics(List<Integer> partitions) {
        var topics = new AddPartitionsToTxnRequestData.AddPartitionsToTxnTopicCollection();
        topics.add(new AddPartitionsToTxnRequestData.AddPartitionsToTxnTopic().setName(topic).setPartitions(partitions));
        return topics;
    }

    /** Adds partitions; from version 4 in the form that brokers send each other. */
    static void addPartitions(String id, InitProducerIdResponseData producer, List<Integer> partitions)
            throws Exception {
        short version = at(ApiKeys.ADD_PARTITIONS_TO_TXN);
        AddPartitionsToTxnRequestData add = new AddPartitionsToTxnRequestData();
        if (version < 4) {
            add.setV3AndBelowTransactionalId(id).setV3AndBelowProducerId(producer.producerId())
                .setV3AndBelowProducerEpoch(producer.producerEpoch()).setV3AndBelowTopics(txnTopics(partitions));
        } else {
            add.transactions().add(new AddPartitionsToTxnRequestData.AddPartitionsToTxnTransaction()
                .setTransactionalId(id).setProducerId(producer.producerId())
                .setProducerEpoch(producer.producerEpoch()).setTopics(txnTopics(partitions)));
            add.transactions().add(new AddPartitionsToTxnRequestData.AddPartitionsToTxnTransaction()
                .setTransactionalId("missing").setProducerId(1).setVerifyOnly(true).setTopics(txnTopics(partitions)));
        }
        for (int i = 0; i < 100; i++) {
            AddPartitionsToTxnResponseData answer = ask(ApiKeys.ADD_PARTITIONS_TO_TXN, version, add);
            var topics = version < 4 ? answer.resultsByTopicV3AndBelow()
                : answer.resultsByTransaction().find(id).topicResults();
            short code = topics.iterator().next().resultsByPartition().iterator().next().partitionErrorCode();
            if (code != Errors.CONCURRENT_TRANSACTIONS.code()) {
                return;
            }
            Thread.sleep(50);
        }
    }

    static void transaction() throws Exception {
        String id = "golden-txn-" + level;
        InitProducerIdResponseData producer = initProducer(id);
        addPartitions(id, producer, List.of(0, 1));
        produce(id, producer, 0);
        String group = "golden-txn-group-" + level;
        ask(ApiKeys.ADD_OFFSETS_TO_TXN, new AddOffsetsToTxnRequestData().setTransactionalId(id)
            .setProducerId(producer.producerId()).setProducerEpoch(producer.producerEpoch()).setGroupId(group));

        short version = at(ApiKeys.TXN_OFFSET_COMMIT);
        TxnOffsetCommitRequestData.TxnOffsetCommitRequestPartition offset =
            new TxnOffsetCommitRequestData.TxnOffsetCommitRequestPartition().setPartitionIndex(0)
                .setCommittedOffset(1).setCommittedMetadata("note");
        if (version >= 2) {
            offset.setCommittedLeaderEpoch(0);
        }
        TxnOffsetCommitRequestData commit = new TxnOffsetCommitRequestData().setTransactionalId(id).setGroupId(group)
            .setProducerId(producer.producerId()).setProducerEpoch(producer.producerEpoch())
            .setTopics(List.of(new TxnOffsetCommitRequestData.TxnOffsetCommitRequestTopic().setName(topic)
                .setPartitions(List.of(offset))));
        ask(ApiKeys.TXN_OFFSET_COMMIT, version, commit);

        ask(ApiKeys.DESCRIBE_TRANSACTIONS, new DescribeTransactionsRequestData().setTransactionalIds(List.of(id, "missing")));
        version = at(ApiKeys.LIST_TRANSACTIONS);
        ListTransactionsRequestData list = new ListTransactionsRequestData()
            .setStateFilters(List.of("Ongoing", "Odd")).setProducerIdFilters(List.of(producer.producerId()));
        if (version >= 1) {
            list.setDurationFilter(0);
        }
        if (version >= 2) {
            list.setTransactionalIdPattern("golden.*");
        }
        ask(ApiKeys.LIST_TRANSACTIONS, version, list);
        ask(ApiKeys.DESCRIBE_PRODUCERS, new DescribeProducersRequestData().setTopics(List.of(
            new DescribeProducersRequestData.TopicRequest().setName(topic).setPartitionIndexes(List.of(0, 9)))));
        ask(ApiKeys.END_TXN, new EndTxnRequestData().setTransactionalId(id).setProducerId(producer.producerId())
            .setProducerEpoch(producer.producerEpoch()).setCommitted(level % 2 == 0));
    }

    /** A transaction that an administrator ends by its marker, as admin.abortTransaction does. */
    static void hangingTransaction() throws Exception {
        String id = "golden-hanging-" + level;
        InitProducerIdResponseData producer = initProducer(id);
        addPartitions(id, producer, List.of(0));
        produce(id, producer, 0);
        short version = at(ApiKeys.WRITE_TXN_MARKERS);
        WriteTxnMarkersRequestData.WritableTxnMarker marker = new WriteTxnMarkersRequestData.WritableTxnMarker()
            .setProducerId(producer.producerId()).setProducerEpoch(producer.producerEpoch())
            .setTransactionResult(false).setCoordinatorEpoch(0).setTopics(List.of(
                new WriteTxnMarkersRequestData.WritableTxnMarkerTopic().setName(topic).setPartitionIndexes(List.of(0, 9))));
        if (version >= 2) {
            marker.setTransactionVersion((byte) 1);
        }
        ask(ApiKeys.WRITE_TXN_MARKERS, version, new WriteTxnMarkersRequestData().setMarkers(List.of(marker)));
    }

    // ---- administration

    static void quotas() throws Exception {
        ask(ApiKeys.ALTER_CLIENT_QUOTAS, new AlterClientQuotasRequestData().setEntries(List.of(
            new AlterClientQuotasRequestData.EntryData()
                .setEntity(List.of(
                    new AlterClientQuotasRequestData.EntityData().setEntityType("user").setEntityName("somebody"),
                    new AlterClientQuotasRequestData.EntityData().setEntityType("client-id").setEntityName(null)))
                .setOps(List.of(
                    new AlterClientQuotasRequestData.OpData().setKey("producer_byte_rate").setValue(1e6 + level),
                    new AlterClientQuotasRequestData.OpData().setKey("request_percentage").setValue(99.5),
                    new AlterClientQuotasRequestData.OpData().setKey("consumer_byte_rate").setRemove(true))),
            new AlterClientQuotasRequestData.EntryData()
                .setEntity(List.of(new AlterClientQuotasRequestData.EntityData().setEntityType("user").setEntityName("other")))
                .setOps(List.of(new AlterClientQuotasRequestData.OpData().setKey("no_such_quota").setValue(1))))));
        ask(ApiKeys.DESCRIBE_CLIENT_QUOTAS, new DescribeClientQuotasRequestData().setStrict(false).setComponents(List.of(
            new DescribeClientQuotasRequestData.ComponentData().setEntityType("user").setMatchType((byte) 0).setMatch("somebody"),
            new DescribeClientQuotasRequestData.ComponentData().setEntityType("client-id").setMatchType((byte) 2).setMatch(null))));
    }

    static void logDirs() throws Exception {
        DescribeLogDirsRequestData describe = new DescribeLogDirsRequestData();
        describe.setTopics(new DescribeLogDirsRequestData.DescribableLogDirTopicCollection());
        describe.topics().add(new DescribeLogDirsRequestData.DescribableLogDirTopic().setTopic(topic).setPartitions(List.of(0, 1)));
        DescribeLogDirsResponseData found = ask(ApiKeys.DESCRIBE_LOG_DIRS, describe);
        AlterReplicaLogDirsRequestData alter = new AlterReplicaLogDirsRequestData();
        for (String path : List.of(found.results().get(0).logDir(), "/no/such/folder")) {
            AlterReplicaLogDirsRequestData.AlterReplicaLogDir dir = new AlterReplicaLogDirsRequestData.AlterReplicaLogDir().setPath(path);
            dir.topics().add(new AlterReplicaLogDirsRequestData.AlterReplicaLogDirTopic().setName(topic).setPartitions(List.of(path.startsWith("/no") ? 1 : 0)));
            alter.dirs().add(dir);
        }
        ask(ApiKeys.ALTER_REPLICA_LOG_DIRS, alter);

        DescribeUserScramCredentialsRequestData users = new DescribeUserScramCredentialsRequestData();
        users.setUsers(List.of(new DescribeUserScramCredentialsRequestData.UserName().setName("nobody")));
        ask(ApiKeys.DESCRIBE_USER_SCRAM_CREDENTIALS, users);
    }

    static void configResources() throws Exception {
        ListConfigResourcesRequestData list = new ListConfigResourcesRequestData();
        if (at(ApiKeys.LIST_CONFIG_RESOURCES) >= 1) {
            list.setResourceTypes(List.of((byte) 2, (byte) 4));
        }
        ask(ApiKeys.LIST_CONFIG_RESOURCES, list);
    }

    static void check(String what, short code) {
        if (code != 0) {
            throw new IllegalStateException(what + " answered " + Errors.forCode(code));
        }
    }

    // ---- where replicas live

    static void replicas() throws Exception {
        short elect = at(ApiKeys.ELECT_LEADERS);
        ElectLeadersRequestData.TopicPartitionsCollection elections =
            new ElectLeadersRequestData.TopicPartitionsCollection();
        elections.add(new ElectLeadersRequestData.TopicPartitions().setTopic(topic)
            .setPartitions(List.of(0, 1, 7)));
        ElectLeadersRequestData leaders =
            new ElectLeadersRequestData().setTopicPartitions(elections).setTimeoutMs(5000);
        ask(ApiKeys.ELECT_LEADERS, elect, leaders);

        AlterPartitionReassignmentsRequestData alter =
            new AlterPartitionReassignmentsRequestData().setTimeoutMs(5000);
        alter.topics().add(new AlterPartitionReassignmentsRequestData.ReassignableTopic().setName(topic)
            .setPartitions(List.of(
                new AlterPartitionReassignmentsRequestData.ReassignablePartition()
                    .setPartitionIndex(0).setReplicas(List.of(99, 98)),
                new AlterPartitionReassignmentsRequestData.ReassignablePartition()
                    .setPartitionIndex(1).setReplicas(null))));
        ask(ApiKeys.ALTER_PARTITION_REASSIGNMENTS, alter);

        ListPartitionReassignmentsRequestData list =
            new ListPartitionReassignmentsRequestData().setTimeoutMs(5000);
        ask(ApiKeys.LIST_PARTITION_REASSIGNMENTS, list.setTopics(List.of(
            new ListPartitionReassignmentsRequestData.ListPartitionReassignmentsTopics().setName(topic)
                .setPartitionIndexes(List.of(0, 1)))));
        ask(ApiKeys.UNREGISTER_BROKER, new UnregisterBrokerRequestData().setBrokerId(99));
    }
}
