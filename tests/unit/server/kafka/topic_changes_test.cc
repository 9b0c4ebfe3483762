// Proves CreateTopics, DeleteTopics, CreatePartitions and InitProducerId: each item has its result,
// in every version; failures of the store reach the client; answers wait for the change.
#include "lib/protocol/msg/create_partitions.h"
#include "lib/protocol/msg/create_topics.h"
#include "lib/protocol/msg/delete_topics.h"
#include "lib/protocol/msg/init_producer_id.h"
#include "tests/unit/server/kafka/kafka_fixture.h"

using namespace qtool;
using namespace qtool::test;
using protocol::CreatePartitionsRequest;
using protocol::CreatePartitionsResponse;
using protocol::CreateTopicsRequest;
using protocol::CreateTopicsResponse;
using protocol::DeleteTopicsRequest;
using protocol::DeleteTopicsResponse;
using protocol::InitProducerIdRequest;
using protocol::InitProducerIdResponse;

namespace {

CreateTopicsRequest create(std::vector<std::string_view> names) {
    CreateTopicsRequest request;
    request.timeout_ms = 5000;
    for (const std::string_view name : names) {
        auto& topic = request.topics.emplace_back();
        topic.name = name;
        topic.num_partitions = 2;
        topic.replication_factor = 1;
    }
    return request;
}

Uuid id_of(uint8_t byte) {
    Uuid id;
    id.bytes.fill(byte);
    return id;
}

} // namespace

TEST_CASE("create topics: every version answers after the commit, id and configs where they are") {
    for (int16_t version = 2; version <= 7; version++) {
        CAPTURE(version);
        KafkaFixture fixture;
        CreateTopicsRequest request = create({"fresh", "orders"});
        auto& option = request.topics[0].configs.emplace_back();
        option.name = "retention.ms";
        option.value = "60000";
        fixture.send(request, version);
        CHECK(fixture.host.sent.empty());
        REQUIRE(fixture.services.changes.size() == 1);
        CHECK(fixture.services.changes[0].deadline == fixture.services.now_ + 5s);
        fixture.services.commit();
        const auto response = fixture.receive<CreateTopicsResponse>(version);
        REQUIRE(response.topics.size() == 2);
        CHECK(response.topics[0].error_code == 0);
        CHECK(response.topics[0].error_message == std::nullopt);
        CHECK(response.topics[0].topic_id.is_zero() == (version < 7));
        CHECK(response.topics[0].num_partitions == (version >= 5 ? 2 : -1));
        if (version >= 5) {
            bool found = false;
            for (const auto& config : *response.topics[0].configs) {
                if (config.name == "retention.ms") {
                    found = config.value == "60000" && config.config_source == 1;
                }
            }
            CHECK(found);
        }
        CHECK(response.topics[1].error_code == 36);
        CHECK(response.topics[1].error_message.value_or("").find("orders") != std::string::npos);
    }
}

TEST_CASE("create topics: names twice, bad names, counts and configs are errors of their topic") {
    KafkaFixture fixture;
    CreateTopicsRequest request = create({"twice", "twice", "bad name", "zero", "config", "null"});
    request.topics[3].num_partitions = 0;
    request.topics[4].configs.emplace_back().name = "no.such.option";
    request.topics[4].configs[0].value = "1";
    request.topics[5].configs.emplace_back().name = "retention.ms";
    request.topics[5].configs[0].value.reset();
    const auto response = fixture.call<CreateTopicsResponse>(request, 7);
    std::vector<int16_t> errors;
    for (const auto& topic : response.topics) {
        errors.push_back(topic.error_code);
        CHECK(topic.error_message.has_value());
    }
    CHECK(errors == std::vector<int16_t>{42, 42, 17, 37, 40, 40});
    CHECK(fixture.services.changes.empty());
}

TEST_CASE("create topics: validate_only writes nothing and answers as if") {
    KafkaFixture fixture;
    CreateTopicsRequest request = create({"fresh"});
    request.validate_only = true;
    CHECK(fixture.call<CreateTopicsResponse>(request, 7).topics.at(0).error_code == 0);
    CHECK(fixture.services.changes.empty());
}

TEST_CASE("create topics: a change that did not get through is error 7, with its reason") {
    KafkaFixture fixture;
    fixture.send(create({"fresh"}), 7);
    fixture.services.commit(Error(Code::timed_out, "not confirmed"));
    const auto response = fixture.receive<CreateTopicsResponse>(7);
    CHECK(response.topics.at(0).error_code == 7);
    CHECK(response.topics.at(0).error_message == "not confirmed");
}

TEST_CASE("create topics: timeouts are kept between one second and five minutes") {
    for (const auto& [asked, kept] :
         {std::pair<int32_t, Duration>{-1, 1s}, std::pair<int32_t, Duration>{INT32_MAX, 300s}}) {
        KafkaFixture fixture;
        CreateTopicsRequest request = create({"fresh"});
        request.timeout_ms = asked;
        fixture.send(request, 7);
        CHECK(fixture.services.changes.at(0).deadline == fixture.services.now_ + kept);
    }
}

TEST_CASE("delete topics: by name in every version") {
    for (int16_t version = 1; version <= 6; version++) {
        CAPTURE(version);
        KafkaFixture fixture;
        DeleteTopicsRequest request;
        if (version >= 6) {
            request.topics.emplace_back().name = "orders";
            request.topics.emplace_back().name = "missing";
        } else {
            request.topic_names = {"orders", "missing"};
        }
        fixture.send(request, version);
        fixture.services.commit();
        const auto response = fixture.receive<DeleteTopicsResponse>(version);
        REQUIRE(response.responses.size() == 2);
        CHECK(response.responses[0].error_code == 0);
        CHECK(response.responses[0].name == "orders");
        CHECK(response.responses[1].error_code == 3);
        CHECK(response.responses[1].name == "missing");
    }
}

TEST_CASE("delete topics: by id; an unknown id, and name with id or neither, are errors") {
    KafkaFixture fixture;
    DeleteTopicsRequest request;
    request.topics.emplace_back().topic_id = id_of(2);
    request.topics.emplace_back().topic_id = id_of(99);
    request.topics.emplace_back().topic_id = id_of(1);
    request.topics[2].name = "events";
    request.topics.emplace_back();
    fixture.send(request, 6);
    fixture.services.commit();
    const auto response = fixture.receive<DeleteTopicsResponse>(6);
    REQUIRE(response.responses.size() == 4);
    CHECK(response.responses[0].name == "orders");
    CHECK(response.responses[0].topic_id == id_of(2));
    CHECK(response.responses[1].error_code == 100);
    CHECK(response.responses[1].name == std::nullopt);
    CHECK(response.responses[2].error_code == 42);
    CHECK(response.responses[3].error_code == 42);
}

TEST_CASE("delete topics: switched off it is error 73, and 42 for the oldest clients") {
    KafkaFixture fixture;
    fixture.services.config_.delete_topic_enable = false;
    DeleteTopicsRequest request;
    request.topic_names = {"orders"};
    CHECK(fixture.call<DeleteTopicsResponse>(request, 3).responses.at(0).error_code == 73);
    CHECK(fixture.call<DeleteTopicsResponse>(request, 2).responses.at(0).error_code == 42);
    CHECK(fixture.services.changes.empty());
}

TEST_CASE("create partitions: every version; fewer and unknown are errors") {
    for (int16_t version = 0; version <= 3; version++) {
        KafkaFixture fixture;
        CreatePartitionsRequest request;
        request.timeout_ms = 2000;
        for (const auto& [name, count] : {std::pair<std::string_view, int32_t>{"events", 4},
                                          std::pair<std::string_view, int32_t>{"orders", 3},
                                          std::pair<std::string_view, int32_t>{"missing", 2}}) {
            auto& topic = request.topics.emplace_back();
            topic.name = name;
            topic.count = count;
            topic.assignments.reset();
        }
        fixture.send(request, version);
        fixture.services.commit();
        const auto response = fixture.receive<CreatePartitionsResponse>(version);
        REQUIRE(response.results.size() == 3);
        CHECK(response.results[0].error_code == 0);
        CHECK(response.results[0].error_message == std::nullopt);
        CHECK(response.results[1].error_code == 37);
        CHECK(response.results[2].error_code == 3);
    }
}

TEST_CASE("init producer id: ids come from the block, and an empty block is filled again") {
    for (int16_t version = 0; version <= 5; version++) {
        CAPTURE(version);
        KafkaFixture fixture;
        fixture.services.producer_ids_ = {41, 42};
        InitProducerIdRequest request;
        request.transactional_id.reset();
        const auto first = fixture.call<InitProducerIdResponse>(request, version);
        CHECK(first.error_code == 0);
        CHECK(first.producer_id == 41);
        CHECK(first.producer_epoch == 0);
        // Two requests meet the empty block.
        fixture.send(request, version);
        fixture.send(request, version);
        REQUIRE(fixture.services.changes.size() == 2);
        fixture.services.commit();
        const auto second = fixture.receive<InitProducerIdResponse>(version);
        CHECK(second.error_code == 0);
        CHECK(second.producer_id == 0);
        CHECK(fixture.services.producer_ids_.next == 1);
        CHECK(fixture.services.producer_ids_.end == 1000);
        fixture.services.commit(Error(Code::store_unavailable));
        CHECK(fixture.receive<InitProducerIdResponse>(version).error_code == 7);
        CHECK(fixture.call<InitProducerIdResponse>(request, version).producer_id == 1);
    }
}

TEST_CASE("init producer id: half an identity is refused") {
    KafkaFixture fixture;
    InitProducerIdRequest request;
    request.transactional_id = "";
    CHECK(fixture.call<InitProducerIdResponse>(request, 4).error_code == 42);
    request.transactional_id.reset();
    request.producer_id = 5;
    CHECK(fixture.call<InitProducerIdResponse>(request, 4).error_code == 42);
}
