// FanOut: a pending request that asks each of its partitions one thing and answers when all have
// replied, in the order of the request. Base of ListOffsets, DeleteRecords, OffsetForLeaderEpoch.
// Lives on the core of the connection, like every pending request.
#pragma once

#include "server/kafka/context.h"
#include "server/kafka/error_map.h"
#include "server/kafka/handlers/topic_view.h"

#include <optional>
#include <utility>
#include <vector>

namespace qtool::kafka {

/// `PartitionAnswer` is the alternative of replica::PartitionResult that the operation gives.
template <class PartitionAnswer>
class FanOut : public request::Pending {
public:
    explicit FanOut(const Context& context) : head_(context.head), chunk_(context.chunk) {}

    void start(Token self, request::Services& services) final {
        self_ = self;
        image_ = services.image();
        ask_all();
        waiting_ = asked_.size();
        if (waiting_ == 0) {
            finish(services);
        } else {
            services.submit(std::exchange(asked_, {}));
        }
    }

    void on_partition_reply(replica::PartitionReply reply, request::Services& services) final {
        QT_ASSERT(reply.index < slots_.size() && waiting_ > 0);
        if (reply.result) {
            slots_[reply.index].result = std::get<PartitionAnswer>(*std::move(reply.result));
        } else {
            slots_[reply.index].error = std::move(reply.result).error();
        }
        if (--waiting_ == 0) {
            finish(services);
        }
    }

protected:
    struct Slot {
        std::optional<Error> error;
        PartitionAnswer result; // meaningful when there is no error
    };

    /// Calls ask or refuse once for each partition of the request, in order.
    virtual void ask_all() = 0;
    /// Builds the answer from slots(), which are in that same order.
    virtual std::vector<port::Piece> answer() = 0;

    void refuse(Error error) { slots_.emplace_back().error = std::move(error); }

    /// Submits `op` to the partition, or refuses an unknown one.
    void ask(std::string_view topic_name, int32_t index, LeaderEpoch current_leader_epoch,
             replica::PartitionOp op) {
        const metadata::TopicImage* topic = image_->topic(topic_name);
        if (topic == nullptr) {
            refuse(Error(Code::unknown_topic));
            return;
        }
        if (find_partition(*topic, index) == nullptr) {
            refuse(Error(Code::unknown_partition));
            return;
        }
        replica::PartitionRequest& request = asked_.emplace_back();
        request.request = self_;
        request.index = static_cast<uint32_t>(slots_.size());
        request.key = PartitionKey{topic->id, PartitionIndex(index)};
        request.current_leader_epoch = current_leader_epoch;
        request.op = std::move(op);
        slots_.emplace_back();
    }

    /// Into the topics of the response each partition of those asked for, filled from its slot.
    template <class Topics, class TopicsOut, class FillPartition>
    void fill(const Topics& topics, TopicsOut& topics_out, FillPartition fill_partition) const {
        size_t next = 0;
        for (const auto& topic : topics) {
            auto& topic_out = topics_out.emplace_back();
            topic_out.name = topic.name;
            for (const auto& partition : topic.partitions) {
                auto& out = topic_out.partitions.emplace_back();
                out.partition_index = partition.partition_index;
                fill_partition(partition, slots_[next++], out);
            }
        }
    }

    [[nodiscard]] const metadata::Image& image() const { return *image_; }
    [[nodiscard]] const std::vector<Slot>& slots() const { return slots_; }
    [[nodiscard]] const ReplyHead& head() const { return head_; }

private:
    void finish(request::Services& services) { services.finish(self_, answer()); }

    ReplyHead head_;
    ChunkRef chunk_; // names in the decoded request are views of it
    Token self_;
    metadata::ImageRef image_;
    std::vector<Slot> slots_; // in request order
    std::vector<replica::PartitionRequest> asked_;
    size_t waiting_ = 0;
};

} // namespace qtool::kafka
