// The requests a shard serves: one function, and one file of that name, for each API. Each decodes
// the body, decides, appends, and answers at once or parks the request in a member.
#pragma once

#include "server/coordinator/machine.h"
#include "server/group/shard_state.h"

namespace qtool::group {

void serve_join_group(ShardState& state, const coordinator::Request& request,
                      coordinator::Host& host);
void serve_sync_group(ShardState& state, const coordinator::Request& request,
                      coordinator::Host& host);
void serve_heartbeat(ShardState& state, const coordinator::Request& request,
                     coordinator::Host& host);
void serve_leave_group(ShardState& state, const coordinator::Request& request,
                       coordinator::Host& host);
void serve_offset_commit(ShardState& state, const coordinator::Request& request,
                         coordinator::Host& host);
void serve_txn_offset_commit(ShardState& state, const coordinator::Request& request,
                             coordinator::Host& host);
void serve_offset_fetch(ShardState& state, const coordinator::Request& request,
                        coordinator::Host& host);
void serve_offset_delete(ShardState& state, const coordinator::Request& request,
                         coordinator::Host& host);
void serve_describe_groups(ShardState& state, const coordinator::Request& request,
                           coordinator::Host& host);
void serve_list_groups(ShardState& state, const coordinator::Request& request,
                       coordinator::Host& host);
void serve_delete_groups(ShardState& state, const coordinator::Request& request,
                         coordinator::Host& host);

void serve_consumer_group_heartbeat(ShardState& state, const coordinator::Request& request,
                                    coordinator::Host& host);
void serve_consumer_group_describe(ShardState& state, const coordinator::Request& request,
                                   coordinator::Host& host);

} // namespace qtool::group
