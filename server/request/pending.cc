#include "server/request/pending.h"

#include "lib/base/assert.h"

namespace qtool::request {

// A pending request overrides what it asked for; an answer it never asked for is our own bug.
void Pending::on_partition_reply(replica::PartitionReply, Services&) {
    QT_UNREACHABLE();
}
void Pending::on_partition_wake(uint32_t, Services&) {
    QT_UNREACHABLE();
}
void Pending::on_changed(Services&) {
    QT_UNREACHABLE();
}
void Pending::on_peer_answer(peer::Answer, Services&) {
    QT_UNREACHABLE();
}
void Pending::on_deadline(Services&) {
    QT_UNREACHABLE();
}
void Pending::on_draining(Services&) {}
void Pending::on_partitions_changed(Services&) {}
void Pending::on_abandoned(Services&) {}

} // namespace qtool::request
