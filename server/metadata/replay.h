// Replay: committed changes in store order become images, each with what it changed. A pure state
// machine: the same changes give the same images, in one step (load) or in many (apply).
// Lives on the metadata core.
//
// A topic is in the image when its topic key is and every partition it counts. What is written
// ahead of the topic key, or left behind it, is set aside until the key comes or the rest goes:
//
//   partitions/T/0, partitions/T/1 written       image: nothing           set aside: 0, 1
//   topics/a written {id T, partition_count 2}   image: a with 0, 1       set aside: nothing
//   partitions/T/2 written                       image: a with 0, 1       set aside: 2
//   topics/a written {id T, partition_count 3}   image: a with 0, 1, 2    set aside: nothing
#pragma once

#include "lib/base/result.h"
#include "lib/config/broker_config.h"
#include "server/metadata/image.h"
#include "server/port/metadata_store.h"

#include <map>
#include <vector>

namespace qtool::metadata {

class Replay {
public:
    struct Step {
        ImageRef image;
        Delta delta;
    };

    /// `start` is what this broker was started with: dynamic options go over it, and topics take
    /// their defaults from both. Must outlive the replay.
    explicit Replay(const config::BrokerConfig& start)
        : start_(start),
          image_(std::make_shared<Image>()) {}

    /// Everything at once, in place of what is known so far. On error nothing changed.
    /// Errors: unsupported_version (written by a newer qbroker), storage_damaged, invalid_config;
    /// the detail names the key.
    [[nodiscard]] Result<Step> load(const port::StoreSnapshot& snapshot);

    /// The next change; its revision is higher than any before. Errors: as load.
    [[nodiscard]] Result<Step> apply(const port::StoreChange& change);

    /// Keys that no image shows, as they are now: those of a topic together, its lowest partition
    /// first.
    [[nodiscard]] std::vector<port::StoreGuard> set_aside() const;

private:
    class Builder;

    /// What belongs to a topic id that the image does not show.
    struct Aside {
        std::map<int32_t, PartitionImage> partitions;
        std::map<std::string, std::string> configs;
        Revision configs_revision; // 0: no configs
    };
    using Asides = std::map<TopicId, Aside>;

    const config::BrokerConfig& start_;
    ImageRef image_;
    Asides aside_; // empty but for a topic in the making or half removed
};

} // namespace qtool::metadata
