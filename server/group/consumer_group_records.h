// The records of consumer groups in `__consumer_offsets`: made here, replayed here.
//
//   type  key                  value
//   3     group                epoch of the group, hash of its topics     tombstone: no such group
//   4     group                (older brokers only; read over)
//   5     group, member        MemberMetadata                            tombstone: member gone
//   6     group                epoch of the target
//   7     group, member        target of the member
//   8     group, member        MemberProgress
//   16    group, expression    ResolvedRegex
//
// Key: int16 type, then the fields; value: int16 version 0, then the fields
// (lib/protocol/schema/records).
#pragma once

#include "lib/base/result.h"
#include "server/coordinator/machine.h"
#include "server/group/consumer_group.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace qtool::group {

struct ShardState;

coordinator::NewRecord group_record(std::string_view group, int32_t epoch, int64_t metadata_hash);
coordinator::NewRecord group_tombstone(std::string_view group);
coordinator::NewRecord member_record(std::string_view group, std::string_view member,
                                     const MemberMetadata& metadata);
coordinator::NewRecord member_tombstone(std::string_view group, std::string_view member);
coordinator::NewRecord target_epoch_record(std::string_view group, int32_t epoch,
                                           int64_t timestamp_ms);
coordinator::NewRecord target_epoch_tombstone(std::string_view group);
coordinator::NewRecord target_record(std::string_view group, std::string_view member,
                                     const Assignment& target);
coordinator::NewRecord target_tombstone(std::string_view group, std::string_view member);
coordinator::NewRecord progress_record(std::string_view group, std::string_view member,
                                       const MemberProgress& progress);
coordinator::NewRecord progress_tombstone(std::string_view group, std::string_view member);
coordinator::NewRecord regex_record(std::string_view group, std::string_view regex,
                                    const ResolvedRegex& resolved);
coordinator::NewRecord regex_tombstone(std::string_view group, std::string_view regex);

/// All that takes a member out of the group.
void add_member_tombstones(std::string_view group, std::string_view member,
                           std::vector<coordinator::NewRecord>& records);

[[nodiscard]] bool is_consumer_group_record(int16_t type);
/// `type` is_consumer_group_record and was read from the key. Errors: malformed and its kin.
Result<void> replay_consumer_group(ShardState& state, int16_t type,
                                   const coordinator::Record& record);

} // namespace qtool::group
