// Metadata (key 3): brokers, topics, partitions and their leaders, from the core's image. Topics
// that are missing and may be created are: the answer then waits for them, at most kAutoCreateMax.
// Kafka answers UNKNOWN_TOPIC_OR_PARTITION at once and lets the client retry; waiting saves it that
// round, and a client that is answered with the error after all retries as it would there.
#include "lib/protocol/msg/metadata.h"

#include "server/kafka/error_map.h"
#include "server/kafka/handlers/change_pending.h"
#include "server/kafka/handlers/handlers.h"
#include "server/kafka/handlers/topic_view.h"
#include "server/metadata/decide_topics.h"
#include "server/metadata/topic_name.h"

#include <map>
#include <set>

namespace qtool::kafka {

namespace {

using protocol::KafkaError;
using protocol::MetadataRequest;
using protocol::MetadataResponse;

constexpr int16_t kTopicIdsVersionMin = 12;
constexpr int16_t kNullTopicsVersionMin = 1;         // before, an empty list asks for all topics
constexpr int16_t kClusterOperationsVersionMin = 8;  // KIP-430; moved to DescribeCluster
constexpr int16_t kClusterOperationsVersionMax = 10; // by KIP-700
constexpr int32_t kAutoCreateMaxMs = 2000;

// Why a topic that was asked for by name could not be created; by name.
using CreateErrors = std::map<std::string, Error, std::less<>>;

class Answerer {
public:
    Answerer(const ReplyHead& head, const MetadataRequest& request,
             const request::Services& services, const CreateErrors& create_errors)
        : head_(head),
          request_(request),
          image_(*services.image()),
          create_errors_(create_errors) {
        response_.cluster_id = image_.cluster_id;
        response_.controller_id = controller_of(image_, services.broker_id()).value();
        for (const auto& [id, broker] : image_.brokers) {
            if (!broker.is_live()) {
                continue;
            }
            auto& out = response_.brokers.emplace_back();
            out.node_id = id.value();
            fill_broker(broker, out);
        }
        const bool has_cluster_bits = head.api_version >= kClusterOperationsVersionMin &&
                                      head.api_version <= kClusterOperationsVersionMax;
        if (has_cluster_bits && request.include_cluster_authorized_operations) {
            response_.cluster_authorized_operations = kClusterOperations;
        }
    }

    Answer run() {
        if (is_all()) {
            for (const auto& [name, topic] : image_.topics_by_name) {
                add_topic(*topic);
            }
        } else if (names_ids()) {
            add_by_id();
        } else {
            add_by_name();
        }
        return Answer{make_answer(head_, response_)};
    }

private:
    [[nodiscard]] bool is_all() const {
        return !request_.topics ||
               (head_.api_version < kNullTopicsVersionMin && request_.topics->empty());
    }
    // One id in the list makes it a list of ids.
    [[nodiscard]] bool names_ids() const {
        return std::any_of(request_.topics->begin(), request_.topics->end(),
                           [](const auto& topic) { return !topic.topic_id.is_zero(); });
    }

    void add_by_id() {
        std::set<TopicId> seen;
        for (const auto& asked : *request_.topics) {
            if (asked.topic_id.is_zero() || !seen.insert(asked.topic_id).second) {
                continue;
            }
            if (const metadata::TopicImage* topic = image_.topic(asked.topic_id)) {
                add_topic(*topic);
                continue;
            }
            auto& out = add_error(error_code(Code::unknown_topic_id));
            out.name.reset();
            out.topic_id = asked.topic_id;
        }
    }

    void add_by_name() {
        std::set<std::string_view> seen;
        for (const auto& asked : *request_.topics) {
            const std::string_view name = asked.name.value_or("");
            if (!seen.insert(name).second) {
                continue;
            }
            if (const metadata::TopicImage* topic = image_.topic(name)) {
                add_topic(*topic);
                continue;
            }
            add_error(missing_code(name)).name = name;
        }
    }

    // Only a name that can never exist is told apart; all else the client is to ask again.
    [[nodiscard]] int16_t missing_code(std::string_view name) const {
        const auto found = create_errors_.find(name);
        // A good name may still clash with another topic's; its creation told.
        const bool is_bad_name =
            !metadata::check_topic_name(name) ||
            (found != create_errors_.end() && found->second.code == Code::invalid_topic_name);
        return error_code(is_bad_name ? Code::invalid_topic_name : Code::unknown_topic);
    }

    MetadataResponse::MetadataResponseTopic& add_error(int16_t code) {
        auto& out = response_.topics.emplace_back();
        out.error_code = code;
        return out;
    }

    void add_topic(const metadata::TopicImage& topic) {
        auto& out = response_.topics.emplace_back();
        out.name = topic.name;
        out.topic_id = topic.id;
        out.is_internal = topic.is_internal();
        if (request_.include_topic_authorized_operations) {
            out.topic_authorized_operations = kTopicOperations;
        }
        out.partitions.reserve(topic.partitions.size());
        for (size_t i = 0; i < topic.partitions.size(); i++) {
            auto& partition = out.partitions.emplace_back();
            fill_partition(image_, static_cast<int32_t>(i), topic.partitions[i], partition);
            if (head_.api_version == 0) {
                hide_offline_replicas(partition);
            }
        }
    }

    // Version 0 alone lists live replicas only, and says so.
    void hide_offline_replicas(MetadataResponse::MetadataResponsePartition& partition) const {
        const auto is_offline = [this](int32_t id) {
            return !image_.brokers.contains(BrokerId(id));
        };
        const size_t hidden = std::erase_if(partition.replica_nodes, is_offline) +
                              std::erase_if(partition.isr_nodes, is_offline);
        if (hidden > 0 && partition.error_code == 0) {
            partition.error_code = static_cast<int16_t>(KafkaError::replica_not_available);
        }
    }

    const ReplyHead& head_;
    const MetadataRequest& request_;
    const metadata::Image& image_;
    const CreateErrors& create_errors_;
    MetadataResponse response_;
};

// Versions 10 and 11 have the id field but may not use it.
bool uses_ids_too_early(const MetadataRequest& request, int16_t version) {
    return version < kTopicIdsVersionMin && request.topics &&
           std::any_of(request.topics->begin(), request.topics->end(),
                       [](const auto& topic) { return !topic.topic_id.is_zero() || !topic.name; });
}

// The answer has no error of its own below version 13: each topic says it.
Answer refuse_whole(const ReplyHead& head, const MetadataRequest& request) {
    MetadataResponse response;
    for (const auto& topic : *request.topics) {
        auto& out = response.topics.emplace_back();
        out.name = topic.name.value_or("");
        out.topic_id = topic.topic_id;
        out.error_code = error_code(Code::invalid_request);
    }
    return Answer{make_answer(head, response)};
}

// The topics this request lets the broker create. Topics of the broker's own are not made this way:
// they need options that only their coordinators know.
std::vector<metadata::NewTopic> topics_to_create(const MetadataRequest& request,
                                                 const request::Services& services) {
    std::vector<metadata::NewTopic> topics;
    if (!request.topics || !request.allow_auto_topic_creation ||
        !services.config().auto_create_topics_enable) {
        return topics;
    }
    std::set<std::string_view> seen;
    for (const auto& topic : *request.topics) {
        if (topic.name && !topic.name->empty() && topic.topic_id.is_zero() &&
            !metadata::is_internal_topic(*topic.name) &&
            services.image()->topic(*topic.name) == nullptr && seen.insert(*topic.name).second) {
            topics.emplace_back().name = *topic.name;
        }
    }
    return topics;
}

class AutoCreatePending final : public ChangePending<metadata::CreateTopics> {
public:
    AutoCreatePending(const Context& context, MetadataRequest request,
                      const std::vector<metadata::NewTopic>& topics)
        : ChangePending(context, metadata::CreateTopics(topics, false, context.services.config()),
                        kAutoCreateMaxMs),
          request_(std::move(request)) {
        for (const metadata::NewTopic& topic : topics) {
            names_.push_back(topic.name);
        }
    }

private:
    // The image has the topics by now; what is missing all the same has its reason in the results.
    Answer answer(request::Services& services) override {
        CreateErrors errors;
        const auto& results = operation_.results();
        for (size_t i = 0; i < results.size(); i++) {
            if (results[i].error) {
                errors.emplace(names_[i], *results[i].error);
            }
        }
        return Answerer(head(), request_, services, errors).run();
    }

    MetadataRequest request_;
    std::vector<std::string> names_; // of the topics to create, in the order of the results
};

} // namespace

Outcome handle_metadata(const Context& context) {
    KAFKA_DECODE(MetadataRequest, request, context);
    if (uses_ids_too_early(request, context.head.api_version)) {
        return refuse_whole(context.head, request);
    }
    std::vector<metadata::NewTopic> missing = topics_to_create(request, context.services);
    if (!missing.empty()) {
        return std::make_unique<AutoCreatePending>(context, std::move(request), missing);
    }
    return Answerer(context.head, request, context.services, {}).run();
}

} // namespace qtool::kafka
