// Proves which lines a change of the metadata leaves in the log: one for each topic and option that
// changed, with names and values, and none for what stayed.
#include "lib/base/log.h"
#include "server/broker/change_log.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace qtool;
using namespace qtool::broker;

namespace {

std::vector<std::string> g_lines;

struct Fixture {
    metadata::Image before;
    metadata::Image after;
    metadata::Delta delta;

    Fixture() {
        g_lines.clear();
        set_log_sink([](LogLevel, std::string_view line) { g_lines.emplace_back(line); });
    }
    ~Fixture() {
        set_log_sink([](LogLevel, std::string_view) {});
    }
    static void add(metadata::Image& image, const std::string& name, uint64_t id, size_t partitions,
                    std::map<std::string, std::string> configs) {
        auto topic = std::make_shared<metadata::TopicImage>();
        topic->id = make_uuid(id, id);
        topic->name = name;
        topic->partitions.resize(partitions);
        topic->configs = std::move(configs);
        image.topics_by_id[topic->id] = topic;
        image.topics_by_name[name] = topic;
    }
    // The only line that has all of `texts`.
    static bool has_line(const std::vector<std::string>& texts) {
        int count = 0;
        for (const std::string& line : g_lines) {
            bool has_all = true;
            for (const std::string& text : texts) {
                has_all = has_all && line.find(text) != std::string::npos;
            }
            count += has_all ? 1 : 0;
        }
        return count == 1;
    }
};

} // namespace

TEST_CASE_FIXTURE(Fixture, "change log: topics that come, go and grow") {
    add(before, "old", 1, 1, {});
    add(before, "grows", 2, 1, {});
    add(after, "grows", 2, 3, {});
    add(after, "new", 3, 4, {{"retention.ms", "5"}});
    delta.topics_deleted = {make_uuid(1, 1)};
    delta.topics_changed = {make_uuid(2, 2)};
    delta.topics_created = {make_uuid(3, 3)};
    log_changes(before, after, delta);
    CHECK(g_lines.size() == 4);
    CHECK(has_line({"topic_deleted", "old"}));
    CHECK(has_line({"partitions_added", "grows", "3", "1"}));
    CHECK(has_line({"topic_created", "new", "4"}));
    CHECK(has_line({"option_set", "new", "retention.ms", "5"}));
}

TEST_CASE_FIXTURE(Fixture, "change log: options that are set, changed and removed") {
    add(before, "t", 1, 1, {{"a", "1"}, {"b", "2"}, {"c", "3"}});
    add(after, "t", 1, 1, {{"a", "1"}, {"b", "9"}, {"d", "4"}});
    delta.topics_changed = {make_uuid(1, 1)};
    before.broker_configs[kNoBroker].options = {{"log.level", "info"}};
    before.broker_configs[BrokerId(1)].options = {{"x", "y"}};
    after.broker_configs[kNoBroker].options = {{"log.level", "debug"}};
    after.group_configs["g"].options = {{"z", "w"}};
    log_changes(before, after, delta);
    CHECK(g_lines.size() == 6);
    CHECK(has_line({"option_set", "topic", "b", "9"}));
    CHECK(has_line({"option_set", "topic", "d", "4"}));
    CHECK(has_line({"option_removed", "topic", "c", "3"}));
    CHECK(has_line({"option_set", "broker", "default", "log.level", "debug"}));
    CHECK(has_line({"option_removed", "broker", "1", "x", "y"}));
    CHECK(has_line({"option_set", "group", "g", "z", "w"}));
}
