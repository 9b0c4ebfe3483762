// Proves the move of metadata from one store to another: all of it arrives, nothing that is there
// is touched, and a move that was interrupted at any transaction goes on.
#include "server/metadata/record_codec.h"
#include "server/metadata/store_copy.h"
#include "tests/unit/server/metadata/metadata_world.h"

#include <deque>
#include <limits>

using namespace qtool;
using namespace qtool::metadata;
using namespace qtool::test;

namespace {

/// A target that stops answering after some transactions, as one whose mover is killed.
class Target final : public port::MetadataStore {
public:
    MemoryStore memory;
    int commits_left = std::numeric_limits<int>::max();

    void set_events(port::MetadataStoreEvents* events) override { events_ = events; }
    void load() override { is_load_due_ = true; }
    void commit(port::StoreTransaction transaction, Token token) override {
        CHECK(transaction.writes.size() <= max_writes());
        queue_.emplace_back(std::move(transaction), token);
    }
    [[nodiscard]] size_t max_writes() const override { return 7; }
    void open_session(Duration) override {}
    void close_session() override {}
    bool deliver_pending() override {
        if (std::exchange(is_load_due_, false)) {
            events_->on_store_loaded(memory.snapshot());
            return true;
        }
        if (queue_.empty() || commits_left == 0) {
            return false;
        }
        commits_left--;
        auto [transaction, token] = std::move(queue_.front());
        queue_.pop_front();
        Result<port::StoreChange> change = memory.commit(transaction);
        events_->on_store_committed(token, change ? Result<Revision>(change->revision)
                                                  : Result<Revision>(change.error()));
        return true;
    }
    void forget() { queue_.clear(); }

private:
    port::MetadataStoreEvents* events_ = nullptr;
    bool is_load_due_ = false;
    std::deque<std::pair<port::StoreTransaction, Token>> queue_;
};

port::StoreSnapshot source(int keys) {
    MemoryStore store;
    REQUIRE(store.commit({{}, {{cluster_key(), "{id}"}}}));
    for (int i = 0; i < keys; i++) {
        REQUIRE(store.commit({{}, {{"topics/t" + std::to_string(i), std::to_string(i)}}}));
    }
    return store.snapshot();
}

std::optional<Result<size_t>> run(const port::StoreSnapshot& from, Target& target) {
    StoreCopy copy(from, target);
    copy.start();
    while (target.deliver_pending()) {
    }
    target.forget();
    return copy.result();
}

std::map<std::string, std::string> values(const port::StoreSnapshot& snapshot) {
    std::map<std::string, std::string> all;
    for (const port::StoreEntry& entry : snapshot.entries) {
        all[entry.key] = entry.value;
    }
    return all;
}

} // namespace

TEST_CASE("store copy: everything arrives, and once") {
    Target target;
    const port::StoreSnapshot from = source(50);
    const auto result = run(from, target);
    REQUIRE(result);
    CHECK(result->value() == 51);
    CHECK(values(target.memory.snapshot()) == values(from));
    const auto again = run(from, target);
    REQUIRE(again);
    CHECK(again->error().detail.find("moved before") != std::string::npos);
}

TEST_CASE("store copy: interrupted anywhere, it goes on; no broker could start in between") {
    for (int commits = 0; commits < 8; commits++) {
        CAPTURE(commits);
        Target target;
        target.commits_left = commits;
        CHECK_FALSE(run(source(40), target));
        CHECK_FALSE(target.memory.has(cluster_key()));
        const port::StoreSnapshot half = target.memory.snapshot();
        if (commits > 0) {
            const config::BrokerConfig config;
            Replay replay{config};
            CHECK_FALSE(replay.load(half));
        }
        // Meanwhile the source went on: one key less.
        target.commits_left = std::numeric_limits<int>::max();
        port::StoreSnapshot from = source(40);
        from.entries.erase(from.entries.begin() + 3);
        const auto result = run(from, target);
        REQUIRE(result);
        REQUIRE(*result);
        CHECK(values(target.memory.snapshot()) == values(from));
    }
}

TEST_CASE("store copy: a target that holds something else stays as it is") {
    Target target;
    REQUIRE(target.memory.commit({{}, {{"brokers/7", "x"}}}));
    const auto result = run(source(3), target);
    REQUIRE(result);
    CHECK(result->error().code == Code::invalid_config);
    CHECK(target.memory.snapshot().entries.size() == 1);
    Target empty;
    CHECK(run(port::StoreSnapshot{}, empty)->error().code == Code::invalid_config);
    CHECK(empty.memory.snapshot().entries.empty());
}
