// Runtime: the machines of one core, one for each partition of an internal topic that the core owns
// and this broker leads. It reads their logs, hands them requests, appends what they decide and
// lets answers out once they are committed. Lives on its core, owned by broker::Core.
//
// Of one shard:   loading  --log read to its end, and all of it committed-->  loaded
//                 any      --log offline or unreadable-->  failed     (coordinator_not_available)
//                 any      --topic deleted, leadership gone-->  (gone: not_coordinator)
#pragma once

#include "lib/base/slot_map.h"
#include "server/coordinator/machine.h"
#include "server/metrics/counters.h"
#include "server/port/clock.h"
#include "server/replica/manager.h"

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace qtool::coordinator {

class Shard;

class Runtime {
public:
    /// Makes the machine of one partition of its topic.
    using MakeMachine = std::function<std::unique_ptr<Machine>(PartitionIndex)>;

    struct Setup {
        std::map<std::string, MakeMachine> machines; // by internal topic
        replica::Manager* partitions = nullptr;
        const port::Clock* clock = nullptr;
        port::Random* random = nullptr;
        const config::BrokerConfig* config = nullptr; // of the start; else that of the image
        BrokerId self;
        std::function<bool(const PartitionKey&)> is_mine; // does this core own it
        std::function<std::optional<ProducerId>()> take_producer_id;
        metrics::CoreCounters* counters = nullptr;
    };
    explicit Runtime(Setup setup);
    ~Runtime();
    Runtime(const Runtime&) = delete;
    Runtime& operator=(const Runtime&) = delete;

    /// Before Manager::apply of the same image: shards of partitions that go, or that this broker
    /// does not lead any more, are dropped.
    void forget(const metadata::Image& image, replica::Outbox& out);
    /// After Manager::apply: shards come, machines hear of topics.
    void apply(metadata::ImageRef image, const metadata::Delta& delta);
    /// A partition request that holds a CoordinatorOp.
    void handle(const replica::PartitionRequest& request, CoreId from, replica::Outbox& out);

    /// Called whenever logs may have moved: reads on where a log grew without its machine (markers,
    /// loading), and lets out the answers that are committed by now.
    void on_progress(replica::Outbox& out);

    /// Of all shards, for metrics; of the committed offsets at most `offsets_max`.
    void survey(metrics::CoreSurvey& survey, uint32_t offsets_max) const;

    [[nodiscard]] MonoTime next_due() const;
    void on_time(replica::Outbox& out);

    /// A marker to be written for a machine; on_marker_written answers it.
    struct Marker {
        PartitionKey shard;
        MarkerRequest request;
    };
    std::vector<Marker> take_markers() { return std::exchange(markers_, {}); }
    void on_marker_written(const PartitionKey& shard, uint64_t id, const Result<void>& result);

    /// The broker stops: what machines keep parked is answered not_coordinator, and so is what
    /// comes. Answers that wait for their commit still leave.
    void begin_drain(replica::Outbox& out);
    /// Before the partitions close: no shard is left.
    void close(replica::Outbox& out);

private:
    friend class Shard;

    /// The broker's options in force.
    [[nodiscard]] const config::BrokerConfig& config() const {
        return image_->broker ? *image_->broker : *setup_.config;
    }
    /// A shard, and when it is due as far as `due_` knows.
    struct Entry {
        std::unique_ptr<Shard> shard;
        MonoTime due = kMonoNever;
    };
    using Shards = std::map<PartitionKey, Entry>;

    void open_shards(const metadata::TopicImage& topic, const MakeMachine& make);
    /// Something was asked of the shard: on_progress looks at it.
    void touch(const PartitionKey& key) { touched_.insert(key); }
    void touch_all();
    void set_due(Shards::iterator at, MonoTime due);

    Setup setup_;
    metadata::ImageRef image_;
    Shards shards_;
    // There are a hundred shards, and few have anything to do in a turn: what may have changed is
    // in touched_, and only that is looked at. A machine's next_due changes in calls to it alone.
    std::set<PartitionKey> touched_;
    std::set<std::pair<MonoTime, PartitionKey>> due_; // of entries whose due is not kMonoNever
    std::vector<Marker> markers_;
    bool is_first_image_ = true;
    bool is_draining_ = false;
};

} // namespace qtool::coordinator
