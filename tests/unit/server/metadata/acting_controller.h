// Acting: a cluster's metadata with a controller that acts on them.
#pragma once

#include "server/metadata/controller.h"
#include "server/metadata/partition_change.h"
#include "tests/unit/server/metadata/cluster_world.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace qtool::test {

/// A controller that sees every change at once and whose commits succeed at once.
class Acting : public ClusterWorld {
public:
    explicit Acting(int32_t brokers = 4, config::BrokerConfig start = {})
        : ClusterWorld(brokers, std::move(start)) {
        controller.set_willing(true, now);
        tell();
        settle();
        REQUIRE(controller.is_active());
    }

    metadata::Controller controller{BrokerId(1)};
    MonoTime now{1s};
    size_t transactions = 0;
    size_t largest = 0;

    void die(int32_t id) {
        ClusterWorld::die(id);
        tell();
        settle();
    }
    void live(int32_t id) {
        ClusterWorld::live(id);
        tell();
        settle();
    }
    void add_topic(const std::string& name, const std::vector<std::vector<int32_t>>& assignments,
                   const std::map<std::string, std::string>& configs = {}) {
        ClusterWorld::add_topic(name, assignments, configs);
        tell();
        settle();
    }
    void put(std::vector<port::StoreWrite> writes) {
        write(std::move(writes));
        tell();
        settle();
    }
    void set_isr(std::string_view name, int32_t index, const std::vector<int32_t>& isr) {
        put_changed(name, index, [&](metadata::PartitionImage& p) { p.isr = ids(isr); });
    }
    template <class Change>
    void put_changed(std::string_view name, int32_t index, Change change) {
        metadata::PartitionImage next = partition(name, index);
        change(next);
        next.partition_epoch++;
        put({{metadata::partition_key(topic(name).id, index), metadata::encode_partition(next)}});
    }
    void tell() { controller.on_image(image, delta, now); }
    void settle() {
        for (int i = 0; i < 1000; i++) {
            std::vector<metadata::Controller::Commit> commits = controller.take_commits();
            if (commits.empty()) {
                if (controller.next_due() - now > 1s) {
                    return;
                }
                now = controller.next_due();
                controller.on_time(now);
                continue;
            }
            for (metadata::Controller::Commit& commit : commits) {
                transactions++;
                largest = std::max(largest, commit.transaction.writes.size());
                Result<port::StoreChange> change = store.commit(commit.transaction);
                if (change) {
                    apply(*change);
                    tell();
                    controller.on_committed(commit.batch, change->revision, now);
                } else {
                    controller.on_committed(commit.batch, std::move(change).error(), now);
                }
            }
        }
        FAIL("the controller does not come to rest");
    }
};

} // namespace qtool::test
