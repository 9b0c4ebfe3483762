// Proves that the option file is read line by line with errors naming line, key, value and limit,
// that flags win over --set and --set over the file, and that describe_broker tells where values
// come from.
#include "lib/config/broker_config.h"

#include <doctest/doctest.h>

#include <set>

using namespace qtool;
using namespace qtool::config;

namespace {

BrokerConfig build_from(std::string_view file) {
    BrokerConfigBuilder builder;
    REQUIRE(builder.add_file("f", file).has_value());
    auto broker = builder.build();
    REQUIRE(broker.has_value());
    return *broker;
}

std::string file_error(std::string_view text) {
    BrokerConfigBuilder builder;
    const auto added = builder.add_file("f", text);
    if (!added) {
        CHECK(added.error().code == Code::invalid_config);
        return added.error().detail;
    }
    const auto broker = builder.build();
    REQUIRE_FALSE(broker.has_value());
    CHECK(broker.error().code == Code::invalid_config);
    return broker.error().detail;
}

bool has(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

const DescribedOption& find(const std::vector<DescribedOption>& options, std::string_view name) {
    for (const DescribedOption& option : options) {
        if (option.name == name) {
            return option;
        }
    }
    FAIL("not described");
    return options.front();
}

} // namespace

TEST_CASE("broker config: nothing set gives the defaults of the struct") {
    const auto broker = BrokerConfigBuilder().build();
    REQUIRE(broker.has_value());
    CHECK(*broker == BrokerConfig());
}

TEST_CASE("broker config: every served option can be set and reaches its field") {
    const BrokerConfig broker = build_from("node.id=7\n"
                                           "broker.rack = r1 \n"
                                           "listeners=PLAINTEXT://10.0.0.1:9092,127.0.0.1:0\n"
                                           "advertised.listeners=b.example:1\n"
                                           "admin.listeners=[::1]:8080\n"
                                           "insecure.allow.remote=true\n"
                                           "ready.file=/run/x\n"
                                           "log.dirs=/data\n"
                                           "cores=3\n"
                                           "log.level=WARN\n"
                                           "num.partitions=4\n"
                                           "default.replication.factor=2\n"
                                           "auto.create.topics.enable=false\n"
                                           "delete.topic.enable=false\n"
                                           "log.retention.check.interval.ms=5\n"
                                           "producer.id.expiration.ms=6\n"
                                           "transaction.max.timeout.ms=21\n"
                                           "transaction.abort.timed.out.transaction.cleanup."
                                           "interval.ms=22\n"
                                           "transaction.remove.expired.transaction.cleanup."
                                           "interval.ms=23\n"
                                           "transactional.id.expiration.ms=24\n"
                                           "transaction.state.log.num.partitions=25\n"
                                           "transaction.state.log.replication.factor=2\n"
                                           "transaction.state.log.min.isr=3\n"
                                           "transaction.state.log.segment.bytes=1048577\n"
                                           "socket.request.max.bytes=8\n"
                                           "fetch.max.bytes=1024\n"
                                           "max.connections=9\n"
                                           "connections.max.idle.ms=-1\n"
                                           "max.incremental.fetch.session.cache.slots=10\n"
                                           "connection.inflight.requests.max=11\n"
                                           "connection.output.bytes.max=65536\n");
    CHECK(broker.node_id == 7);
    CHECK(broker.rack == "r1");
    CHECK(broker.listeners == std::vector<Endpoint>{{"10.0.0.1", 9092}, {"127.0.0.1", 0}});
    CHECK(broker.advertised_listeners == std::vector<Endpoint>{{"b.example", 1}});
    CHECK(broker.admin_listeners == std::vector<Endpoint>{{"::1", 8080}});
    CHECK(broker.insecure_allow_remote);
    CHECK(broker.ready_file == "/run/x");
    CHECK(broker.log_dirs == std::vector<std::string>{"/data"});
    CHECK(broker.cores == 3);
    CHECK(broker.log_level == LogLevel::warn);
    CHECK(broker.num_partitions == 4);
    CHECK(broker.default_replication_factor == 2);
    CHECK_FALSE(broker.auto_create_topics_enable);
    CHECK_FALSE(broker.delete_topic_enable);
    CHECK(broker.retention_check_interval_ms == 5);
    CHECK(broker.producer_id_expiration_ms == 6);
    CHECK(broker.transaction_timeout_max_ms == 21);
    CHECK(broker.transaction_abort_interval_ms == 22);
    CHECK(broker.transaction_expire_interval_ms == 23);
    CHECK(broker.transactional_id_expiration_ms == 24);
    CHECK(broker.transaction_state_partitions == 25);
    CHECK(broker.transaction_state_replication_factor == 2);
    CHECK(broker.transaction_state_min_isr == 3);
    CHECK(broker.transaction_state_segment_bytes == 1'048'577);
    CHECK(broker.socket_request_bytes_max == 8);
    CHECK(broker.fetch_bytes_max == 1024);
    CHECK(broker.connections_max == 9);
    CHECK(broker.connections_idle_max_ms == -1);
    CHECK(broker.fetch_session_slots_max == 10);
    CHECK(broker.connection_inflight_requests_max == 11);
    CHECK(broker.connection_output_bytes_max == 65536);
}

TEST_CASE("broker config: no served option is accepted and ignored") {
    // Set each option alone to another value: the typed configuration must differ from the defaults
    // in more than the list of settings.
    const std::map<std::string, std::string, std::less<>> special = {
        {"broker.session.timeout.ms", "2000"},
        {"listeners", "127.0.0.1:1"},
        {"advertised.listeners", "a:1"},
        {"admin.listeners", "127.0.0.1:1"},
        {"etcd.endpoints", "http://a:2379,https://b:2379/"},
        {"log.message.timestamp.type", "LogAppendTime"},
        {"log.level", "error"},
        {"log.format", "json"},
        {"socket.request.max.bytes", "5000000"},
        {"compression.gzip.level", "9"},
        {"compression.lz4.level", "17"},
        {"compression.type", "zstd"},
        {"compression.zstd.level", "22"},
        {"log.cleaner.min.cleanable.ratio", "0.25"},
        {"log.cleanup.policy", "compact"},
        {"group.consumer.assignment.interval.ms", "2000"}, // within the bounds other rows set
        {"group.consumer.heartbeat.interval.ms", "6000"},
        {"group.consumer.session.timeout.ms", "50000"},
        {"group.consumer.min.assignment.interval.ms", "500"},
        {"group.consumer.min.heartbeat.interval.ms", "4000"},
        {"group.consumer.min.session.timeout.ms", "40000"},
        {"group.consumer.max.assignment.interval.ms", "20000"},
        {"group.consumer.max.heartbeat.interval.ms", "16000"},
        {"group.consumer.max.session.timeout.ms", "70000"},
        {"group.consumer.assignors", "range"},
        {"group.consumer.migration.policy", "disabled"},
        {"replica.selector.class", "org.apache.kafka.common.replica.RackAwareReplicaSelector"},
    };
    // Read from the settings where they are used: tests/unit/server/broker/dynamic_options_test.cc.
    const std::set<std::string, std::less<>> untyped = {"follower.replication.throttled.rate",
                                                        "leader.replication.throttled.rate"};
    for (const OptionRow& row : broker_options().rows) {
        if (row.served == Served::default_only) {
            continue;
        }
        CAPTURE(row.name);
        BrokerConfigBuilder builder;
        const auto known = special.find(row.name);
        bool added = false;
        for (const std::string& value :
             {known != special.end() ? known->second : std::string("true"), std::string("false"),
              std::string("2000000"), std::string("250"), std::string("text")}) {
            if ((row.default_is_null || value != row.default_text) &&
                builder.add_set(std::string(row.name) + "=" + value)) {
                added = true;
                break;
            }
        }
        REQUIRE(added);
        auto broker = builder.build();
        REQUIRE(broker.has_value());
        CHECK(broker->settings.size() == 1);
        broker->settings.clear();
        CHECK((*broker == BrokerConfig()) == untyped.contains(row.name));
    }
}

TEST_CASE("broker config: flags win over --set, --set over the file, in any order of calls") {
    BrokerConfigBuilder builder;
    REQUIRE(builder.add_flag("--node-id", "node.id", "3").has_value());
    REQUIRE(builder.add_set("node.id=2").has_value());
    REQUIRE(builder.add_set("cores=1").has_value());
    REQUIRE(builder.add_set("cores=2").has_value());
    REQUIRE(builder.add_set("broker.rack=").has_value()); // unsets what the file says
    REQUIRE(
        builder.add_file("f", "node.id=1\ncores=4\nnum.partitions=9\nbroker.rack=r").has_value());
    const auto broker = builder.build();
    REQUIRE(broker.has_value());
    CHECK(broker->node_id == 3);
    CHECK(broker->cores == 2);
    CHECK(broker->num_partitions == 9);
    CHECK_FALSE(broker->rack.has_value());
    CHECK(broker->settings.at("node.id").origin == "--node-id");
    CHECK(broker->settings.at("num.partitions").origin == "f line 3");
}

TEST_CASE("broker config: every flag is short for an option") {
    for (const BrokerFlag& flag : broker_flags()) {
        CAPTURE(flag.flag);
        CHECK(find_option(broker_options(), flag.option) != nullptr);
    }
}

TEST_CASE("properties: blanks, comments, CRLF and '=' in values") {
    const auto properties =
        parse_properties("f", "# comment\r\n\r\n  ! other\n a = b=c # kept \r\nd=\nlast=1");
    REQUIRE(properties.has_value());
    REQUIRE(properties->size() == 3);
    CHECK((*properties)[0].key == "a");
    CHECK((*properties)[0].value == "b=c # kept");
    CHECK((*properties)[0].line == 4);
    CHECK((*properties)[1].value.empty());
    CHECK((*properties)[2].line == 6);
}

TEST_CASE("broker config: errors name file, line, key, value and limit") {
    CHECK(file_error("node.id=1\nnum.partitions=0\n") ==
          "f line 2: invalid value '0' for num.partitions: must be at least 1");
    CHECK(file_error("\nnumpartitions=1") ==
          "f line 2: unknown broker option 'numpartitions'; did you mean 'num.partitions'?");
    CHECK(has(file_error("process.roles=broker"),
              "f line 1: broker option 'process.roles' is known"));
    CHECK(file_error("node.id=1\nnode.id=1") == "f line 2: node.id was set in line 1 already");
    CHECK(file_error("node.id") == "f line 1: expected key=value, got 'node.id'");
    CHECK(has(file_error("=1"), "expected key=value"));
    CHECK(has(file_error("log.dirs=a,\\\nb"), "f line 1: a value cannot go on"));
    CHECK(has(file_error("log.dirs=a\x01"), "control bytes"));
    CHECK(has(file_error(std::string(kPropertiesSizeMax + 1, '#')), "1048577 bytes"));
    CHECK(has(file_error("log.dirs="), "must name at least one"));
    CHECK(has(file_error("listeners=0.0.0.0:9092"), "--insecure-allow-remote"));
    CHECK(has(file_error("listeners=:1\ninsecure.allow.remote=true"), "--advertise"));
    CHECK(has(file_error("admin.listeners=:80"), "--insecure-allow-remote"));
    CHECK(has(file_error("advertised.listeners=a:1,b:2"), "told the same one"));
    CHECK(has(file_error("advertised.listeners=0.0.0.0:1"), "no client can connect"));
    CHECK(has(file_error("etcd.endpoints=a:2379"), "http://HOST:2379"));
    CHECK(has(file_error("etcd.endpoints=http://a:2379,http://"), "http://HOST:2379"));
    CHECK(has(file_error("etcd.endpoints=http://a:2379/v3"), "http://HOST:2379"));
    CHECK(has(file_error("cluster.name=a/b"), "cluster.name"));
    BrokerConfigBuilder builder;
    CHECK(has(builder.add_set("node.id").error().detail, "--set takes key=value"));
    CHECK(builder.add_flag("--cores", "cores", "x").error().detail ==
          "--cores: invalid value 'x' for cores: not a whole number; must be 0 to 256");
}

TEST_CASE("describe_broker: every row, with source, synonyms and type") {
    const auto options = describe_broker(build_from("num.partitions=4\n"));
    CHECK(options.size() == broker_options().rows.size());
    const DescribedOption& set = find(options, "num.partitions");
    CHECK(set.value == "4");
    CHECK_FALSE(set.is_default);
    CHECK(set.source == ConfigSource::static_broker);
    CHECK(set.read_only);
    CHECK(set.type == OptionType::int32);
    REQUIRE(set.synonyms.size() == 2);
    CHECK(set.synonyms[0].value == "4");
    CHECK(set.synonyms[1].value == "1");
    CHECK(set.synonyms[1].source == ConfigSource::built_in);

    const DescribedOption& unset = find(options, "broker.rack");
    CHECK_FALSE(unset.value.has_value());
    CHECK(unset.is_default);
    CHECK(unset.synonyms.empty());
}
