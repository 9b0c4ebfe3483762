// DescribeLogDirs (key 35): the log directories of this broker, their space, and the size of each
// partition in them (KIP-113, KIP-827). A directory that is offline is listed with
// KAFKA_STORAGE_ERROR and without partitions; a partition that cannot answer is left out.
// A partition on its way to another directory is also shown there, as a future one. No directory is
// ever cordoned (KIP-1066).
#include "lib/protocol/msg/describe_log_dirs.h"

#include "server/kafka/handlers/handlers.h"
#include "server/kafka/handlers/partition_fan_out.h"

#include <algorithm>
#include <map>
#include <string>

namespace qtool::kafka {

namespace {

using protocol::DescribeLogDirsRequest;
using protocol::DescribeLogDirsResponse;

class DescribeLogDirsPending final : public FanOut<replica::DescribeResult> {
public:
    DescribeLogDirsPending(const Context& context, DescribeLogDirsRequest request)
        : FanOut(context),
          request_(std::move(request)),
          dirs_(context.services.log_dirs()),
          self_(context.services.broker_id()) {}

private:
    void ask_all() override {
        if (!request_.topics) { // null: all
            for (const auto& [name, topic] : image().topics_by_name) {
                for (size_t i = 0; i < topic->partitions.size(); i++) {
                    ask_once(topic->name, static_cast<int32_t>(i));
                }
            }
            return;
        }
        for (const auto& topic : *request_.topics) {
            for (const int32_t index : topic.partitions) {
                ask_once(topic.topic, index);
            }
        }
    }

    // Unknown partitions are not in any directory, so they are left out.
    void ask_once(std::string_view topic_name, int32_t index) {
        const metadata::TopicImage* topic = image().topic(topic_name);
        const metadata::PartitionImage* partition =
            topic == nullptr ? nullptr : find_partition(*topic, index);
        if (partition == nullptr ||
            std::find(partition->replicas.begin(), partition->replicas.end(), self_) ==
                partition->replicas.end()) {
            return;
        }
        asked_.push_back({topic_name, index});
        ask(topic_name, index, kNoLeaderEpoch, replica::DescribeOp{});
    }

    std::vector<port::Piece> answer() override {
        DescribeLogDirsResponse response;
        for (size_t i = 0; i < dirs_.size(); i++) {
            const replica::LogDirView& dir = dirs_[i];
            auto& out = response.results.emplace_back();
            out.log_dir = dir.path;
            if (dir.failure) {
                out.error_code = error_code(dir.failure->code);
                continue;
            }
            if (dir.total_bytes > 0) {
                out.total_bytes = static_cast<int64_t>(dir.total_bytes);
                out.usable_bytes = static_cast<int64_t>(dir.free_bytes);
            }
            answer_partitions(static_cast<int32_t>(i), out);
        }
        return make_answer(head(), response);
    }

    template <class Result>
    void answer_partitions(int32_t dir, Result& out) const {
        std::map<std::string_view, std::map<int32_t, const replica::DescribeResult*>> found;
        for (size_t i = 0; i < asked_.size(); i++) {
            const Slot& slot = slots()[i];
            if (!slot.error && (slot.result.log_dir == dir || slot.result.future_log_dir == dir)) {
                found[asked_[i].topic][asked_[i].index] = &slot.result;
            }
        }
        for (const auto& [topic, partitions] : found) {
            auto& topic_out = out.topics.emplace_back();
            topic_out.name = topic;
            for (const auto& [index, described] : partitions) {
                auto& partition_out = topic_out.partitions.emplace_back();
                partition_out.partition_index = index;
                const bool is_future = described->log_dir != dir;
                partition_out.is_future_key = is_future;
                partition_out.partition_size = static_cast<int64_t>(
                    is_future ? described->future_size_bytes : described->size_bytes);
                partition_out.offset_lag = is_future ? described->future_offset_lag : 0;
            }
        }
    }

    struct Asked {
        std::string_view topic; // of the request's frame or the image, both kept
        int32_t index = 0;
    };
    DescribeLogDirsRequest request_;
    std::vector<replica::LogDirView> dirs_;
    BrokerId self_;
    std::vector<Asked> asked_; // in the order of slots()
};

} // namespace

Outcome handle_describe_log_dirs(const Context& context) {
    KAFKA_DECODE(DescribeLogDirsRequest, request, context);
    return std::make_unique<DescribeLogDirsPending>(context, std::move(request));
}

} // namespace qtool::kafka
