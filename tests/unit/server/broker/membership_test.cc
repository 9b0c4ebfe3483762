// Proves how a process becomes, stays and ceases to be a broker of its cluster: sessions, another
// process with its id, disks that are new or old, its key deleted under it, a stop in good order.
#include "server/broker/membership.h"
#include "server/metadata/partition_change.h"
#include "tests/unit/server/metadata/cluster_world.h"

#include <set>

using namespace qtool;
using namespace qtool::broker;
using namespace qtool::metadata;
using namespace qtool::test;

namespace {

// Sessions of a store; what is written goes to the World's.
class FakeSessions final : public port::MetadataStore {
public:
    void set_events(port::MetadataStoreEvents*) override {}
    void load() override {}
    void commit(port::StoreTransaction, Token) override {}
    [[nodiscard]] size_t max_writes() const override { return 120; }
    void open_session(Duration ttl) override {
        opened++;
        last_ttl = ttl;
    }
    void close_session() override { closed++; }

    int opened = 0;
    int closed = 0;
    Duration last_ttl{};
};

// Brokers 1 to 3 are there; the process under test is one of them or broker 4.
class Process {
public:
    explicit Process(ClusterWorld& world, int32_t id, uint8_t disk)
        : world_(world),
          self(id),
          incarnation(topic_id(next_incarnation_++)),
          membership([&] {
              Membership::Setup setup;
              setup.self = self;
              setup.incarnation = incarnation;
              setup.session_ttl = 9s;
              setup.store = &sessions;
              setup.changes = &changes;
              setup.random = &world.random;
              return setup;
          }()) {
        disks.identities = {topic_id(disk)};
        disks.start_count = 5;
        disks.holds = [this](std::string_view topic, const PartitionKey&) {
            return held.contains(std::string(topic));
        };
        disks.write_start_count = [this](int64_t count) -> Result<void> {
            written_count = count;
            return {};
        };
    }

    void start() {
        membership.open_session();
        BrokerImage image;
        image.host = "here";
        image.port = 1;
        membership.begin(std::move(image), disks, *world_.image, now);
        renew();
    }
    void renew() {
        membership.on_session_renewed(now + 9s, *world_.image, now);
        settle();
    }
    void tell() {
        membership.on_image(*world_.image, now);
        settle();
    }
    void wait(Duration time) {
        const MonoTime until = now + time;
        while (membership.next_due() <= until) {
            now = std::max(now, membership.next_due());
            membership.on_time(*world_.image, now);
            settle();
        }
        now = until;
    }
    void settle() {
        for (;;) {
            const std::vector<ChangeRunner::Commit> commits = changes.take_commits();
            for (const ChangeRunner::Commit& commit : commits) {
                Result<port::StoreChange> change = world_.store.commit(commit.transaction);
                REQUIRE(change);
                world_.apply(*change);
                membership.on_image(*world_.image, now);
                changes.on_committed(commit.change, change->revision, now, world_.random);
            }
            changes.on_time(now, *world_.image, world_.random); // the next part
            const std::vector<Token> finished = changes.take_finished();
            for (size_t i = 0; i < finished.size(); i++) {
                membership.on_finished(*world_.image, now);
            }
            if (commits.empty() && finished.empty() && changes.next_due() > now) {
                return;
            }
        }
    }
    [[nodiscard]] const BrokerImage& image() const { return *world_.image->find_broker(self); }

private:
    static inline uint8_t next_incarnation_ = 200;
    ClusterWorld& world_;

public:
    BrokerId self;
    Uuid incarnation;
    MonoTime now{100s};
    DiskLife disks;
    std::set<std::string> held;
    int64_t written_count = 0;
    FakeSessions sessions;
    ChangeRunner changes;
    Membership membership;
};

} // namespace

TEST_CASE("membership: a new broker registers in its session and is live") {
    ClusterWorld world(3);
    Process four(world, 4, 44);
    four.membership.open_session();
    CHECK(four.sessions.opened == 1);
    CHECK(four.sessions.last_ttl == 9s);
    BrokerImage image;
    image.host = "here";
    four.membership.begin(image, four.disks, *world.image, four.now);
    four.settle();
    CHECK_FALSE(world.image->is_live(BrokerId(4))); // no session yet
    CHECK(four.membership.valid_until() == MonoTime{});
    four.renew();
    CHECK(four.membership.is_member());
    CHECK(four.membership.valid_until() == four.now + 9s);
    CHECK(four.image().is_live());
    CHECK(four.image().live_incarnation == four.incarnation);
    CHECK(four.image().directory_ids == std::vector<Uuid>{topic_id(44)});
    CHECK(four.image().start_count == 6);
    CHECK(four.written_count == 6);
    CHECK(four.membership.claim() == world.image->controller.revision);
    four.now = four.now + 3s;
    four.renew();
    CHECK(four.membership.valid_until() == four.now + 9s);
}

TEST_CASE("membership: a store of one process compares nothing and counts nothing") {
    ClusterWorld world(0);
    Process one(world, 1, 11);
    one.membership.open_session();
    one.membership.begin({}, one.disks, *world.image, one.now);
    one.membership.on_session_renewed(kMonoNever, *world.image, one.now);
    one.settle();
    CHECK(one.membership.is_member());
    CHECK(one.membership.valid_until() == kMonoNever);
    CHECK(one.written_count == 0);
    CHECK(one.image().start_count == 0);
    CHECK(one.image().directory_ids.empty());
    CHECK(one.image().live_incarnation == one.incarnation);
    CHECK(one.membership.next_due() == kMonoNever);
}

TEST_CASE("membership: one of ours that died is taken over at once") {
    ClusterWorld world(3);
    world.add_topic("t", {{4, 1, 2}, {1, 2, 3}});
    Process first(world, 4, 44);
    first.start();
    world.write({{partition_key(world.topic("t").id, 0), [&] {
                      PartitionImage p = world.partition("t", 0);
                      p.leader = BrokerId(4);
                      return encode_partition(p);
                  }()}});
    const Revision epoch = first.image().epoch;
    Process second(world, 4, 44);
    second.disks.start_count = 6;
    second.start();
    CHECK(second.membership.is_member());
    CHECK(second.image().live_incarnation == second.incarnation);
    CHECK(second.image().epoch > epoch);
    CHECK(world.partition("t", 0).leader == BrokerId(1)); // not the epoch it led before
    CHECK(world.partition("t", 0).isr == ids({4, 1, 2}));
}

TEST_CASE("membership: a stranger with the same id is waited for, then this one gives up") {
    ClusterWorld world(3);
    Process first(world, 4, 44);
    first.start();
    Process late(world, 4, 45);
    late.start();
    CHECK_FALSE(late.membership.is_member());
    CHECK_FALSE(late.membership.failure());
    late.wait(9500ms);
    REQUIRE(late.membership.failure());
    CHECK(late.membership.failure()->code == Code::invalid_config);
    CHECK(late.membership.failure()->detail.find("another process is broker 4") !=
          std::string::npos);
    CHECK(first.image().live_incarnation == first.incarnation);

    Process patient(world, 4, 45);
    patient.start();
    patient.wait(5s);
    world.die(4);
    patient.tell();
    CHECK(patient.membership.is_member());
}

TEST_CASE("membership: new log directories leave every ISR before they are live") {
    ClusterWorld world(3);
    Process first(world, 4, 44);
    first.start();
    world.add_topic("t", {{4, 1}, {4}, {1, 4}});
    world.die(4);
    Process wiped(world, 4, 45);
    wiped.disks.start_count = 0;
    wiped.start();
    CHECK(wiped.membership.is_member());
    CHECK(world.partition("t", 0).isr == ids({1}));
    CHECK(world.partition("t", 1).isr.empty());
    CHECK(world.partition("t", 1).leader == kNoBroker);
    CHECK(world.partition("t", 2).isr == ids({1}));
    CHECK(wiped.image().start_count == 7);
}

TEST_CASE("membership: a session that is lost while it leaves its ISRs delays the start, no more") {
    ClusterWorld world(3);
    Process first(world, 4, 44);
    first.start();
    world.add_topic("t", {{4, 1}});
    world.die(4);
    Process wiped(world, 4, 45);
    wiped.membership.open_session();
    BrokerImage image;
    image.host = "here";
    image.port = 1;
    wiped.membership.begin(std::move(image), wiped.disks, *world.image, wiped.now);
    wiped.membership.on_session_renewed(wiped.now + 9s, *world.image, wiped.now);
    const std::vector<ChangeRunner::Commit> commits = wiped.changes.take_commits();
    REQUIRE(commits.size() == 1);
    wiped.changes.on_committed(commits[0].change, Error(Code::store_unavailable), wiped.now,
                               world.random);
    wiped.settle();
    wiped.membership.on_session_lost(wiped.now);
    wiped.wait(1s);
    CHECK(wiped.sessions.opened == 2);
    wiped.renew();
    CHECK(wiped.membership.is_member());
    CHECK(world.partition("t", 0).isr == ids({1}));
}

TEST_CASE("membership: directories put back from a copy are as good as new") {
    ClusterWorld world(3);
    Process first(world, 4, 44);
    first.start();
    Process second(world, 4, 44);
    second.disks.start_count = 6;
    second.start();
    CHECK(second.image().start_count == 7);
    world.add_topic("t", {{1, 4}});
    Process restored(world, 4, 44);
    restored.disks.start_count = 6; // of the backup; it was 7 since
    restored.start();
    CHECK(restored.membership.is_member());
    CHECK(world.partition("t", 0).isr == ids({1}));
    CHECK(restored.image().start_count == 8);
}

TEST_CASE("membership: one directory of several is lost, and only what was in it") {
    ClusterWorld world(3);
    Process first(world, 4, 44);
    first.disks.identities = {topic_id(43), topic_id(44)};
    first.start();
    world.add_topic("kept", {{4, 1}});
    world.add_topic("lost", {{4, 1}});
    world.die(4);
    Process second(world, 4, 44);
    second.disks.start_count = 6;
    second.held = {"kept"};
    second.start();
    CHECK(world.partition("kept", 0).isr == ids({4, 1}));
    CHECK(world.partition("lost", 0).isr == ids({1}));
}

TEST_CASE("membership: after a crash, what is not fsynced is no member of an ISR") {
    ClusterWorld world(3);
    Process first(world, 4, 44);
    first.start();
    world.add_topic("fast", {{1, 4}}, {{"write.caching", "true"}});
    world.add_topic("safe", {{1, 4}});
    world.add_topic("alone", {{4}}, {{"write.caching", "true"}});
    Process second(world, 4, 44);
    second.disks.start_count = 6;
    second.disks.was_clean = false;
    second.start();
    CHECK(world.partition("fast", 0).isr == ids({1}));
    CHECK(world.partition("safe", 0).isr == ids({1, 4}));
    CHECK(world.partition("alone", 0).leader == BrokerId(4));
}

TEST_CASE("membership: a session that is lost is opened again, and the key written again") {
    ClusterWorld world(3);
    world.write({{controller_key(), encode_controller(BrokerId(1))}});
    Process four(world, 4, 44);
    four.start();
    const Revision epoch = four.image().epoch;
    CHECK(four.membership.claim() == Revision{0});
    four.membership.on_session_lost(four.now);
    CHECK_FALSE(four.membership.is_member());
    CHECK(four.membership.valid_until() == MonoTime{});
    four.wait(1s);
    CHECK(four.sessions.opened == 2);
    four.membership.on_session_lost(four.now); // the store cannot be asked
    four.wait(1s);
    CHECK(four.sessions.opened == 3);
    four.renew();
    CHECK(four.membership.is_member());
    CHECK(four.image().epoch > epoch);
    CHECK(four.image().live_incarnation == four.incarnation);
}

TEST_CASE("membership: who finds its key gone writes it again, or gives way") {
    ClusterWorld world(3);
    Process four(world, 4, 44);
    four.start();
    world.die(4);
    four.tell();
    CHECK(four.membership.is_member());
    CHECK(four.image().is_live());
    world.live(4); // of another process
    four.tell();
    REQUIRE(four.membership.failure());
    CHECK(four.membership.failure()->code == Code::invalid_config);
}

TEST_CASE("membership: a stop gives leaderships away first and ends the session last") {
    ClusterWorld world(3);
    Process four(world, 4, 44);
    four.start();
    world.add_topic("t", {{4, 1, 2}, {4}, {2, 4}});
    four.membership.resign(*world.image, four.now);
    CHECK_FALSE(four.membership.is_resigned());
    four.settle();
    CHECK(four.membership.is_resigned());
    CHECK(four.membership.valid_until() == four.now + 9s); // goes on with what nobody else can
    CHECK(world.partition("t", 0).leader == BrokerId(1));
    CHECK(world.partition("t", 0).isr == ids({1, 2}));
    CHECK(world.partition("t", 1).leader == BrokerId(4));
    CHECK(world.partition("t", 2).isr == ids({2}));
    CHECK(four.sessions.closed == 0);
    four.membership.leave();
    CHECK(four.sessions.closed == 1);
    CHECK_FALSE(four.membership.has_left());
    four.membership.on_session_closed();
    CHECK(four.membership.has_left());
}

TEST_CASE("membership: the only broker resigns at once; without a session it leaves at once") {
    ClusterWorld world(0);
    Process one(world, 1, 11);
    one.start();
    one.membership.resign(*world.image, one.now);
    CHECK(one.membership.is_resigned());
    one.membership.on_session_lost(one.now);
    one.membership.leave();
    CHECK(one.membership.has_left());
    CHECK(one.sessions.closed == 0);
}
