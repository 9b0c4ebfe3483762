// GroupMember: one consumer of a group: finds its coordinator, becomes a member, reads what it is
// given, commits what it has read. Now and then it crashes, leaves, comes back, or sends a commit
// of a former life. How membership works is the derived class's: classic_member, consumer_member.
#pragma once

#include "tests/sim/group_log.h"
#include "tests/sim/workload.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qtool::sim {

class GroupMember {
public:
    struct Setup {
        Client client;
        GroupLog* log = nullptr;
        std::vector<PartitionPlace> partitions; // that the group reads
        std::string instance_id;                // empty: a dynamic member
        Duration session_timeout{};
        Duration rebalance_timeout{};
    };
    explicit GroupMember(Setup setup);
    virtual ~GroupMember() = default;
    GroupMember(const GroupMember&) = delete;
    GroupMember& operator=(const GroupMember&) = delete;

    void start();
    /// From now on it stays a member.
    void finish() { finishing_ = true; }
    /// It is a member, and was told a little while ago that nothing changes.
    [[nodiscard]] bool is_settled() const { return is_joined_ && is_settled_; }

protected:
    /// Who it is to the coordinator.
    struct Identity {
        std::string member_id;
        int32_t generation = -1; // or member epoch
    };
    struct Lane {
        int64_t position = -1; // -1: to be asked for
        int64_t committed = -1;
    };
    enum class Verdict : uint8_t { fine, retry, rejoin, unexpected };

    // ---- of the derived class -----------------------------------------------------------------
    /// Asks for the next step of becoming a member.
    virtual void ask_join() = 0;
    virtual void ask_heartbeat() = 0;
    virtual void ask_leave() = 0;
    /// It crashed, or the coordinator does not know it: nothing is owned.
    virtual void forget() = 0;
    /// The connection was lost, and perhaps an answer with it.
    virtual void on_reconnect() {}
    /// Of a commit: classic groups compare generations, consumer groups do not.
    [[nodiscard]] virtual bool is_classic() const = 0;

    // ---- for it ---------------------------------------------------------------------------------
    KafkaStream& stream() { return line_.stream(); }
    World& world() { return world_; }
    GroupLog& log() { return *setup_.log; }
    [[nodiscard]] const Setup& setup() const { return setup_; }
    Identity& identity() { return identity_; }
    /// What it was given; what it had before is gone, its last generation may come back as a ghost.
    void take(const std::vector<uint16_t>& numbers, bool keeps_positions);
    [[nodiscard]] std::vector<uint16_t> owned() const;
    void set_joined(bool joined) { is_joined_ = joined; }
    void set_settled(bool settled) { is_settled_ = settled; }
    void heartbeat_soon() { heartbeat_due_ = world_.now(); }
    [[nodiscard]] std::optional<uint16_t> number_of(std::string_view topic, int32_t index) const;
    /// What an error means to any member; unexpected ones end the run.
    Verdict judge(const char* api, int16_t error_code);
    void next();
    void next_later(Duration delay) { line_.next_later(delay); }
    void lose_membership();
    /// Perhaps what it has read and not committed is sent later, as of who it is now.
    void leave_ghost();
    void drop_own_ghost();

private:
    struct Ghost { // a commit that a former life did not send
        Identity identity;
        std::string instance_id;
        uint16_t partition = 0;
        int64_t offset = 0;
        MonoTime due{};
    };
    void on_end();
    void live();
    void crash();
    void ask_coordinator();
    void ask_offsets();
    void ask_fetch();
    bool ask_commit();
    void send_commit(const Identity& who, const std::string& instance_id,
                     const std::vector<std::pair<uint16_t, int64_t>>& offsets, bool is_ghost);
    void on_offsets(ByteView body, int16_t version, uint64_t asked);
    [[nodiscard]] const PartitionPlace* place_of(uint16_t number) const;

    Setup setup_;
    World& world_;
    ClientLine line_;
    Identity identity_;
    std::map<uint16_t, Lane> lanes_; // what it owns, by the checker's number
    std::optional<Ghost> ghost_;
    bool has_coordinator_ = false;
    bool is_joined_ = false;
    bool is_settled_ = false;
    bool finishing_ = false;
    bool is_leaving_ = false;
    MonoTime heartbeat_due_{};
    MonoTime commit_due_{};
};

} // namespace qtool::sim
