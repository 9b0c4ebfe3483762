// MetadataCache: which topics there are, their ids, partitions and leaders, and where the brokers
// are. Asks only for topics somebody wanted. Refreshed by age and on errors, with backoff. Owned by
// Cluster, which sends the requests.
#pragma once

#include "lib/base/prng.h"
#include "lib/base/result.h"
#include "lib/base/time.h"
#include "lib/base/uuid.h"
#include "lib/client/retry.h"
#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/metadata.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::client {

/// Topics one client may be interested in; bounds the cache and its requests.
inline constexpr size_t kTopicsMax = 10'000;
/// A topic that brokers do not know is taken for one whose news is on the way to them, for so long.
inline constexpr Duration kUnknownTopicPatience = 2s;
/// The same where brokers may create it (MetadataOptions::create_topics).
inline constexpr Duration kCreatedTopicPatience = 5s;

struct PartitionInfo {
    int32_t leader_id = -1; // -1: none now
    int32_t leader_epoch = -1;
};

struct TopicInfo {
    Uuid id;                                                 // zero: the broker is too old to say
    std::vector<PartitionInfo> partitions;                   // by index; empty: not known
    protocol::KafkaError error = protocol::KafkaError::none; // of the last answer
    std::optional<MonoTime> failing_since; // the first answer of those in a row with an error
    MonoTime failed_at;                    // the last of them
    bool answered = false;                 // at least one answer was about it

    /// For how long brokers have kept answering with an error. Silence does not count: a broker
    /// that had not heard of the topic may just not have been asked again.
    [[nodiscard]] Duration failing_for() const {
        return failing_since ? failed_at - *failing_since : Duration{};
    }
};

struct BrokerInfo {
    std::string host;
    uint16_t port = 0;
};

struct MetadataOptions {
    Duration age_max = 300s;
    Backoff backoff;
    bool create_topics = false; // the broker may create what it does not have
};

class MetadataCache {
public:
    MetadataCache(MetadataOptions options, uint64_t seed);

    /// Asks for the topic from now on. Errors: overloaded (more than kTopicsMax topics).
    Result<void> want(std::string_view topic);
    /// What is known is wrong: refresh as soon as the backoff allows.
    void refresh_soon(MonoTime now);

    /// When a request should be sent; kMonoNever while one is out.
    [[nodiscard]] MonoTime next_due() const;
    /// The request for what is wanted; its views live until the next want().
    [[nodiscard]] protocol::MetadataRequest make_request();
    void on_reply(const protocol::MetadataResponse& response, MonoTime now);
    void on_failure(MonoTime now);

    /// nullptr: not wanted. Valid as long as the cache; never removed.
    [[nodiscard]] const TopicInfo* find(std::string_view topic) const;
    /// nullptr: no such broker now.
    [[nodiscard]] const BrokerInfo* find_broker(int32_t id) const;
    [[nodiscard]] const std::map<int32_t, BrokerInfo>& brokers() const { return brokers_; }
    /// Rises with each answer.
    [[nodiscard]] uint64_t revision() const { return revision_; }

private:
    void take_topic(const protocol::MetadataResponse::MetadataResponseTopic& answer, MonoTime now);

    MetadataOptions options_;
    Prng prng_;
    std::map<std::string, TopicInfo, std::less<>> topics_;
    std::map<int32_t, BrokerInfo> brokers_;
    MonoTime due_ = MonoTime::min(); // at once
    MonoTime last_answer_ = MonoTime::min();
    bool in_flight_ = false;
    bool news_wanted_ = false; // a topic was added after the request that is out
    uint32_t failures_ = 0;    // answers in a row that left something unknown
    uint64_t revision_ = 0;
};

} // namespace qtool::client
