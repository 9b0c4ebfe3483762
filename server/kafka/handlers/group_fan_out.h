// GroupFanOut: a request that names several groups. They are split by the shards they belong to,
// each shard gets one request with its groups, and the answers are put back in the order asked.
#pragma once

#include "server/kafka/handlers/coordinator_call.h"

#include <map>
#include <utility>
#include <vector>

namespace qtool::kafka {

/// `Outcomes` is the vector of a response that has one element for each group.
template <class Request, class Response, class Outcomes>
class GroupFanOut : public CoordinatorFanOut {
public:
    GroupFanOut(const Context& context, Request request)
        : CoordinatorFanOut(context, metadata::kGroupTopic),
          request_(std::move(request)) {}

protected:
    [[nodiscard]] virtual size_t group_count() const = 0;
    [[nodiscard]] virtual std::string_view group_id(size_t index) const = 0;
    /// The request with these groups alone.
    [[nodiscard]] virtual Request part(const std::vector<size_t>& groups) const = 0;
    /// The outcomes in a response, one for each group of its request, in that order.
    [[nodiscard]] virtual Outcomes& outcomes(Response& response) const = 0;
    /// The outcome of a group whose coordinator did not answer.
    virtual void fail(typename Outcomes::value_type& outcome, size_t index,
                      int16_t error_code) const = 0;

    [[nodiscard]] const Request& request() const { return request_; }

private:
    void ask_all() final {
        for (size_t i = 0; i < group_count(); i++) {
            by_shard_[shard_of(group_id(i))].push_back(i);
        }
        for (const auto& [shard, groups] : by_shard_) {
            ask_shard(shard, head().api_version, part(groups));
        }
    }

    std::vector<port::Piece> answer() final {
        Response response;
        Outcomes& all = outcomes(response);
        all.resize(group_count());
        size_t next_slot = 0;
        for (const auto& [shard, groups] : by_shard_) {
            const Slot& slot = slots()[next_slot++];
            Result<Response> decoded = slot.error
                                           ? Result<Response>(*slot.error)
                                           : Response::decode(slot.result.body, head().api_version);
            QT_ASSERT(slot.error || decoded); // our own coordinator encoded it
            QT_ASSERT(slot.error || outcomes(*decoded).size() == groups.size());
            for (size_t i = 0; i < groups.size(); i++) {
                if (slot.error) {
                    fail(all[groups[i]], groups[i], coordinator_error(*slot.error));
                } else {
                    all[groups[i]] = std::move(outcomes(*decoded)[i]);
                }
            }
        }
        return make_answer(head(), response);
    }

    Request request_; // views of the frame, which FanOut keeps alive
    std::map<PartitionIndex, std::vector<size_t>> by_shard_; // indexes of groups, rising
};

} // namespace qtool::kafka
