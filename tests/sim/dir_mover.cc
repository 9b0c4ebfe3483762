#include "tests/sim/dir_mover.h"

#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/alter_replica_log_dirs.h"
#include "lib/protocol/msg/describe_log_dirs.h"

#include <algorithm>

namespace qtool::sim {

namespace {

using protocol::AlterReplicaLogDirsRequest;
using protocol::AlterReplicaLogDirsResponse;
using protocol::DescribeLogDirsRequest;
using protocol::DescribeLogDirsResponse;

constexpr int16_t kAlterVersion = 2;
constexpr int16_t kDescribeVersion = 4;

} // namespace

DirMover::DirMover(Client client, std::vector<PartitionPlace> partitions,
                   std::vector<std::string> dirs)
    : client_(client),
      world_(*client.world),
      line_(
          *client.world, *client.network, [this] { next(); },
          [this] {
              if (moving_ > 0) {
                  world_.hit(Fault::move_interrupted);
              }
              moving_ = 0;
              line_.connect_later(50ms);
          }),
      partitions_(std::move(partitions)),
      dirs_(std::move(dirs)),
      last_dir_(dirs_[world_.random().below(dirs_.size())]) {}

void DirMover::finish() {
    is_finishing_ = true;
    if (line_.is_idle()) {
        line_.next_later(0ms);
    }
}

void DirMover::next() {
    if (is_done_) {
        return;
    }
    if (world_.chance_percent(50)) {
        ask_places();
        return;
    }
    std::vector<size_t> chosen;
    for (size_t i = 0; i < partitions_.size(); i++) {
        if (is_finishing_ || world_.chance_percent(50)) {
            chosen.push_back(i);
        }
    }
    ask_moves(chosen, is_finishing_ ? last_dir_ : dirs_[world_.random().below(dirs_.size())]);
}

void DirMover::ask_moves(const std::vector<size_t>& partitions, const std::string& dir) {
    AlterReplicaLogDirsRequest request;
    auto& to = request.dirs.emplace_back();
    to.path = dir;
    for (const size_t i : partitions) {
        auto& topic = to.topics.emplace_back();
        topic.name = partitions_[i].topic;
        topic.partitions.push_back(partitions_[i].index);
    }
    line_.stream().ask(request, kAlterVersion, [this](ByteView body) {
        const auto answer = AlterReplicaLogDirsResponse::decode(body, kAlterVersion);
        if (!answer) {
            world_.violate("AlterReplicaLogDirs: an answer that cannot be read");
            return;
        }
        for (const auto& topic : answer->results) {
            for (const auto& partition : topic.partitions) {
                world_.trace("move", static_cast<uint64_t>(partition.error_code));
                moving_ += partition.error_code == 0 ? 1 : 0;
                if (partition.error_code != 0 && !is_retriable(partition.error_code)) {
                    world_.violate("AlterReplicaLogDirs: error " +
                                   std::to_string(partition.error_code));
                    return;
                }
            }
        }
        line_.next_later(world_.between(2ms, 300ms));
    });
}

// Each partition lives in one directory, and may be on its way to one other.
void DirMover::ask_places() {
    DescribeLogDirsRequest request;
    request.topics.reset(); // all
    line_.stream().ask(request, kDescribeVersion, [this](ByteView body) {
        const auto answer = DescribeLogDirsResponse::decode(body, kDescribeVersion);
        if (!answer) {
            world_.violate("DescribeLogDirs: an answer that cannot be read");
            return;
        }
        std::map<std::pair<std::string, int32_t>, std::vector<std::string>> homes;
        moving_ = 0;
        for (const auto& dir : answer->results) {
            for (const auto& topic : dir.topics) {
                for (const auto& partition : topic.partitions) {
                    if (partition.is_future_key) {
                        moving_++;
                    } else {
                        homes[{std::string(topic.name), partition.partition_index}].emplace_back(
                            dir.log_dir);
                    }
                }
            }
        }
        bool is_done = is_finishing_ && moving_ == 0;
        for (const PartitionPlace& place : partitions_) {
            const std::vector<std::string>& home = homes[{place.topic, place.index}];
            if (home.size() > 1) {
                world_.violate("partition " + place.topic + "-" + std::to_string(place.index) +
                               " lives in two log directories");
                return;
            }
            is_done = is_done && home.size() == 1 && home.front() == last_dir_;
        }
        is_done_ = is_done;
        line_.next_later(world_.between(2ms, 300ms));
    });
}

} // namespace qtool::sim
