#include "server/metrics/prometheus.h"

#include "server/metrics/exposition.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iterator>

namespace qtool::metrics {

namespace {

using Type = Exposition::Type;

struct Row {
    std::string_view name;
    std::string_view help;
    bool is_gauge;
    Counter CoreCounters::*counter;
};

constexpr Row kRows[] = {
    {"connections_open", "connections open now", true, &CoreCounters::connections_open},
    {"connections_opened_total", "connections accepted", false, &CoreCounters::connections_opened},
    {"connections_closed_total", "connections ended", false, &CoreCounters::connections_closed},
    {"connections_refused_total", "connections over max.connections", false,
     &CoreCounters::connections_refused},
    {"connections_moved_total", "connections given to the core of the partitions they ask for",
     false, &CoreCounters::connections_moved},
    {"connections_idle_closed_total", "connections closed by connections.max.idle.ms", false,
     &CoreCounters::connections_idle},
    {"peer_connections_open", "connections to other brokers open now", true,
     &CoreCounters::peer_connections_open},
    {"peer_connects_total", "connections made to other brokers", false,
     &CoreCounters::peer_connects},
    {"peer_connect_failures_total", "attempts to connect to another broker that failed", false,
     &CoreCounters::peer_connect_failures},
    {"peer_calls_total", "requests to other brokers", false, &CoreCounters::peer_calls},
    {"peer_calls_failed_total", "requests to other brokers that got no answer", false,
     &CoreCounters::peer_calls_failed},
    {"protocol_unknown_total", "connections whose first byte is of no protocol", false,
     &CoreCounters::protocol_unknown},
    {"frames_oversized_total", "frames over socket.request.max.bytes or negative", false,
     &CoreCounters::frames_oversized},
    {"frames_malformed_total", "requests that do not parse", false,
     &CoreCounters::frames_malformed},
    {"requests_unsupported_total", "requests of an API or version not served", false,
     &CoreCounters::requests_unsupported},
    {"reading_paused_total", "times a connection was not read for backpressure", false,
     &CoreCounters::reading_paused},
    {"requests_pending", "requests waiting for an answer now", true,
     &CoreCounters::requests_pending},
    {"received_bytes_total", "bytes read from sockets", false, &CoreCounters::bytes_received},
    {"sent_bytes_total", "bytes queued to sockets", false, &CoreCounters::bytes_sent},
    {"throttled_produce_total", "produces over producer_byte_rate", false,
     &CoreCounters::throttled_produce},
    {"throttled_fetch_total", "fetches over consumer_byte_rate", false,
     &CoreCounters::throttled_fetch},
    {"throttled_request_total", "requests over request_percentage", false,
     &CoreCounters::throttled_request},
    {"throttled_mutation_total", "changes of topics over controller_mutation_rate", false,
     &CoreCounters::throttled_mutation},
    {"throttled_connections_total", "connections closed over connection_creation_rate", false,
     &CoreCounters::throttled_connect},
    {"http_requests_total", "HTTP requests", false, &CoreCounters::http_requests},
    {"http_errors_total", "HTTP answers of status 400 and above", false,
     &CoreCounters::http_errors},
    {"batches_appended_total", "record batches written", false, &CoreCounters::batches_appended},
    {"records_appended_total", "records written", false, &CoreCounters::records_appended},
    {"appended_bytes_total", "bytes of batches written", false, &CoreCounters::bytes_appended},
    {"batches_duplicate_total", "idempotent retries answered without writing", false,
     &CoreCounters::batches_duplicate},
    {"append_errors_total", "batches refused or failed", false, &CoreCounters::append_errors},
    {"transaction_markers_total", "transaction markers written", false,
     &CoreCounters::transaction_markers},
    {"transactions_verified_total", "batches held back until the coordinator was asked", false,
     &CoreCounters::transactions_verified},
    {"fetched_bytes_total", "bytes of batches handed to fetches", false,
     &CoreCounters::fetch_bytes},
    {"fetch_watches_total", "fetches parked until there is more to read", false,
     &CoreCounters::fetch_watches},
    {"cold_reads_total", "reads of partitions that waited for the device", false,
     &CoreCounters::cold_reads},
    {"fetch_sessions_refused_total", "fetches without a session: all slots taken", false,
     &CoreCounters::fetch_sessions_refused},
    {"flushes_total", "group commits", false, &CoreCounters::flushes},
    {"flush_batches_total", "batches covered by group commits", false,
     &CoreCounters::flush_batches},
    {"flushes_journaled_total", "group commits that shared a sync with other partitions", false,
     &CoreCounters::flushes_journaled},
    {"journal_syncs_total", "syncs of flush journals", false, &CoreCounters::journal_syncs},
    {"journal_full_total", "group commits that found no room in a flush journal", false,
     &CoreCounters::journal_full},
    {"segments_rolled_total", "segments closed because they were full or old", false,
     &CoreCounters::segments_rolled},
    {"flush_errors_total", "failed fsyncs; each takes a log offline, or a flush journal out of use",
     false, &CoreCounters::flush_errors},
    {"segments_deleted_total", "segments deleted by retention or with deleted records", false,
     &CoreCounters::segments_deleted},
    {"compactions_total", "compactions of a log that came to their end", false,
     &CoreCounters::compactions},
    {"compaction_bytes_total", "bytes that compactions read and wrote", false,
     &CoreCounters::compaction_bytes},
    {"compaction_replaced_bytes_total", "size of the segments that were compacted", false,
     &CoreCounters::compaction_bytes_replaced},
    {"compaction_kept_bytes_total", "size of what took their place", false,
     &CoreCounters::compaction_bytes_kept},
    {"compaction_records_dropped_total", "records that a later one of their key replaced", false,
     &CoreCounters::compaction_records_dropped},
    {"compaction_errors_total", "compactions that failed; they are tried again", false,
     &CoreCounters::compaction_errors},
    {"storage_full_total", "appends refused because the disk is full", false,
     &CoreCounters::storage_full},
    {"produce_timeouts_total", "appends not durable at their deadline", false,
     &CoreCounters::produce_timeouts},
    {"coordinator_refused_total", "requests beyond what a coordinator keeps parked", false,
     &CoreCounters::coordinator_refused},
    {"isr_shrinks_total", "changes asked for that take replicas out of an ISR", false,
     &CoreCounters::isr_shrinks},
    {"isr_expands_total", "changes asked for that take replicas into an ISR", false,
     &CoreCounters::isr_expands},
    {"replication_sent_bytes_total", "bytes of batches handed to followers", false,
     &CoreCounters::replication_bytes_out},
    {"replication_received_bytes_total", "bytes of batches appended as follower", false,
     &CoreCounters::replication_bytes_in},
    {"replica_fetches_total", "fetches from leaders", false, &CoreCounters::replica_fetches},
    {"replica_fetch_errors_total", "fetches from leaders, or partitions of them, that failed",
     false, &CoreCounters::replica_fetch_errors},
    {"replica_truncations_total", "logs cut because they had diverged from their leader's", false,
     &CoreCounters::replica_truncations},
    {"replica_repairs_total", "damaged logs that were fetched again from their leader's", false,
     &CoreCounters::replica_repairs},
    {"scrubbed_bytes_total", "bytes of stored batches compared with their checksums", false,
     &CoreCounters::scrubbed_bytes},
    {"log_damages_total", "damage found by reading stored batches again", false,
     &CoreCounters::log_damages},
    {"replica_throttled_total", "fetches from leaders that left partitions out to keep the rate",
     false, &CoreCounters::replica_throttled},
    {"partitions", "partitions owned", true, &CoreCounters::partitions},
    {"partitions_offline", "partitions damaged or failed", true, &CoreCounters::partitions_offline},
    {"partitions_uncleanable", "partitions not compacted because of damage", true,
     &CoreCounters::partitions_uncleanable},
    {"mails_total", "requests, answers and wakes sent to other cores, by the batch", false,
     &CoreCounters::mails},
};

constexpr std::string_view kStageNames[] = {"handler",    "mailbox",  "partition", "flush_wait",
                                            "fetch_wait", "throttle", "send"};
static_assert(std::size(kStageNames) == static_cast<size_t>(Stage::count));

// One histogram out of those of all cores.
template <class Get>
std::vector<const Histogram*> of_cores(const Scrape& scrape, Get&& get) {
    std::vector<const Histogram*> parts;
    for (const CoreCounters* core : scrape.cores) {
        parts.push_back(&get(*core));
    }
    return parts;
}

void put_rows(Exposition& out, const Scrape& scrape) {
    for (const Row& row : kRows) {
        out.begin(row.name, row.is_gauge ? Type::gauge : Type::counter, row.help);
        for (size_t core = 0; core < scrape.cores.size(); core++) {
            out.sample({{"core", std::to_string(core)}},
                       (scrape.cores[core]->*row.counter).value());
        }
    }
}

void put_apis(Exposition& out, const Scrape& scrape) {
    const auto sum = [&](size_t key, auto&& get) {
        uint64_t value = 0;
        for (const CoreCounters* core : scrape.cores) {
            value += get(core->api[key]).value();
        }
        return value;
    };
    std::vector<size_t> used;
    for (size_t key = 0; key < kApiCount; key++) {
        if (!scrape.api_name(key).empty() &&
            sum(
                key, [](const ApiCounters& api) -> auto& { return api.requests; }) > 0) {
            used.push_back(key);
        }
    }
    out.begin("requests_total", Type::counter, "requests by API");
    for (const size_t key : used) {
        out.sample({{"api", scrape.api_name(key)}},
                   sum(
                       key, [](const ApiCounters& api) -> auto& { return api.requests; }));
    }
    out.begin("request_errors_total", Type::counter, "requests whose answer carries an error");
    for (const size_t key : used) {
        out.sample({{"api", scrape.api_name(key)}},
                   sum(
                       key, [](const ApiCounters& api) -> auto& { return api.errors; }));
    }
    out.begin("error_codes_total", Type::counter,
              "error codes in answers, each partition of an answer by itself");
    for (const size_t key : used) {
        for (size_t i = 0; i < kErrorCodeCount; i++) {
            const uint64_t value = sum(
                key, [i](const ApiCounters& api) -> auto& { return api.codes[i]; });
            if (value > 0) {
                out.sample({{"api", scrape.api_name(key)},
                            {"error",
                             scrape.error_name(static_cast<int16_t>(static_cast<int32_t>(i) - 1))}},
                           value);
            }
        }
    }
    out.begin("request_seconds", Type::histogram,
              "from a whole request read to its answer, by API");
    for (const size_t key : used) {
        out.histogram({{"api", scrape.api_name(key)}},
                      of_cores(scrape, [key](const CoreCounters& core) -> const Histogram& {
                          return core.api[key].total;
                      }));
    }
}

void put_times(Exposition& out, const Scrape& scrape) {
    out.begin("stage_seconds", Type::histogram, "time of requests in each stage");
    for (size_t stage = 0; stage < std::size(kStageNames); stage++) {
        out.histogram({{"stage", kStageNames[stage]}},
                      of_cores(scrape, [stage](const CoreCounters& core) -> const Histogram& {
                          return core.stages[stage];
                      }));
    }
    const auto put = [&](std::string_view name, std::string_view help,
                         Histogram CoreCounters::*histogram) {
        out.begin(name, Type::histogram, help);
        out.histogram({}, of_cores(scrape, [&](const CoreCounters& core) -> const Histogram& {
                          return core.*histogram;
                      }));
    };
    put("flush_seconds", "group commits, from asking the disk to its answer",
        &CoreCounters::flush_time);
    put("compaction_seconds", "whole compactions of a log", &CoreCounters::compaction_time);
    put("coordinator_load_seconds", "logs of coordinators read to their end",
        &CoreCounters::coordinator_load_time);
}

void put_log_dirs(Exposition& out, const Scrape& scrape) {
    const auto gauge = [&](std::string_view name, std::string_view help, auto value) {
        out.begin(name, Type::gauge, help);
        for (const LogDirGauges& dir : scrape.log_dirs) {
            out.sample({{"directory", dir.path}}, value(dir));
        }
    };
    gauge("log_dir_offline", "1: the log directory failed or did not open",
          [](const LogDirGauges& dir) { return dir.is_offline ? 1U : 0U; });
    gauge("log_dir_low_space", "1: less free than the reserve, so produce is refused",
          [](const LogDirGauges& dir) { return dir.is_low ? 1U : 0U; });
    gauge("log_dir_free_bytes", "free bytes of the file system, for this user",
          [](const LogDirGauges& dir) { return dir.free_bytes; });
    gauge("log_dir_total_bytes", "size of the file system",
          [](const LogDirGauges& dir) { return dir.total_bytes; });
    gauge("log_dir_reserve_bytes", "free bytes below which produce is refused",
          [](const LogDirGauges& dir) { return dir.reserve_bytes; });
    gauge("log_dir_partitions", "partitions that live in the log directory",
          [](const LogDirGauges& dir) { return dir.partition_count; });
}

void put_logs(Exposition& out, const Scrape& scrape) {
    const auto put = [&](std::string_view name, std::string_view help, uint64_t value) {
        out.begin(name, Type::gauge, help);
        out.sample({}, value);
    };
    const LogSurvey& logs = scrape.survey->logs;
    put("log_segments", "segments of all logs", logs.segments);
    put("log_size_bytes", "bytes of all logs", logs.size_bytes);
    put("partitions_waiting_for_flush", "partitions with produce requests that wait for a flush",
        logs.partitions_waiting);
    put("partitions_led", "partitions that this broker leads", logs.partitions_led);
    put("partitions_under_replicated", "led partitions with replicas that are not in sync",
        logs.under_replicated);
    put("partitions_under_min_isr", "led partitions with fewer in sync than min.insync.replicas",
        logs.under_min_isr);
    put("partitions_at_min_isr", "led partitions with just min.insync.replicas in sync",
        logs.at_min_isr);
    put("partitions_without_leader", "partitions with a replica here that nobody leads",
        logs.partitions_unfollowed);
    put("replica_lag_records_max", "records that the follower most behind lacks, of led partitions",
        logs.replica_lag_records);
    uint64_t dirty = 0;
    for (const CoreCounters* core : scrape.cores) {
        dirty = std::max(dirty, core->dirty_permille.value());
    }
    out.begin("log_dirty_ratio_max", Type::gauge,
              "dirty share of the log that compaction found the most in need, 0: none is");
    out.sample_milli({}, static_cast<int64_t>(dirty));
}

void put_coordinators(Exposition& out, const Scrape& scrape) {
    const CoordinatorSurvey& all = scrape.survey->coordinators;
    const auto put = [&](std::string_view name, Type type, std::string_view help, uint64_t value) {
        out.begin(name, type, help);
        out.sample({}, value);
    };
    out.begin("coordinator_shards", Type::gauge, "partitions of internal topics, by state");
    out.sample({{"state", "loading"}}, all.shards_loading);
    out.sample({{"state", "loaded"}}, all.shards_loaded);
    out.sample({{"state", "failed"}}, all.shards_failed);
    put("coordinator_parked_requests", Type::gauge,
        "requests that coordinators have not answered yet", all.requests_parked);
    put("coordinator_uncommitted_answers", Type::gauge,
        "answers of coordinators that wait for their log", all.answers_uncommitted);
    out.begin("groups", Type::gauge, "groups by type and state");
    for (const auto& [name, count] : all.groups) {
        const size_t slash = name.find('/');
        out.sample({{"type", std::string_view(name).substr(0, slash)},
                    {"state", std::string_view(name).substr(slash + 1)}},
                   count);
    }
    put("group_members", Type::gauge, "members of all groups", all.members);
    put("group_committed_offsets", Type::gauge, "offsets that groups have committed",
        all.committed_offsets);
    put("group_rebalances_total", Type::counter,
        "new generations of classic groups and new target assignments of consumer groups",
        all.rebalances);
    put("group_offset_commits_total", Type::counter, "offsets committed, one a partition",
        all.offset_commits);
    put("group_offsets_expired_total", Type::counter, "offsets removed by their retention",
        all.offsets_expired);
    out.begin("transactions", Type::gauge, "transactional ids by state");
    for (const auto& [state, count] : all.transactions) {
        out.sample({{"state", state}}, count);
    }
    put("transactions_timed_out_total", Type::counter, "transactions aborted by their timeout",
        all.transactions_timed_out);
    put("transaction_markers_waiting", Type::gauge,
        "markers not sent out yet: their decision is not committed", all.markers_waiting);
    put("transaction_markers_pending", Type::gauge, "markers that partitions have not written yet",
        all.markers_pending);
    put("transaction_markers_written_total", Type::counter,
        "markers that partitions have written for a coordinator", all.markers_written);
}

void put_lag(Exposition& out, const Scrape& scrape) {
    const auto put = [&](std::string_view name, std::string_view help, auto&& sample) {
        out.begin(name, Type::gauge, help);
        for (const LagRow& row : scrape.survey->lag) {
            const std::string partition = std::to_string(row.committed.partition);
            sample(Exposition::Labels{{"group", row.committed.group},
                                      {"topic", row.committed.topic},
                                      {"partition", partition}},
                   row);
        }
    };
    put("group_lag_records", "high watermark less committed offset",
        [&](Exposition::Labels labels, const LagRow& row) {
            out.sample(labels, static_cast<uint64_t>(row.records));
        });
    put("group_lag_seconds", "age of the first record that is not committed; 0 without lag",
        [&](Exposition::Labels labels, const LagRow& row) { out.sample_milli(labels, row.ms); });
    out.begin("group_lag_left_out", Type::gauge,
              "committed offsets without a series of lag: there are too many");
    out.sample({}, scrape.survey->lag_left_out);
}

// ---- the metadata store -------------------------------------------------------------------------

void put_store(Exposition& out, const StoreCounters& store) {
    const auto put = [&](std::string_view name, std::string_view help, const Counter& counter) {
        out.begin(name, Type::counter, help);
        out.sample({}, counter.value());
    };
    put("etcd_requests_total", "requests sent to etcd, repeated ones each time", store.requests);
    put("etcd_request_errors_total", "requests to etcd without an answer, or refused",
        store.request_errors);
    put("etcd_request_retries_total", "requests to etcd that were repeated", store.request_retries);
    out.begin("etcd_request_seconds", Type::histogram, "until etcd answered");
    out.histogram({}, {&store.request_time});
    put("etcd_member_changes_total", "times another member of etcd was used, because one failed",
        store.member_changes);
    put("etcd_watch_restarts_total", "times the watch of etcd was opened anew",
        store.watch_restarts);
    put("etcd_reloads_total", "times all metadata was read again: changes had been compacted away",
        store.reloads);
    put("etcd_commits_total", "changes of metadata by this broker", store.commits);
    put("etcd_conflicts_total", "changes that were decided again: somebody else was first",
        store.conflicts);
}

// ---- the process --------------------------------------------------------------------------------

// Resident memory as the kernel counts it; 0 when /proc is not there.
uint64_t resident_bytes() {
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    if (file == nullptr) {
        return 0;
    }
    unsigned long long size = 0;
    unsigned long long resident = 0;
    const int fields = std::fscanf(file, "%llu %llu", &size, &resident);
    std::fclose(file);
    return fields == 2 ? resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

void put_process(Exposition& out, const Scrape& scrape) {
    out.begin("resident_memory_bytes", Type::gauge, "resident memory of the process");
    out.sample({}, resident_bytes());
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto milli = [](const timeval& time) {
        return static_cast<int64_t>(time.tv_sec) * 1000 + time.tv_usec / 1000;
    };
    out.begin("cpu_seconds_total", Type::counter, "processor time of the process");
    out.sample_milli({}, milli(usage.ru_utime) + milli(usage.ru_stime));
    out.begin("start_time_seconds", Type::gauge, "when the broker started, since 1970");
    out.sample_milli({}, scrape.started_at.time_since_epoch().count());
}

} // namespace

std::string render_prometheus(const Scrape& scrape) {
    Exposition out;
    put_rows(out, scrape);
    put_apis(out, scrape);
    put_times(out, scrape);
    put_logs(out, scrape);
    put_log_dirs(out, scrape);
    put_coordinators(out, scrape);
    put_lag(out, scrape);
    if (scrape.store != nullptr) {
        put_store(out, *scrape.store);
    }
    put_process(out, scrape);
    return out.take();
}

} // namespace qtool::metrics
