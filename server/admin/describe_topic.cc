#include "server/admin/describe_topic.h"

#include "lib/base/byte_writer.h"
#include "lib/protocol/msg/describe_log_dirs.h"
#include "lib/protocol/msg/list_offsets.h"
#include "server/admin/service.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace qtool::admin {

namespace {

using protocol::DescribeLogDirsRequest;
using protocol::DescribeLogDirsResponse;
using protocol::ListOffsetsRequest;
using protocol::ListOffsetsResponse;

constexpr int16_t kLogDirsVersion = 2;
constexpr int16_t kOffsetsVersion = 7;
constexpr Duration kAnswerMax = 3s; // of another broker
constexpr int32_t kAnyReplica = -2; // replica_id of a tool that asks whoever has the partition
constexpr int32_t kClient = -1;
constexpr int64_t kLatest = -1;
constexpr int64_t kEarliest = -2;

class DescribeTopicPending final : public HttpPending {
public:
    DescribeTopicPending(const Exchange& exchange, TopicDescription description,
                         std::shared_ptr<const metadata::TopicImage> topic)
        : HttpPending(exchange),
          description_(std::move(description)),
          topic_(std::move(topic)),
          replicas_(topic_->partitions.size()) {}

    void start(Token self, request::Services& services) override {
        self_ = self;
        broker_ = services.broker_id();
        image_ = services.image();
        std::map<BrokerId, std::vector<int32_t>> elsewhere;
        std::vector<replica::PartitionRequest> here;
        for (size_t i = 0; i < topic_->partitions.size(); i++) {
            const auto index = static_cast<int32_t>(i);
            for (const BrokerId replica : topic_->partitions[i].replicas) {
                if (replica != broker_) {
                    elsewhere[replica].push_back(index);
                    continue;
                }
                replica::PartitionRequest& ask = here.emplace_back();
                ask.request = self;
                ask.index = static_cast<uint32_t>(index);
                ask.key = PartitionKey{topic_->id, PartitionIndex(index)};
                ask.op = replica::DescribeOp{};
            }
        }
        waiting_ = here.size();
        services.submit(std::move(here));
        for (const auto& [broker, partitions] : elsewhere) {
            if (image_->is_live(broker)) {
                ask_broker(broker, partitions, services);
            }
        }
        finish_when_done(services);
    }

    void on_partition_reply(replica::PartitionReply reply, request::Services& services) override {
        QT_ASSERT(reply.index < replicas_.size() && waiting_ > 0);
        waiting_--;
        // A partition that cannot answer (offline) keeps its offsets absent.
        if (reply.result) {
            const auto& found = std::get<replica::DescribeResult>(*reply.result);
            Replica& replica = replicas_[reply.index][broker_];
            replica.end = found.log_end_offset.value();
            replica.size_bytes = static_cast<int64_t>(found.size_bytes);
            if (leader_of(reply.index) == broker_) {
                add_offsets(description_.partitions[reply.index], found, services.log_dirs());
            }
        }
        finish_when_done(services);
    }

    void on_peer_answer(peer::Answer answer, request::Services& services) override {
        QT_ASSERT(answer.index < questions_.size() && waiting_ > 0);
        waiting_--;
        const Question& question = questions_[answer.index];
        if (!answer.result) {
            // It is as if the broker were not there.
        } else if (question.kind == Kind::sizes) {
            take_sizes(question.broker, answer);
        } else {
            take_offsets(question, answer);
        }
        finish_when_done(services);
    }

private:
    enum class Kind : uint8_t { sizes, replica_ends, starts, high_watermarks };
    struct Question {
        Kind kind;
        BrokerId broker;
    };
    struct Replica {
        std::optional<int64_t> end;
        std::optional<int64_t> size_bytes;
    };

    [[nodiscard]] BrokerId leader_of(size_t partition) const {
        return topic_->partitions[partition].leader;
    }
    [[nodiscard]] bool is_partition(int32_t index) const {
        return index >= 0 && static_cast<size_t>(index) < replicas_.size();
    }

    // ---- questions ----------------------------------------------------------------------------

    void ask_broker(BrokerId broker, const std::vector<int32_t>& partitions,
                    request::Services& services) {
        DescribeLogDirsRequest sizes;
        auto& topic = sizes.topics.emplace().emplace_back();
        topic.topic = topic_->name;
        topic.partitions = partitions;
        ask({Kind::sizes, broker}, sizes, kLogDirsVersion, services);
        ask_offsets({Kind::replica_ends, broker}, partitions, kAnyReplica, kLatest, services);
        std::vector<int32_t> led;
        std::copy_if(partitions.begin(), partitions.end(), std::back_inserter(led),
                     [&](int32_t at) { return leader_of(static_cast<size_t>(at)) == broker; });
        if (!led.empty()) {
            ask_offsets({Kind::starts, broker}, led, kClient, kEarliest, services);
            ask_offsets({Kind::high_watermarks, broker}, led, kClient, kLatest, services);
        }
    }

    void ask_offsets(Question question, const std::vector<int32_t>& partitions, int32_t replica_id,
                     int64_t timestamp, request::Services& services) {
        ListOffsetsRequest request;
        request.replica_id = replica_id;
        auto& topic = request.topics.emplace_back();
        topic.name = topic_->name;
        for (const int32_t index : partitions) {
            auto& partition = topic.partitions.emplace_back();
            partition.partition_index = index;
            partition.timestamp = timestamp;
        }
        ask(question, request, kOffsetsVersion, services);
    }

    template <class Request>
    void ask(Question question, const Request& request, int16_t version,
             request::Services& services) {
        ByteWriter body;
        request.encode(body, version);
        peer::Call call;
        call.to = question.broker;
        call.api_key = Request::kApiKey;
        call.version = version;
        call.body = body.take();
        call.deadline = services.now() + kAnswerMax;
        call.index = static_cast<uint32_t>(questions_.size());
        questions_.push_back(question);
        waiting_++;
        services.call_peer(self_, std::move(call));
    }

    // ---- answers ------------------------------------------------------------------------------

    void take_sizes(BrokerId broker, const peer::Answer& answer) {
        const auto response = DescribeLogDirsResponse::decode(answer.body(), kLogDirsVersion);
        if (!response) {
            return;
        }
        for (const auto& dir : response->results) {
            for (const auto& topic : dir.topics) {
                for (const auto& partition : topic.partitions) {
                    if (topic.name == topic_->name && is_partition(partition.partition_index) &&
                        !partition.is_future_key) {
                        replicas_[static_cast<size_t>(partition.partition_index)][broker]
                            .size_bytes = partition.partition_size;
                    }
                }
            }
        }
    }

    void take_offsets(const Question& question, const peer::Answer& answer) {
        const auto response = ListOffsetsResponse::decode(answer.body(), kOffsetsVersion);
        if (!response) {
            return;
        }
        for (const auto& topic : response->topics) {
            for (const auto& partition : topic.partitions) {
                if (partition.error_code != 0 || !is_partition(partition.partition_index)) {
                    continue;
                }
                const auto index = static_cast<size_t>(partition.partition_index);
                if (question.kind == Kind::replica_ends) {
                    replicas_[index][question.broker].end = partition.offset;
                } else if (question.kind == Kind::starts) {
                    description_.partitions[index].log_start_offset = partition.offset;
                } else {
                    description_.partitions[index].high_watermark = partition.offset;
                }
            }
        }
    }

    void finish_when_done(request::Services& services) {
        if (waiting_ > 0) {
            return;
        }
        for (size_t i = 0; i < replicas_.size(); i++) {
            complete(description_.partitions[i], topic_->partitions[i], replicas_[i]);
        }
        answer(self_, reply_json(200, encode(description_)), services);
    }

    void complete(PartitionDescription& out, const metadata::PartitionImage& partition,
                  const std::map<BrokerId, Replica>& known) const {
        const auto leader = known.find(partition.leader);
        if (leader != known.end()) {
            out.log_end_offset = leader->second.end;
            out.size_bytes = leader->second.size_bytes;
        }
        for (const BrokerId id : partition.replicas) {
            ReplicaState& state = out.replica_states.emplace_back();
            state.broker = id.value();
            state.live = id == broker_ || image_->is_live(id);
            state.in_sync =
                std::find(partition.isr.begin(), partition.isr.end(), id) != partition.isr.end();
            const auto at = known.find(id);
            if (at == known.end()) {
                continue;
            }
            state.log_end_offset = at->second.end;
            state.size_bytes = at->second.size_bytes;
            if (out.log_end_offset && state.log_end_offset) {
                // Asked one after the other: a follower may be seen ahead of an older leader.
                state.lag = std::max<int64_t>(*out.log_end_offset - *state.log_end_offset, 0);
            }
        }
    }

    TopicDescription description_;
    std::shared_ptr<const metadata::TopicImage> topic_;
    metadata::ImageRef image_;
    std::vector<std::map<BrokerId, Replica>> replicas_; // by partition
    std::vector<Question> questions_;                   // by index of the call
    BrokerId broker_ = kNoBroker;                       // this one
    Token self_;
    size_t waiting_ = 0;
};

} // namespace

std::unique_ptr<request::Pending>
describe_topic(const Exchange& exchange, TopicDescription description,
               std::shared_ptr<const metadata::TopicImage> topic) {
    return std::make_unique<DescribeTopicPending>(exchange, std::move(description),
                                                  std::move(topic));
}

} // namespace qtool::admin
