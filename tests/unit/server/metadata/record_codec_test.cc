// Proves that every record comes back as written, and that damaged or newer ones are told apart.
#include "lib/base/prng.h"
#include "server/metadata/record_codec.h"
#include "tests/unit/server/metadata/metadata_world.h"

#include <doctest/doctest.h>

using namespace qtool;
using namespace qtool::metadata;
using namespace qtool::test;

TEST_CASE("keys: what is written is parsed back") {
    const TopicId id = make_uuid(0x0123456789abcdef, 0xfedcba9876543210);
    Key key;
    key.kind = KeyKind::cluster;
    CHECK(parse_key(cluster_key()).value() == key);
    key.kind = KeyKind::producer_ids;
    CHECK(parse_key(producer_ids_key()).value() == key);
    key.kind = KeyKind::broker;
    key.broker = BrokerId(12);
    CHECK(broker_key(BrokerId(12)) == "brokers/12");
    CHECK(parse_key("brokers/12").value() == key);
    key = {};
    key.kind = KeyKind::topic;
    key.topic_name = "a.b_c-D9";
    CHECK(parse_key(topic_key("a.b_c-D9")).value() == key);
    key = {};
    key.topic_id = id;
    key.kind = KeyKind::topic_configs;
    CHECK(parse_key(topic_configs_key(id)).value() == key);
    key.kind = KeyKind::trash;
    CHECK(parse_key(trash_key(id)).value() == key);
    key.kind = KeyKind::partition;
    key.partition = 4999;
    CHECK(partition_key(id, 4999) == "partitions/" + to_string(id) + "/4999");
    CHECK(parse_key(partition_key(id, 4999)).value() == key);
}

TEST_CASE("keys: bad ones are damage, strange ones a newer version") {
    const std::string id = to_string(topic_id(1));
    for (const std::string& key :
         {std::string("brokers/"), std::string("brokers/-1"), std::string("brokers/01"),
          std::string("brokers/2147483648"), std::string("brokers/1x"), std::string("topics/"),
          std::string("topics/.."), std::string("topics/a/b"), std::string("partitions/"),
          "partitions/" + id, "partitions/" + id + "/", "partitions/" + id + "/-1",
          "partitions/" + id + "/00", "partitions/" + id + "/1/2", std::string("partitions/x/1"),
          std::string("configs/topics/x"), "trash/" + to_string(TopicId{})}) {
        CAPTURE(key);
        CHECK(parse_key(key).error().code == Code::storage_damaged);
    }
    for (const std::string_view key :
         {"", "clusters", "acls/x", "configs/planets/1", "ids/share"}) {
        CAPTURE(key);
        CHECK(parse_key(key).error().code == Code::unsupported_version);
    }
}

TEST_CASE("values: the text is the documented one") {
    PartitionImage partition;
    partition.replicas = {BrokerId(2), BrokerId(1)};
    partition.isr = {BrokerId(1)};
    partition.leader = BrokerId(1);
    partition.leader_epoch = LeaderEpoch(4);
    partition.partition_epoch = 6;
    CHECK(encode_partition(partition) ==
          R"({"isr":[1],"leader":1,"leader_epoch":4,"partition_epoch":6,"replicas":[2,1],)"
          R"("version":1})");
    CHECK(encode_producer_ids(3000) == R"({"next":3000,"version":1})");
    CHECK(encode_trash("old") == R"({"name":"old","version":1})");
}

TEST_CASE("values: what a cluster adds is written only when it says something") {
    PartitionImage partition;
    partition.replicas = {BrokerId(1), BrokerId(2), BrokerId(3), BrokerId(4)};
    partition.isr = {BrokerId(1)};
    partition.elr = {BrokerId(2)};
    partition.last_known_leader = BrokerId(0);
    partition.adding_replicas = {BrokerId(3)};
    partition.removing_replicas = {BrokerId(4)};
    CHECK(encode_partition(partition) ==
          R"({"adding_replicas":[3],"elr":[2],"isr":[1],"last_known_leader":0,"leader":-1,)"
          R"("leader_epoch":0,"partition_epoch":0,"removing_replicas":[4],"replicas":[1,2,3,4],)"
          R"("version":1})");
    CHECK(decode_partition("k", encode_partition(partition)).value() == partition);
    for (const char* field : {"isr", "elr", "adding_replicas", "removing_replicas"}) {
        CAPTURE(field);
        const std::string value = std::string(R"({"replicas":[1],"isr":[1],"leader":1,)") +
                                  R"("leader_epoch":0,"partition_epoch":0,"version":1,")" + field +
                                  R"(":[9]})";
        CHECK(decode_partition("k", value).error().code == Code::storage_damaged);
    }

    BrokerImage broker;
    broker.id = BrokerId(3);
    broker.host = "h";
    broker.port = 1;
    CHECK(encode_broker(broker) == R"({"host":"h","port":1,"version":1})");
    broker.is_cordoned = true;
    broker.incarnation = topic_id(1);
    broker.directory_ids = {topic_id(2), topic_id(3)};
    broker.start_count = 7;
    CHECK(decode_broker("k", broker.id, encode_broker(broker)).value() == broker);
    CHECK(decode_live("k", encode_live(topic_id(4))).value() == topic_id(4));
    CHECK(decode_live("k", R"({"incarnation":"x","version":1})").error().code ==
          Code::storage_damaged);
    CHECK(decode_controller("k", encode_controller(BrokerId(0))).value() == BrokerId(0));
}

TEST_CASE("values: every record comes back as written") {
    Prng prng(7);
    for (int i = 0; i < 200; i++) {
        PartitionImage partition;
        for (uint64_t r = 0; r < 1 + prng.below(4); r++) {
            partition.replicas.emplace_back(static_cast<int32_t>(r * 1000 + prng.below(1000)));
        }
        partition.isr.assign(partition.replicas.begin(),
                             partition.replicas.begin() +
                                 prng.between(0, static_cast<int64_t>(partition.replicas.size())));
        partition.leader = partition.isr.empty() ? kNoBroker : partition.isr.back();
        partition.leader_epoch = LeaderEpoch(static_cast<int32_t>(prng.below(INT32_MAX)));
        partition.partition_epoch = static_cast<int32_t>(prng.below(INT32_MAX));
        CHECK(decode_partition("k", encode_partition(partition)).value() == partition);
    }
    BrokerImage broker;
    broker.id = BrokerId(3);
    broker.host = "h\"ö\n";
    broker.port = 65535;
    CHECK(decode_broker("k", broker.id, encode_broker(broker)).value() == broker);
    broker.rack = "r";
    broker.admin_host = "::1";
    broker.admin_port = 1;
    CHECK(decode_broker("k", broker.id, encode_broker(broker)).value() == broker);
    const TopicRecord topic{topic_id(5), 7};
    CHECK(decode_topic("k", encode_topic(topic)).value() == topic);
    const std::map<std::string, std::string> configs{{"a", ""}, {"b", "x=y,\"z\""}};
    CHECK(decode_configs("k", encode_configs(configs)).value() == configs);
    CHECK(decode_configs("k", encode_configs({})).value().empty());
    CHECK(decode_producer_ids("k", encode_producer_ids(INT64_MAX)).value() == INT64_MAX);
    CHECK(decode_cluster("k", encode_cluster("id")).value() == "id");
    CHECK(decode_trash("k", encode_trash("name")).value() == "name");
}

TEST_CASE("values: bytes that are no text are written without throwing") {
    BrokerImage broker;
    broker.host = "\xff\xfe";
    CHECK(decode_broker("k", broker.id, encode_broker(broker)));
}

TEST_CASE("values: a newer version is told from damage, and the key is named") {
    const Error newer = decode_topic("topics/a", R"({"version":2,"id":5})").error();
    CHECK(newer.code == Code::unsupported_version);
    CHECK(newer.detail.find("topics/a") != std::string::npos);
    CHECK(newer.detail.find("newer") != std::string::npos);
    // A field this version does not know is no obstacle.
    CHECK(decode_trash("k", R"({"version":1,"name":"a","more":[]})").value() == "a");
}

TEST_CASE("values: damage") {
    const std::string id = to_string(topic_id(1));
    for (const std::string& value :
         {std::string(), std::string("null"), std::string("[]"), std::string("{"),
          std::string(R"({"id":")" + id + R"(","partition_count":1})"),
          std::string(R"({"version":0,"id":")" + id + R"(","partition_count":1})"),
          std::string(R"({"version":"1","id":")" + id + R"(","partition_count":1})"),
          std::string(R"({"version":1,"partition_count":1})"),
          std::string(R"({"version":1,"id":"x","partition_count":1})"),
          std::string(R"({"version":1,"id":")" + id + R"("})"),
          std::string(R"({"version":1,"id":")" + id + R"(","partition_count":0})"),
          std::string(R"({"version":1,"id":")" + id + R"(","partition_count":1.5})"),
          std::string(R"({"version":1,"id":")" + id + R"(","partition_count":4294967297})")}) {
        CAPTURE(value);
        CHECK(decode_topic("k", value).error().code == Code::storage_damaged);
    }
    const auto partition = [](const std::string& replicas, const std::string& isr,
                              const std::string& leader) {
        return R"({"version":1,"leader_epoch":0,"partition_epoch":0,"replicas":)" + replicas +
               R"(,"isr":)" + isr + R"(,"leader":)" + leader + "}";
    };
    CHECK(decode_partition("k", partition("[1,2]", "[]", "-1")));
    for (const std::string& value :
         {partition("[]", "[]", "-1"), partition("[1,1]", "[1]", "1"), partition("[1]", "[2]", "1"),
          partition("[1]", "[1]", "2"), partition("[1]", "[1]", "-2"),
          partition("[-1]", "[]", "-1"), partition("1", "[]", "-1"),
          partition("[\"1\"]", "[]", "-1"), partition("[1]", "[1]", "99999999999")}) {
        CAPTURE(value);
        CHECK(decode_partition("k", value).error().code == Code::storage_damaged);
    }
    CHECK_FALSE(decode_configs("k", R"({"version":1,"configs":{"a":1}})"));
    CHECK_FALSE(decode_configs("k", R"({"version":1,"configs":[]})"));
    CHECK_FALSE(decode_producer_ids("k", R"({"version":1,"next":-1})"));
    CHECK_FALSE(decode_producer_ids("k", R"({"version":1,"next":18446744073709551615})"));
    CHECK_FALSE(decode_broker("k", BrokerId(1), R"({"version":1,"host":"a","port":65536})"));
    CHECK_FALSE(decode_cluster("k", R"({"version":1,"id":""})"));
}
