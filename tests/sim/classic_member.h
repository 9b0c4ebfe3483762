// ClassicMember: a member by JoinGroup, SyncGroup, Heartbeat and LeaveGroup; the leader among them
// assigns the partitions.
#pragma once

#include "tests/sim/group_member.h"

namespace qtool::sim {

class ClassicMember final : public GroupMember {
public:
    explicit ClassicMember(Setup setup) : GroupMember(std::move(setup)) {}

private:
    void ask_join() override;
    void ask_heartbeat() override;
    void ask_leave() override;
    void forget() override;
    [[nodiscard]] bool is_classic() const override { return true; }

    /// True: no error. Else the member tries again, from the beginning where it must.
    bool goes_on(const char* api, int16_t error_code);
    void on_joined(ByteView body, int16_t version, int32_t known_generation);
    void ask_sync(const std::vector<std::string>& members);
    void on_synced(ByteView body, int16_t version);
};

} // namespace qtool::sim
