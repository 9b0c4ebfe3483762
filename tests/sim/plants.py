#!/usr/bin/env python3
"""Bugs planted in copies of production sources, to measure the simulator's checks.

Each plant replaces one text, which must occur exactly once, in one source. tests/sim/CMakeLists.txt
links the patched copy before the library that holds the original. Production code has no hooks.
"""
import argparse
import pathlib
import sys

# name: (source, old text, new text)
PLANTS = {
    # The high watermark rises when records are written, not when they are flushed.
    "ack_at_write": (
        "server/replica/partition.cc",
        "const Offset own_end = write_caching_ ? log_->log_end_offset() : "
        "log_->synced_end_offset();",
        "const Offset own_end = log_->log_end_offset();",
    ),
    # After a crash the broker does not know its producers any more.
    "producers_forgotten": (
        "server/storage/log_recovery.cc",
        "has_producers_ = true; // perhaps; the first append looks for them",
        "has_producers_ = false;",
    ),
    # A retry is acknowledged at once, though its first copy may not be flushed yet.
    "duplicate_ack_early": (
        "server/replica/partition_append.cc",
        "if (op.acks == -1 && appended->last_offset >= high_watermark()) {",
        "if (op.acks == -1 && appended->appended && appended->last_offset >= high_watermark()) {",
    ),
    # Recovery takes what is in the page cache for durable.
    "recovery_unsynced": (
        "server/storage/log_recovery.cc",
        "QT_TRY(synced->sync_blocking());",
        "static_cast<void>(synced);",
    ),
    # A start with many logs serves what is in the page cache alone.
    "start_unsynced": (
        "server/replica/manager.cc",
        "setup_.ports.disk->sync_file_system(dir.path());",
        "Result<void>();",
    ),
    # The entries of a new segment are not made durable with its first records.
    "segment_entry_unsynced": (
        "server/storage/log.cc",
        "    hot_->names_made++;\n",
        "",
    ),
    # Recovery cuts one batch too many off a torn tail.
    "tail_cut_short": (
        "server/storage/segment.cc",
        "            result.good_size = position;\n",
        "            result.good_size = position > 0 ? 0 : position;\n"
        "            result.next_offset = position > 0 ? base_ : result.next_offset;\n",
    ),
    # A batch that arrives during a flush counts as flushed with it.
    "flush_covers_too_much": (
        "server/storage/log_flush.cc",
        "synced_end_ = std::max(synced_end_, work.end_offset);",
        "synced_end_ = std::max(synced_end_, log_end_);",
    ),
    # The old directory of a moved partition goes before the new one's name is durable.
    "move_name_unsynced": (
        "server/storage/log_move.cc",
        "    if (Result<void> synced = disk_.sync_directory(to_.log_directory); !synced) {\n",
        "    if (Result<void> synced; !synced) {\n",
    ),
    # What was written during the last steps of a copy is not brought.
    "move_tail_left": (
        "server/storage/log_move.cc",
        "    QT_TRY(bring_rest(entries));\n    QT_TRY(commit(log));",
        "    QT_TRY(write_move_mark(disk_, future(), {MoveMark::State::arrived, from_.id}));\n"
        "    QT_TRY(commit(log));",
    ),
    # A coordinator's answer leaves before its records are committed.
    "coordinator_answers_early": (
        "server/coordinator/shard.cc",
        "state_ == State::loaded ? partition_.log()->log_end_offset() : replayed_end_;",
        "Offset(0);",
    ),
    # A member of a generation that is over commits offsets.
    "old_generation_commits": (
        "server/group/classic_group.cc",
        "if (check.generation_or_epoch != generation) {",
        "if (check.generation_or_epoch > generation) {",
    ),
    # A member of a consumer group that is gone keeps its partitions.
    "session_lasts": (
        "server/group/consumer_group_changes.cc",
        "TimerKind::consumer_session, member.id}, host.now() + timeout);",
        "TimerKind::consumer_session, member.id}, host.now() + 1000 * timeout);",
    ),
    # Partitions are given to a member before the one before has given them back.
    "given_before_given_back": (
        "server/group/consumer_group_reconcile.cc",
        "if (is_own || input.is_free(key)) {",
        "if (is_own || input.is_free(key) || input.target_epoch > 0) {",
    ),
    # A transaction's offsets count before it is committed.
    "txn_offsets_early": (
        "server/group/offset_store.cc",
        "    if (producer_id == kNoProducerId) {\n",
        "    if (producer_id >= kNoProducerId) {\n",
    ),
    # read_committed readers are given all that is below the high watermark.
    "lso_ignored": (
        "server/replica/partition.cc",
        "return unstable == kNoOffset ? high\n",
        "return unstable >= kNoOffset ? high\n",
    ),
    # After a crash nobody knows which transactions were aborted.
    "aborted_forgotten": (
        "server/storage/log_transactions.cc",
        "found[segment.base_offset()].push_back(aborted);",
        "static_cast<void>(segment), static_cast<void>(aborted);",
    ),
    # One partition of a transaction gets no marker.
    "marker_missing": (
        "server/txn/completions.cc",
        "            if (is_gone(marker->second, host)) {\n                arrived(marker);\n"
        "            } else {\n                send(number",
        "            if (is_gone(marker->second, host) || index == 1) {\n"
        "                arrived(marker);\n            } else {\n                send(number",
    ),
    # InitProducerId gives the epoch of the producer before.
    "epoch_kept": (
        "server/txn/decide.cc",
        "    } else if (!claimed.is_given() || is_current) {\n"
        "        next.producer_epoch = bumped(current.producer_epoch);\n",
        "    } else if (!claimed.is_given() || is_current) {\n"
        "        next.producer_epoch = current.producer_epoch;\n",
    ),
    # Transactions stay open, however long their producer is silent.
    "txn_timeout_ignored": (
        "server/txn/decide.cc",
        "now_ms - transaction.start_ms > transaction.timeout_ms;",
        "now_ms - transaction.start_ms > transaction.timeout_ms * int64_t{1000};",
    ),
    # A commit that was decided before a restart is carried out as an abort.
    "commit_turns_abort": (
        "server/txn/txn_shard.cc",
        "            completions_.begin(id, transaction, host);\n",
        "            Transaction turned = transaction;\n"
        "            turned.state = TransactionState::prepare_abort;\n"
        "            completions_.begin(id, turned, host);\n",
    ),
    # Compaction loses the only latest record of some keys.
    "compaction_drops_latest": (
        "server/storage/compaction_filter.cc",
        "    if (map_.latest(*record.key) > offset) {\n",
        "    if (map_.latest(*record.key) > offset ||\n"
        "        (map_.latest(*record.key) == offset && offset.value() % 50 == 0)) {\n",
    ),
    # Records younger than min.compaction.lag.ms are compacted.
    "compaction_lag_ignored": (
        "server/storage/compaction_plan.cc",
        "segment.max_timestamp > facts.now_ms - config.min_compaction_lag_ms",
        "segment.max_timestamp > facts.now_ms",
    ),
    # A tombstone goes as soon as nothing older is left.
    "tombstone_early": (
        "server/storage/compaction_filter.cc",
        "!record.value && header.has_delete_horizon() && rules_.now_ms >= header.base_timestamp",
        "!record.value && header.has_delete_horizon()",
    ),
    # A compacted segment takes the place of its sources before it is on the medium.
    "swap_unsynced": (
        "server/storage/compaction.cc",
        "    state_ = State::wants_sync;\n",
        "    state_ = State::wants_sync;\n    on_synced();\n",
    ),
    # A reader passes over batches of which compaction left one record.
    "read_skips_thinned": (
        "server/storage/segment.cc",
        "if (header->records_count > 0 ||",
        "if (header->records_count > 1 || header->last_offset() == header->base_offset ||",
    ),
    # A reader is sent batches without records alone.
    "read_emptied_alone": (
        "server/storage/segment.cc",
        "if (header->records_count > 0 ||",
        "if (header->records_count >= 0 ||",
    ),
    # Retention takes every segment once the first one is old.
    "retention_unexpired": (
        "server/storage/log_retention.cc",
        "(is_old(segment.max_timestamp()) || by_size)",
        "(is_old(segments.front().max_timestamp()) || by_size)",
    ),
    # Requests that had arrived when a client's pause began are looked at when more arrive.
    "throttled_left": (
        "server/broker/core_connections.cc",
        "} else if (connection->door && !connection->in.unread().empty()) {",
        "} else if (connection->door && connection->in.unread().size() > 1'000'000) {",
    ),
    # A disk that was short of room once stays so.
    "low_for_good": (
        "server/storage/log_dir.cc",
        "was_low ? space->free_bytes < reserve + reserve / 4 :",
        "was_low ? true :",
    ),
    # A start throws away what small flushes made durable.
    "journal_not_replayed": (
        "server/storage/data_dir.cc",
        "    QT_TRY(replay_journals(disk, dir->path_));\n",
        "",
    ),
    # A file of the journal is written over before the logs in it are synced.
    "journal_written_over": (
        "server/replica/manager_io.cc",
        "!partition->log()->is_settled()) {\n                partition->log()->settle();",
        "partition->log()->settles()) {\n                partition->log()->settle();",
    ),
    # What the journal has of a log is void before the log's own files have it.
    "journal_left_early": (
        "server/storage/log_flush.cc",
        "    if (hot_ && !failure_ && !is_settled()) {\n",
        "    if (hot_ && failure_) {\n",
    ),
    # The log start is not written down.
    "log_start_forgotten": (
        "server/storage/log_retention.cc",
        "Result<void> named = name_log_start(disk_, directory_);",
        "Result<void> named;",
    ),
    # Readers are told of a log start that is not on the disk yet.
    "log_start_told": (
        "server/storage/log_retention.cc",
        "    hot_->deletion = std::move(deletion);\n",
        "    hot_->deletion = std::move(deletion);\n    log_start_ = to;\n",
    ),
}


# Those that only a cluster can show.
CLUSTER_PLANTS = {
    # KIP-101: who becomes a follower cuts its log to the high watermark that it knows.
    "cut_to_high_watermark": (
        "server/replica/partition.cc",
        "    if (role != Role::leader) {\n        leading_.reset();\n",
        "    if (role != Role::leader) {\n        leading_.reset();\n"
        "        if (is_new_epoch && role == Role::follower && log_ && !offline_) {\n"
        "            static_cast<void>(log_->truncate_to(high_watermark_, WallTime{}));\n"
        "        }\n",
    ),
    # KIP-101: it cuts nothing, and appends behind what its leader does not have.
    "never_cut": (
        "server/replica/partition_read.cc",
        "if (end.end_offset < op.fetch_offset || end.epoch < op.last_fetched_epoch) {",
        "if (end.end_offset < Offset{0}) {",
    ),
    # KIP-279: a leader that never had an epoch takes the log that ends with it for its own.
    "epoch_gap_unseen": (
        "server/replica/partition_read.cc",
        "if (end.end_offset < op.fetch_offset || end.epoch < op.last_fetched_epoch) {",
        "if (end.end_offset < op.fetch_offset) {",
    ),
    # KIP-320: requests of an older leader epoch are served.
    "epoch_unfenced": (
        "server/replica/partition.cc",
        "if (request.current_leader_epoch >= LeaderEpoch{0}) {",
        "if (request.current_leader_epoch > leader_epoch_) {",
    ),
    # KIP-966: the high watermark rises though the ISR is smaller than min.insync.replicas.
    "hw_below_min_isr": (
        "server/replica/leader_state.cc",
        "if (has_elr_ || static_cast<int64_t>(isr_size_) < min_insync) {",
        "if (min_insync < 0) {",
    ),
    # A leader whose session is over goes on acknowledging.
    "zombie_leader": (
        "server/replica/manager_replication.cc",
        "return setup_.session_valid_until && setup_.ports.clock->mono() >= "
        "setup_.session_valid_until();",
        "return false;",
    ),
    # The high watermark rises with what is written here, synced or not.
    "hw_from_written": (
        "server/replica/partition.cc",
        "const Offset own_end = write_caching_ ? log_->log_end_offset() : "
        "log_->synced_end_offset();",
        "const Offset own_end = log_->log_end_offset();",
    ),
    # What a log had before it was cut comes back from the journal.
    "journal_kept_at_cut": (
        "server/storage/log_replicated.cc",
        "    QT_TRY(leave_journal());\n    const Offset end = log_end_;\n    QT_TRY(load(now));\n"
        "    const Segment* holds",
        "    const Offset end = log_end_;\n    QT_TRY(load(now));\n    const Segment* holds",
    ),
    # A follower asks for more before what it has is synced.
    "fetch_before_sync": (
        "server/replica/partition_follower.cc",
        "(!write_caching_ && log_->synced_end_offset() != log_->log_end_offset())) {",
        "log_->synced_end_offset() > log_->log_end_offset()) {",
    ),
    # A member that is to leave the ISR counts no more before that is committed.
    "shrink_uncommitted": (
        "server/replica/leader_state.cc",
        "            proposal.is_shrink = proposal.is_shrink || lags;\n",
        "            proposal.is_shrink = proposal.is_shrink || lags;\n"
        "            follower.is_in_sync = !lags;\n",
    ),
    # Who is asked to join the ISR does not count as a member before the answer, though it may be.
    "join_counts_late": (
        "server/replica/leader_state.cc",
        "if (follower.is_in_sync || follower.is_joining || is_about_to_join) {",
        "if (follower.is_in_sync || (is_about_to_join && end < Offset{0})) {",
    ),
    # A follower joins the ISR before it has all that is committed.
    "joins_too_early": (
        "server/replica/leader_state.cc",
        "follower.end >= high_watermark &&\n             follower.end >= epoch_start_ && std::max(",
        "follower.end >= std::min(high_watermark, Offset{0}) &&\n             std::max(",
    ),
    # A broker that starts leads in the epoch it led before.
    "epoch_kept_at_start": (
        "server/metadata/decide_brokers.cc",
        "            change.renew_leader();\n",
        "            static_cast<void>(change);\n",
    ),
    # A broker whose disk was put back from an old copy stays in the ISR.
    "old_disk_stays": (
        "server/broker/membership.cc",
        "if (!is_lost_ && disks_.start_count < self_.start_count) {",
        "if (!is_lost_ && disks_.start_count < 0) {",
    ),
    # The controller writes without guards: what others decided meanwhile is lost.
    "controller_unguarded": (
        "server/metadata/controller.cc",
        "            transaction.guards.push_back({text, partition->mod_revision});\n",
        "",
    ),
    # ... and so do leaders when they change the ISR.
    "isr_unguarded": (
        "server/metadata/decide_isr.cc",
        "        transaction.guards.push_back({key, now.mod_revision});\n",
        "        static_cast<void>(now);\n",
    ),
    # Whoever lives is elected, in sync or not.
    "elects_anyone": (
        "server/metadata/partition_change.cc",
        "    elect_one(is_live, topic_->effective.unclean_leader_election_enable);\n",
        "    elect_one(is_live, true);\n",
    ),
    # The leader epoch stays when the leader changes.
    "epoch_kept_at_election": (
        "server/metadata/partition_change.cc",
        "if (is_new_term_ || after.leader != before_.leader) {",
        "if (is_new_term_) {",
    ),
    # What is parked with a leader that resigns is acknowledged as done.
    "resigned_acks": (
        "server/replica/partition.cc",
        "    release_waiters(Code::not_leader, out);\n}\n\nvoid Partition::set_broker",
        "    high_watermark_ = log_ ? log_->log_end_offset() : high_watermark_;\n"
        "    advance(out);\n}\n\nvoid Partition::set_broker",
    ),
    # A broker goes on for a minute with a session that is over.
    "stale_lease": (
        "server/broker/metadata_core.cc",
        "store(membership_.valid_until().time_since_epoch().count(),",
        "store((membership_.valid_until() + std::chrono::minutes(1)).time_since_epoch().count(),",
    ),
    # Whoever says that he is a replica is one, without a broker epoch too.
    "forged_replica": (
        "server/replica/leader_state.cc",
        "    if (fetch.broker_epoch == Revision{0}) {\n",
        "    if (fetch.broker_epoch < Revision{0}) {\n",
    ),
    # KIP-207: a new leader tells an end before it knows what is committed.
    "end_unsettled": (
        "server/replica/partition_read.cc",
        "if ((op.timestamp_ms == kLatest || is_by_record) && !is_settled_leader()) {",
        "if (is_by_record && high_watermark() < Offset{0}) {",
    ),
    # ... and refuses for good to delete what is above the high watermark it knows.
    "delete_unsettled": (
        "server/replica/partition_read.cc",
        "op.before_offset <= log_->log_end_offset() && !is_settled_leader()) {",
        "op.before_offset < Offset{-1}) {",
    ),
    # KIP-107: DeleteRecords is answered before the followers have deleted.
    "deletion_unconfirmed": (
        "server/replica/leader_state.cc",
        "if (follower.is_live || follower.is_in_sync || follower.is_joining || follower.is_elr) {",
        "if (follower.end < kNoOffset) {",
    ),
    # ... and followers do not delete at all.
    "log_start_unheard": (
        "server/replica/partition_follower.cc",
        "        if (fetched.log_start > log_->log_start_offset() &&\n",
        "        if (fetched.log_start < kNoOffset &&\n",
    ),
    # A broker refuses for what its image shows, old as it may be.
    "refusal_unchecked": (
        "server/metadata/decide_topics.cc",
        "            units.push_back({{{topic_key(topic.name), there->mod_revision}}, {}, {}});\n",
        "            static_cast<void>(there);\n",
    ),
    # A cut is not written down: after a crash old notes say that more was synced.
    "cut_unnoted": (
        "server/storage/log_replicated.cc",
        "    QT_TRY(note_truncation(offset, holds == nullptr ? offset : holds->base_offset()));\n",
        "    static_cast<void>(holds);\n",
    ),
    # Producers are remembered for batches that were cut off.
    "producers_uncut": (
        "server/storage/log_replicated.cc",
        "    hot_->producers = ProducerState();\n"
        "    QT_TRY_ASSIGN(const Listing listing, list_files());\n"
        "    QT_TRY(load_producers(listing, now));\n"
        "    update_summary();\n",
        "    static_cast<void>(now);\n    update_summary();\n",
    ),
    # Leader epochs are remembered for batches that were cut off.
    "epochs_uncut": (
        "server/storage/log_replicated.cc",
        "    epochs_.truncate_at(log_end_);\n",
        "",
    ),
    # KIP-101: a leader that has not written in its epoch does not say where that begins.
    "epoch_start_untold": (
        "server/replica/partition_read.cc",
        "    if (epoch <= written || epoch > leader_epoch_ || epoch < LeaderEpoch{0}) {\n",
        "    if (epoch <= written || epoch >= LeaderEpoch{0}) {\n",
    ),
    # KIP-966: when the ISR is gone, any replica counts as an eligible leader.
    "elr_is_anyone": (
        "server/metadata/partition_change.cc",
        "        elected = first_live(&now_.elr);\n",
        "        elected = first_live(&now_.replicas);\n",
    ),
    # Nobody compares what is stored with its checksum.
    "rot_unseen": (
        "server/storage/log_repair.cc",
        "            QT_TRY(segment.read_batch({scan.position(), *header}));\n",
        "",
    ),
    # A damaged replica begins anew while others count on what it had.
    "repair_too_early": (
        "server/replica/partition_repair.cc",
        "           !flush_in_flight_ && copy_loss_.is_settled(partition_epoch_);\n",
        "           !flush_in_flight_;\n",
    ),
    # The metadata do not take note that a copy is lost.
    "lost_copy_counts": (
        "server/metadata/decide_isr.cc",
        "        if (!change.lose_copy(self_)) {\n",
        "        if (now.isr.size() < 2) {\n",
    ),
    # KIP-279: an epoch that the follower does not have is taken for one that it has.
    "cut_ignores_own_epochs": (
        "server/replica/partition_follower.cc",
        "    } else if (ours.epoch >= LeaderEpoch{0}) {\n",
        "    } else if (ours.epoch > epoch) {\n",
    ),
    # A broker with an empty disk stays in the ISR.
    "wiped_stays": (
        "server/broker/membership.cc",
        "            return is_lost_ || is_cut || (is_partly_lost_ && ",
        "            return (is_lost_ && disks_.start_count > 0) || is_cut ||\n"
        "                   (is_partly_lost_ && !is_lost_ && ",
    ),
    # A follower whose log diverges counts as having what it asks for.
    "diverging_counts": (
        "server/replica/partition_read.cc",
        "            result.diverging.emplace(end.epoch, end.end_offset);\n",
        "            if (op.replica && op.replica->is_progress) {\n"
        "                leading_->on_fetch({op.replica->id, op.replica->broker_epoch,\n"
        "                                    op.fetch_offset, op.replica->log_start},\n"
        "                                   log_->log_end_offset(), now);\n"
        "                advance(out);\n"
        "            }\n"
        "            result.diverging.emplace(end.epoch, end.end_offset);\n",
    ),
    # A coordinator takes over before it has read its partition's log.
    "coordinator_unread": (
        "server/coordinator/shard.cc",
        "if (state_ == State::loading && replayed_end_ >= partition_.log()->log_end_offset() &&",
        "if (state_ == State::loading && replayed_end_ >= partition_.log()->log_start_offset() &&",
    ),
    # A change of the ISR that was refused counts as done.
    "isr_refusal_done": (
        "server/replica/leader_state.cc",
        "    change_ = Change::none;\n    for (FollowerProgress& follower : followers_) {\n"
        "        follower.is_joining = false;\n",
        "    change_ = Change::none;\n    for (FollowerProgress& follower : followers_) {\n"
        "        follower.is_in_sync = follower.is_in_sync || follower.is_joining;\n"
        "        follower.is_joining = false;\n",
    ),
    # A follower that cuts its log forgets the producers that wrote below the cut, too.
    "cut_forgets_producers": (
        "server/storage/log_replicated.cc",
        "    QT_TRY(load_producers(listing, now));\n    update_summary();\n",
        "    static_cast<void>(now);\n    hot_->producers_loaded = true;\n    update_summary();\n",
    ),
    # KIP-903: a fetch of a process that is gone counts for the one that lives.
    "old_broker_epoch": (
        "server/replica/leader_state.cc",
        "if (fetch.broker_epoch < follower->epoch || fetch.broker_epoch < follower->live_epoch) {",
        "if (fetch.broker_epoch < Revision{0}) {",
    ),
    # KIP-903: whoever was a replica once is added, though another process has its id now.
    "join_unfenced": (
        "server/metadata/decide_isr.cc",
        "(broker == nullptr || !broker->is_live() || broker->epoch != member.epoch)) {",
        "broker == nullptr) {",
    ),
    # A leader does not wait for its followers.
    "followers_ignored": (
        "server/replica/leader_state.cc",
        "    Offset end = own_end;\n    for (",
        "    Offset end = own_end;\n    if (min_insync < 2) {\n        return end;\n    }\n    for (",
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="names and sources, one a line")
    parser.add_argument("--cluster", action="store_true", help="list those of clusters")
    parser.add_argument("--plant", choices=sorted(PLANTS | CLUSTER_PLANTS))
    parser.add_argument("--root", type=pathlib.Path, help="of the source tree")
    parser.add_argument("--out", type=pathlib.Path, help="the patched copy")
    arguments = parser.parse_args()
    if arguments.list:
        plants = CLUSTER_PLANTS if arguments.cluster else PLANTS
        for name, (source, _, _) in plants.items():
            print(name, source)
        return 0
    if not (arguments.plant and arguments.root and arguments.out):
        parser.error("--plant needs --root and --out")
    source, old, new = (PLANTS | CLUSTER_PLANTS)[arguments.plant]
    text = (arguments.root / source).read_text()
    if text.count(old) != 1:
        print(f"plants.py: {arguments.plant}: {source} holds its text {text.count(old)} times "
              "instead of once: adapt the plant", file=sys.stderr)
        return 1
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(text.replace(old, new))
    return 0


if __name__ == "__main__":
    sys.exit(main())
