// ConsumerMember: a member by ConsumerGroupHeartbeat (KIP-848): the coordinator assigns, the member
// gives back before others are given. Sometimes it takes its time over that.
#pragma once

#include "tests/sim/group_member.h"

#include <map>

namespace qtool::sim {

class ConsumerMember final : public GroupMember {
public:
    explicit ConsumerMember(Setup setup);

private:
    void ask_join() override;
    void ask_heartbeat() override;
    void ask_leave() override;
    void forget() override;
    void on_reconnect() override { says_all_ = true; }
    [[nodiscard]] bool is_classic() const override { return false; }

    struct Beat { // a heartbeat under way
        MonoTime sent{};
        int32_t epoch = 0;
        int16_t version = 1;
    };
    void ask_topics();
    void send(int32_t epoch, bool says_all);
    void on_beaten(ByteView body, const Beat& beat);
    void on_assignment(const std::vector<uint16_t>& numbers);
    void give_back();

    std::map<std::string, Uuid> topic_ids_;
    std::vector<uint16_t> assigned_; // as told last: what it may have
    bool gives_back_ = false;        // it has more than that
    bool says_all_ = false;          // an answer may have been lost
    MonoTime give_back_due_{};
};

} // namespace qtool::sim
