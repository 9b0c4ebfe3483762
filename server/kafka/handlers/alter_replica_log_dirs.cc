// AlterReplicaLogDirs (key 34): partitions of this broker go to another of its log directories
// (KIP-113). The answer says that a move has begun; DescribeLogDirs shows how far it is. Moving a
// partition to where it is ends a move that is under way. Unlike Kafka's, it also begins while some
// other log directory is offline: where a partition lives does not hang on that here.
#include "lib/protocol/msg/alter_replica_log_dirs.h"

#include "lib/protocol/kafka_error.h"
#include "server/kafka/handlers/handlers.h"
#include "server/kafka/handlers/partition_fan_out.h"

#include <algorithm>
#include <map>
#include <string_view>

namespace qtool::kafka {

namespace {

using protocol::AlterReplicaLogDirsRequest;
using protocol::AlterReplicaLogDirsResponse;

class AlterReplicaLogDirsPending final : public FanOut<replica::MoveResult> {
public:
    AlterReplicaLogDirsPending(const Context& context, AlterReplicaLogDirsRequest request)
        : FanOut(context),
          request_(std::move(request)),
          dirs_(context.services.log_dirs()) {}

private:
    void ask_all() override {
        for (const auto& dir : request_.dirs) {
            const auto at = std::find_if(dirs_.begin(), dirs_.end(),
                                         [&](const auto& view) { return view.path == dir.path; });
            for (const auto& topic : dir.topics) {
                for (const int32_t index : topic.partitions) {
                    ask_one(topic.name, index, at);
                }
            }
        }
    }

    void ask_one(std::string_view topic, int32_t index,
                 std::vector<replica::LogDirView>::const_iterator dir) {
        Item& item = items_[topic].emplace_back();
        item.index = index;
        item.slot = slots().size();
        if (dir == dirs_.end()) {
            item.error = static_cast<int16_t>(protocol::KafkaError::log_dir_not_found);
            refuse(Error(Code::resource_not_found, "no such log directory"));
        } else if (dir->failure) {
            refuse(*dir->failure);
        } else {
            ask(topic, index, kNoLeaderEpoch,
                replica::MoveOp{static_cast<size_t>(dir - dirs_.begin())});
        }
    }

    std::vector<port::Piece> answer() override {
        AlterReplicaLogDirsResponse response;
        for (const auto& [topic, items] : items_) {
            auto& topic_out = response.results.emplace_back();
            topic_out.topic_name = topic;
            for (const Item& item : items) {
                const Slot& slot = slots()[item.slot];
                auto& out = topic_out.partitions.emplace_back();
                out.partition_index = item.index;
                out.error_code = item.error != 0 ? item.error
                                 : slot.error    ? error_code(slot.error->code)
                                                 : int16_t{0};
            }
        }
        return make_answer(head(), response);
    }

    struct Item {
        int32_t index = 0;
        size_t slot = 0;
        int16_t error = 0; // instead of the slot's
    };
    AlterReplicaLogDirsRequest request_;
    std::vector<replica::LogDirView> dirs_;
    std::map<std::string_view, std::vector<Item>> items_; // by topic; names are in the frame
};

} // namespace

Outcome handle_alter_replica_log_dirs(const Context& context) {
    KAFKA_DECODE(AlterReplicaLogDirsRequest, request, context);
    return std::make_unique<AlterReplicaLogDirsPending>(context, std::move(request));
}

} // namespace qtool::kafka
