// Proves that every type of the JSON admin protocol survives its way through JSON, that shapes and
// types are checked, and that each error code has a status and a name that leads back to it.
#include "lib/admin/codec.h"

#include <doctest/doctest.h>

using namespace qtool;
using namespace qtool::admin;

namespace {

template <class T>
void check_round_trip(const T& value) {
    const std::string text = encode(value);
    CAPTURE(text);
    const Result<T> back = decode<T>(text);
    REQUIRE_MESSAGE(back, (back ? "" : back.error().detail));
    CHECK(*back == value);
}

} // namespace

TEST_CASE("codec: each type comes back as it went") {
    check_round_trip(ClusterInfo{.cluster_id = "c",
                                 .broker_id = 1,
                                 .controller_id = -1,
                                 .version = "0.1",
                                 .started_ms = 1'700'000'000'000,
                                 .brokers = {{1, "h", 9092, "r", "h", 8080},
                                             {2, "i", 1, "", "i", 2, false, true, 77, 3, 9, 8}},
                                 .topic_count = 3,
                                 .partition_count = 4,
                                 .offline_partition_count = 1,
                                 .under_replicated_partition_count = 2,
                                 .under_min_isr_partition_count = 5,
                                 .problems = {"all is \"lost\"", "b"},
                                 .log_dirs = {{"/a", "id", "", 1, 2, 3, true, 4},
                                              {"/b", "id2", "cannot read", 0, 0, 0, false, 0}}});
    check_round_trip(TopicList{});
    check_round_trip(TopicList{{{"a", "id", true, 1, 2}, {"b", "id2", false, 3, 1}}});
    check_round_trip(TopicSummary{"a\"\n", "id", false, 1, 1});
    check_round_trip(
        TopicDescription{.name = "t",
                         .id = "id",
                         .internal = false,
                         .partitions = {{0, 1, 7, {1, 2}, {1}, 0, 10, 9, 4096, "/a", "/b", 5},
                                        {1, -1, 0, {2}, {}, {}, {}, {}, {}, {}, {}, {}}},
                         .configs = {{"retention.ms", "-1", "topic", false, false, false, "doc"},
                                     {"password", std::nullopt, "default", true, true, true, ""}}});
    PartitionDescription replicated;
    replicated.replicas = {1, 2, 3};
    replicated.isr = {1};
    replicated.elr = {2};
    replicated.adding_replicas = {3};
    replicated.removing_replicas = {2};
    replicated.replica_states = {{1, true, true, 100, 0, 4096}, {2, false, false, {}, {}, {}}};
    TopicDescription of_three;
    of_three.name = "t";
    of_three.partitions = {replicated};
    check_round_trip(of_three);
    check_round_trip(CreateTopicRequest{.name = "t"});
    check_round_trip(CreateTopicRequest{"t", 12, 3, {{"cleanup.policy", "compact"}}, true});
    check_round_trip(AlterTopicRequest{});
    check_round_trip(AlterTopicRequest{{{ConfigOp::set, "a", "1"},
                                        {ConfigOp::remove, "b", ""},
                                        {ConfigOp::append, "c", "x"},
                                        {ConfigOp::subtract, "d", "y"}},
                                       24,
                                       true});
    check_round_trip(BrokerConfigs{3, {{"a", "1", "file", false, true, false, ""}}});
    check_round_trip(MoveList{1, {{"t", 2, "/a", "/b", 70, 8}}});
    check_round_trip(MovePartition{"t", 2, "/b"});
    check_round_trip(ErrorBody{Code::topic_exists, "topic exists", "topic 't' exists"});
}

TEST_CASE("codec: the text of a description is fixed, field by field") {
    CHECK(encode(TopicSummary{"t", "i", false, 2, 1}) ==
          R"({"name":"t","id":"i","internal":false,"partition_count":2,"replication_factor":1})");
    CHECK(encode(CreateTopicRequest{.name = "t"}) ==
          R"({"name":"t","configs":{},"validate_only":false})");
    CHECK(
        encode_error({Code::unknown_topic, "no topic 'x'"}) ==
        R"({"error":{"code":"unknown_topic","message":"unknown topic","detail":"no topic 'x'"}})");
}

TEST_CASE("codec: a request of another shape is refused and the field is named") {
    struct Case {
        const char* text;
        const char* named;
    };
    for (const Case& c : {
             Case{R"([])", "object"},
             Case{R"({})", "'name' is missing"},
             Case{R"({"name":1})", "'name'"},
             Case{R"({"name":"t","partitions":"3"})", "'partitions'"},
             Case{R"({"name":"t","partitions":3.5})", "'partitions'"},
             Case{R"({"name":"t","partitions":2147483648})", "'partitions'"},
             Case{R"({"name":"t","partitions":-2147483649})", "'partitions'"},
             Case{R"({"name":"t","configs":{"a":1}})", "'configs.a'"},
             Case{R"({"name":"t","validate_only":"yes"})", "'validate_only'"},
             Case{R"({"name":"t","partitons":3})", "'partitons'"},
         }) {
        CAPTURE(c.text);
        const auto result = decode<CreateTopicRequest>(c.text);
        REQUIRE(!result);
        CHECK(result.error().code == Code::invalid_request);
        CHECK(result.error().detail.find(c.named) != std::string::npos);
    }
    for (const char* text :
         {R"({"configs":[{"op":"put","name":"a","value":"b"}]})", R"({"configs":[1]})",
          R"({"configs":[{"op":"set","name":"a"}]})", R"({"configs":{}})",
          R"({"configs":[{"op":"set","name":"a","value":"b"},{"op":"delete","name":"a"}]})"}) {
        CAPTURE(text);
        CHECK(decode<AlterTopicRequest>(text).error().code == Code::invalid_request);
    }
}

TEST_CASE("codec: text that is not JSON, or nested without end, is malformed") {
    for (const std::string& text :
         {std::string(), std::string("{"), std::string("{\"name\":\"\xff\"}"), std::string("{} {}"),
          std::string(100'000, '[')}) {
        CHECK(decode<CreateTopicRequest>(text).error().code == Code::malformed);
    }
}

TEST_CASE("codec: a response of a newer broker may have more fields and unknown error codes") {
    CHECK(decode<TopicList>(R"({"topics":[],"next":1})"));
    const auto error = decode<ErrorBody>(R"({"error":{"code":"tea_pot","message":"short"}})");
    REQUIRE(error);
    CHECK(error->code == Code::internal);
    CHECK(error->message == "tea_pot: short");
}

TEST_CASE("codec: every code has a status of an error and a name that leads back") {
    for (int i = 0; i <= static_cast<int>(Code::internal); i++) {
        const auto code = static_cast<Code>(i);
        CAPTURE(to_string(code));
        CHECK(http_status(code) >= 400);
        CHECK(http_status(code) < 600);
        REQUIRE(parse_code(to_string(code)));
        CHECK(*parse_code(to_string(code)) == code);
    }
    CHECK(!parse_code("tea_pot"));
    CHECK(http_status(Code::topic_exists) == 409);
    CHECK(http_status(Code::unknown_topic) == 404);
}
