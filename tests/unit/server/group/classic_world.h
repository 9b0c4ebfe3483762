// What tests of classic groups say often: a member joins, a group of some size is stable.
#pragma once

#include "lib/protocol/msg/heartbeat.h"
#include "lib/protocol/msg/join_group.h"
#include "lib/protocol/msg/leave_group.h"
#include "lib/protocol/msg/sync_group.h"

#include "group_world.h"

namespace qtool::test {

inline constexpr int16_t kJoin = 9;
inline constexpr int16_t kSync = 5;
inline constexpr int16_t kBeat = 4;

inline constexpr int16_t kRebalanceInProgress = 27;
inline constexpr int16_t kUnknownMember = 25;

/// A subscription of the consumer protocol.
inline std::vector<std::byte> subscription(const std::vector<std::string>& topics) {
    ByteWriter writer;
    writer.be<int16_t>(1);
    writer.be<int32_t>(static_cast<int32_t>(topics.size()));
    for (const std::string& topic : topics) {
        writer.be<int16_t>(static_cast<int16_t>(topic.size()));
        writer.bytes(as_bytes(topic));
    }
    writer.be<int32_t>(-1);
    return writer.take();
}

/// A request to join, kept with the text it points to.
struct JoinText {
    std::string member_id = {};
    std::optional<std::string> instance_id = {};
    std::string protocol_type = "consumer";
    std::vector<std::pair<std::string, std::vector<std::byte>>> protocols = {
        {"range", subscription({"t"})}};
    int32_t session_timeout_ms = 10'000;
    int32_t rebalance_timeout_ms = 60'000;
    std::string group_id = "g";

    [[nodiscard]] protocol::JoinGroupRequest request() const {
        protocol::JoinGroupRequest out;
        out.group_id = group_id;
        out.member_id = member_id;
        if (instance_id) {
            out.group_instance_id = *instance_id;
        }
        out.protocol_type = protocol_type;
        out.session_timeout_ms = session_timeout_ms;
        out.rebalance_timeout_ms = rebalance_timeout_ms;
        for (const auto& [name, metadata] : protocols) {
            out.protocols.push_back({name, metadata});
        }
        return out;
    }
};

class ClassicWorld : public GroupWorld {
public:
    Token send_join(const JoinText& text, int16_t version = kJoin) {
        return send(text.request(), version);
    }
    /// The answer to a join that does not wait.
    protocol::JoinGroupResponse call_join(const JoinText& text, int16_t version = kJoin) {
        return call<protocol::JoinGroupResponse>(text.request(), version);
    }
    /// Sends the join of a member, after the round that gives a dynamic one its id.
    std::pair<std::string, Token> join(JoinText text = {}) {
        if (text.member_id.empty() && !text.instance_id) {
            const auto first = call_join(text);
            REQUIRE(first.error_code == 79);
            text.member_id = first.member_id;
        }
        return {text.member_id, send_join(text)};
    }
    protocol::JoinGroupResponse joined(Token token) {
        return take<protocol::JoinGroupResponse>(token, kJoin);
    }
    Token sync(std::string_view member_id, int32_t generation,
               const std::vector<std::pair<std::string, std::string>>& assignments = {}) {
        protocol::SyncGroupRequest request;
        request.group_id = "g";
        request.member_id = member_id;
        request.generation_id = generation;
        request.protocol_type = "consumer";
        request.protocol_name = "range";
        for (const auto& [id, bytes] : assignments) {
            request.assignments.push_back({id, as_bytes(bytes)});
        }
        return send(request, kSync);
    }
    protocol::SyncGroupResponse synced(Token token) {
        return take<protocol::SyncGroupResponse>(token, kSync);
    }
    int16_t beat(std::string_view member_id, int32_t generation,
                 std::optional<std::string_view> instance_id = {}) {
        protocol::HeartbeatRequest request;
        request.group_id = "g";
        request.member_id = member_id;
        request.generation_id = generation;
        request.group_instance_id = instance_id;
        return call<protocol::HeartbeatResponse>(request, kBeat).error_code;
    }
    int16_t leave(std::string_view member_id) {
        protocol::LeaveGroupRequest request;
        request.group_id = "g";
        request.members.emplace_back().member_id = member_id;
        return call<protocol::LeaveGroupResponse>(request, 5).members[0].error_code;
    }
    /// The members of "g" that have an instance id, or those that have none.
    std::vector<std::string> members(bool is_static) const {
        std::vector<std::string> ids;
        const auto* group = dynamic_cast<const group::ClassicGroup*>(find("g"));
        REQUIRE(group != nullptr);
        for (const auto& [id, member] : group->members) {
            if (member.instance_id.has_value() == is_static) {
                ids.push_back(id);
            }
        }
        return ids;
    }
    /// Group "g", generation 1, Stable: the ids of its members, the leader first.
    std::vector<std::string> stable(const std::vector<JoinText>& texts) {
        std::vector<Token> tokens;
        for (const JoinText& text : texts) {
            tokens.push_back(join(text).second);
        }
        wait(6s);
        std::vector<std::string> ids;
        std::string leader;
        for (const Token token : tokens) {
            const auto response = joined(token);
            REQUIRE(response.error_code == 0);
            leader = response.leader;
            ids.emplace_back(response.member_id);
        }
        std::iter_swap(ids.begin(), std::find(ids.begin(), ids.end(), leader));
        std::vector<std::pair<std::string, std::string>> assignments;
        for (const std::string& id : ids) {
            assignments.emplace_back(id, "for " + id);
        }
        for (size_t i = ids.size(); i-- > 0;) { // the leader last
            tokens[i] = sync(ids[i], 1, i == 0 ? assignments : decltype(assignments)());
        }
        for (size_t i = 0; i < ids.size(); i++) {
            const auto response = synced(tokens[i]);
            REQUIRE(response.error_code == 0);
            CHECK(as_text(response.assignment) == "for " + ids[i]);
        }
        REQUIRE(state_of("g") == "Stable");
        return ids;
    }
};

} // namespace qtool::test
